-- Adds events of one user to what is kept of them: any order and any repetition of events gives one state.
-- KEYS: history, consumed, version, shown. ARGV: max_history, max_consumed, max_shown, ttl_s, then for each event:
-- event_time_us, history member, consumed item, shown item (each '' when the event does not enter that set).
-- Every set keeps its newest members, which no order of insertion can change. The version is the XOR of a 64-bit hash
-- of every member of history and consumed: order-free, and different exactly when they are (up to hash collisions).
local history, consumed, version, shown = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local ttl_s = ARGV[4]
local high, low, changed = 0, 0, false
local touched = {}

local function toggle(kind, member)
  local digest = redis.sha1hex(kind .. member)
  high = bit.bxor(high, tonumber(string.sub(digest, 1, 8), 16))
  low = bit.bxor(low, tonumber(string.sub(digest, 9, 16), 16))
  changed = true
end

local function trim(key, kind, bound)
  local excess = redis.call('ZCARD', key) - bound
  if excess > 0 then
    if kind then
      for _, member in ipairs(redis.call('ZRANGE', key, 0, excess - 1)) do toggle(kind, member) end
    end
    redis.call('ZREMRANGEBYRANK', key, 0, excess - 1)
  end
end

for i = 5, #ARGV, 4 do
  local event_time_us, member, consumed_item, shown_item = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
  if member ~= '' then
    touched[history] = true
    if redis.call('ZADD', history, 'NX', event_time_us, member) == 1 then toggle('h', member) end
  end
  if consumed_item ~= '' then
    touched[consumed] = true
    if redis.call('ZADD', consumed, 'GT', event_time_us, consumed_item) == 1 then toggle('c', consumed_item) end
  end
  if shown_item ~= '' then
    touched[shown] = true
    redis.call('ZADD', shown, 'GT', event_time_us, shown_item)
  end
end
if touched[history] then trim(history, 'h', tonumber(ARGV[1])) end
if touched[consumed] then trim(consumed, 'c', tonumber(ARGV[2])) end
if touched[shown] then trim(shown, nil, tonumber(ARGV[3])) end

if changed then
  local before = redis.call('GET', version) or '0000000000000000'
  high = bit.bxor(high, tonumber(string.sub(before, 1, 8), 16))
  low = bit.bxor(low, tonumber(string.sub(before, 9, 16), 16))
  redis.call('SET', version, bit.tohex(high) .. bit.tohex(low), 'EX', ttl_s)
else
  redis.call('EXPIRE', version, ttl_s)
end
redis.call('EXPIRE', history, ttl_s)
redis.call('EXPIRE', consumed, ttl_s)
redis.call('EXPIRE', shown, ttl_s)
return 0
