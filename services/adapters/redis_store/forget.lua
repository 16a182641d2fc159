-- Deletes what is kept of one user up to a time. KEYS: their history, consumed, version, shown. ARGV: the time in µs.
-- What happened later stays, and the version becomes that of what stays, as history.lua defines it.
local call, bxor, sha1hex, sub = redis.call, bit.bxor, redis.sha1hex, string.sub
local history, consumed, version, shown, until_us = KEYS[1], KEYS[2], KEYS[3], KEYS[4], ARGV[1]
local high, low, is_empty = 0, 0, true

local function add(kind, key)
  for _, member in ipairs(call('ZRANGE', key, 0, -1)) do
    local digest = sha1hex(kind .. member)
    high = bxor(high, tonumber(sub(digest, 1, 8), 16))
    low = bxor(low, tonumber(sub(digest, 9, 16), 16))
    is_empty = false
  end
end

for _, key in ipairs({history, consumed, shown}) do
  call('ZREMRANGEBYSCORE', key, '-inf', until_us)
end
add('h', history)
add('c', consumed)
if is_empty then
  call('UNLINK', version)
else
  call('SET', version, bit.tohex(high) .. bit.tohex(low), 'XX', 'KEEPTTL')
end
return 0
