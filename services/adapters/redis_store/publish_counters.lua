-- Puts the staged copy of a shard in its place, and drops what was there, in one step.
-- KEYS: the shard's directory, the copy's directory. ARGV: prefix of the shard's keys, prefix of the copy's keys, token of
-- the rebuild. Returns 0, and does nothing, unless that rebuild's copy is there, or already in its place: a call whose
-- answer was lost is sent again.
-- The directories list every other key, by its name behind the prefix.
local function parts(directory)
  local found = {}
  for _, field in ipairs(redis.call('HKEYS', directory)) do
    local kind = string.sub(field, 1, 2)
    if kind == 'z:' or kind == 'i:' then found[#found + 1] = field end
  end
  return found
end
if redis.call('HGET', KEYS[2], 'rebuild') ~= ARGV[3] then
  return redis.call('HGET', KEYS[1], 'rebuild') == ARGV[3] and 1 or 0
end
for _, part in ipairs(parts(KEYS[1])) do redis.call('UNLINK', ARGV[1] .. part) end
for _, part in ipairs(parts(KEYS[2])) do
  if redis.call('EXISTS', ARGV[2] .. part) == 1 then redis.call('RENAME', ARGV[2] .. part, ARGV[1] .. part) end
end
redis.call('RENAME', KEYS[2], KEYS[1])
return 1
