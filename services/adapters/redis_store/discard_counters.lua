-- Empties the staged copy of a shard and takes it for one rebuild.
-- KEYS: its directory. ARGV: prefix of its keys, token of the rebuild, ttl_s.
for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
  local kind = string.sub(field, 1, 2)
  if kind == 'z:' or kind == 'i:' then redis.call('UNLINK', ARGV[1] .. field) end
end
redis.call('UNLINK', KEYS[1])
redis.call('HSET', KEYS[1], 'rebuild', ARGV[2])
return redis.call('EXPIRE', KEYS[1], ARGV[3])
