-- Adds events of one user to their history: any order and any repetition of events gives one state.
-- KEYS: history, consumed, version. ARGV: max_history, max_consumed, ttl_s, then for each event: event_time_us,
-- history member ('' when the event does not enter the history), consumed item id ('' when it consumes nothing).
-- Both sets keep their newest members, which no order of insertion can change. The version is the XOR of a 64-bit
-- hash of every member in either set: order-free, and different exactly when the sets are (up to hash collisions).
local history, consumed, version = KEYS[1], KEYS[2], KEYS[3]
local max_history, max_consumed, ttl_s = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local before = redis.call('GET', version) or '0000000000000000'
local high, low = tonumber(string.sub(before, 1, 8), 16), tonumber(string.sub(before, 9, 16), 16)

local function toggle(kind, member)
  local digest = redis.sha1hex(kind .. member)
  high = bit.bxor(high, tonumber(string.sub(digest, 1, 8), 16))
  low = bit.bxor(low, tonumber(string.sub(digest, 9, 16), 16))
end

local function trim(key, kind, bound)
  local excess = redis.call('ZCARD', key) - bound
  if excess > 0 then
    for _, member in ipairs(redis.call('ZRANGE', key, 0, excess - 1)) do toggle(kind, member) end
    redis.call('ZREMRANGEBYRANK', key, 0, excess - 1)
  end
end

for i = 4, #ARGV, 3 do
  local event_time_us, member, item_id = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  if member ~= '' and redis.call('ZADD', history, 'NX', event_time_us, member) == 1 then toggle('h', member) end
  if item_id ~= '' and redis.call('ZADD', consumed, 'GT', event_time_us, item_id) == 1 then toggle('c', item_id) end
end
trim(history, 'h', max_history)
trim(consumed, 'c', max_consumed)

local after = bit.tohex(high) .. bit.tohex(low)
redis.call('SET', version, after, 'EX', ttl_s)
redis.call('EXPIRE', history, ttl_s)
redis.call('EXPIRE', consumed, ttl_s)
return after
