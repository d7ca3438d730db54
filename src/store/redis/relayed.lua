-- Adds a batch of counts, unless it was added before: what was told without an answer is told again.
--
-- KEYS: meta, counts, mark of the batch
-- ARGV: generation, how long to keep both in milliseconds, then name and count in turns
if redis.call('HGET', KEYS[1], 'generation') ~= ARGV[1] then
  return 'another generation'
end
if redis.call('SET', KEYS[3], '1', 'NX', 'PX', ARGV[2]) then
  for place = 3, #ARGV, 2 do
    redis.call('HINCRBY', KEYS[2], ARGV[place], ARGV[place + 1])
  end
  redis.call('PEXPIRE', KEYS[2], ARGV[2])
end
return 'counted'
