-- Changes what is known of a cause and adds a lesson to those it holds. It decides nothing: it
-- compares, and it writes what it is given.
--
-- KEYS: meta, holds, order of the held lessons, held lessons
-- ARGV: generation, cause, what was known, what is to be known ('' for nothing), most causes that
--       hold, most lessons of one cause, then perhaps id, time and text of a lesson
if redis.call('HGET', KEYS[1], 'generation') ~= ARGV[1] then
  return 'another generation'
end

-- One that was accepted holds nothing. No text in it can look like this: its quotes are escaped.
local function is_holding(text)
  return text ~= '' and not string.find(text, ',"free_until":', 1, true)
end

local known = redis.call('HGET', KEYS[2], ARGV[2]) or ''
local held = redis.call('ZCARD', KEYS[3])
if known ~= ARGV[3] or (ARGV[4] == '' and held > 0) then
  return 'conflict'
end
local answer = 'changed'
if ARGV[7] and redis.call('HSTRLEN', KEYS[4], ARGV[7]) > 0 then
  answer = 'held already'
elseif ARGV[7] then
  if held >= tonumber(ARGV[6]) then
    return 'full'
  end
  if not is_holding(known) then
    local holding = 0
    local holds = redis.call('HGETALL', KEYS[2])
    for place = 2, #holds, 2 do
      if is_holding(holds[place]) then
        holding = holding + 1
      end
    end
    if holding >= tonumber(ARGV[5]) then
      return 'full'
    end
  end
  redis.call('HSET', KEYS[4], ARGV[7], ARGV[9])
  redis.call('ZADD', KEYS[3], ARGV[8], ARGV[7])
end
if ARGV[4] == '' then
  redis.call('HDEL', KEYS[2], ARGV[2])
else
  redis.call('HSET', KEYS[2], ARGV[2], ARGV[4])
end
return answer
