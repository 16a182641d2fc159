-- Notes that shards exist. KEYS: sorted set of them, score = when each is forgotten. ARGV: ttl_s, then the shards.
local now_s, ttl_s = tonumber(redis.call('TIME')[1]), tonumber(ARGV[1])
for i = 2, #ARGV do redis.call('ZADD', KEYS[1], now_s + ttl_s, ARGV[i]) end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now_s)
return redis.call('EXPIRE', KEYS[1], ttl_s)
