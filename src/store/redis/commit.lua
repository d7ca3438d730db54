-- Writes record, history entry and dedupe mark together, or nothing. It decides nothing about
-- suppression: it compares, and it writes what it is given.
--
-- KEYS: record, history, seen, meta
-- ARGV: generation, expected version, milliseconds to remember, history limit, history entry,
--       then name and value of each field
if redis.call('HGET', KEYS[4], 'generation') ~= ARGV[1] then
  return 'another generation'
end
if redis.call('EXISTS', KEYS[3]) == 1 then
  return 'duplicate'
end
local version = redis.call('HGET', KEYS[1], 'version')
if not version and redis.call('EXISTS', KEYS[1]) == 1 then
  return 'unreadable'
end
if (version or '0') ~= ARGV[2] then
  return 'conflict'
end
-- First what can fail: if the history is no list, nothing else has been written yet.
if redis.call('RPUSH', KEYS[2], ARGV[5]) > tonumber(ARGV[4]) then
  redis.call('LTRIM', KEYS[2], -ARGV[4], -1)
end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], unpack(ARGV, 6))
redis.call('SET', KEYS[3], '1', 'PX', ARGV[3])
return 'committed'
