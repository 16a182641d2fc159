-- The fence of a shard. KEYS: its directory.
return tonumber(redis.call('HGET', KEYS[1], 'fence') or '0')
