-- Deletes all that is kept of one user. KEYS: every key of theirs.
return redis.call('UNLINK', unpack(KEYS))
