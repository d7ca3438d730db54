-- Runs commands one after the other, if the store is of the expected generation. It decides nothing.
--
-- KEYS: meta, then the key of each command
-- ARGV: generation, then for each command the number of its words and the words
if redis.call('HGET', KEYS[1], 'generation') ~= ARGV[1] then
  return 'another generation'
end
local replies = {}
local place = 2
while place <= #ARGV do
  local last = place + tonumber(ARGV[place])
  replies[#replies + 1] = redis.call(unpack(ARGV, place + 1, last))
  place = last + 1
end
return replies
