-- Sets the store up unless it is already, and tells what is there then.
--
-- KEYS: meta
-- ARGV: name and value of each field
if redis.call('EXISTS', KEYS[1]) == 0 then
  redis.call('HSET', KEYS[1], unpack(ARGV))
end
return redis.call('HGETALL', KEYS[1])
