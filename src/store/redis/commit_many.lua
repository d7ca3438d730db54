-- Makes many commits, as commit.lua makes one: each by itself, in their order. It decides nothing
-- about suppression: it compares, and it writes what it is given.
--
-- KEYS: meta, then record and seen of each, then history of each; no record twice
-- ARGV: generation, history limit, then for each: expected version, milliseconds to remember,
--       history entry, number of words, then name and value of each field
--
-- It answers a letter for each: [c]ommitted, [d]uplicate, con[f]lict, [u]nreadable.
local call = redis.call
if call('HGET', KEYS[1], 'generation') ~= ARGV[1] then
  return 'another generation'
end
local count = (#KEYS - 1) / 3
local limit = tonumber(ARGV[2])

local function compare(record, seen, expected)
  if call('EXISTS', seen) == 1 then
    return 'd'
  end
  local version = redis.pcall('HGET', record, 'version')
  if type(version) == 'table' then
    return 'u'
  end
  if not version and call('EXISTS', record) == 1 then
    return 'u'
  end
  if (version or '0') ~= expected then
    return 'f'
  end
end

-- Most of what is imported is about people of whom nothing is known: one question for all of them.
local none_known = call('EXISTS', unpack(KEYS, 2, 2 * count + 1)) == 0
local answers = {}
local at = 3
for number = 1, count do
  local record, seen = KEYS[2 * number], KEYS[2 * number + 1]
  local first, last = at + 4, at + 3 + ARGV[at + 3]
  local answer
  if not none_known then
    answer = compare(record, seen, ARGV[at])
  elseif ARGV[at] ~= '0' then
    answer = 'f'
  end
  if not answer then
    local history = KEYS[2 * count + 1 + number]
    -- First what can fail: if the history is no list, nothing else of it has been written yet.
    local length = redis.pcall('RPUSH', history, ARGV[at + 2])
    if type(length) ~= 'table' then
      if length > limit then
        call('LTRIM', history, -limit, -1)
      end
      if not none_known then
        call('DEL', record)
      end
      call('HSET', record, unpack(ARGV, first, last))
      call('SET', seen, '1', 'PX', ARGV[at + 1])
      answer = 'c'
    elseif string.find(length.err, 'WRONGTYPE', 1, true) then
      answer = 'u'
    else
      return length
    end
  end
  answers[number] = answer
  at = last + 1
end
return table.concat(answers)
