-- Deletes a staged copy of a shard. KEYS: its directory. ARGV: prefix of its keys.
for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
  local kind = string.sub(field, 1, 2)
  if kind == 'z:' or kind == 'i:' then redis.call('UNLINK', ARGV[1] .. field) end
end
return redis.call('UNLINK', KEYS[1])
