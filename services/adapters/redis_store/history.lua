-- Adds events to what is kept of some users: any order and any repetition of events gives one state.
-- KEYS: for each user history, consumed, version, shown. ARGV: max_history, max_consumed, max_shown, ttl_s; then for each
-- user how many events follow, and for each event: event_time_us, history member, consumed item, shown item (each '' when
-- the event does not enter that set).
-- Every set keeps its newest members, which no order of insertion can change. The version is the XOR of a 64-bit hash
-- of every member of history and consumed: order-free, and different exactly when they are (up to hash collisions).
local call, bxor, sha1hex, sub = redis.call, bit.bxor, redis.sha1hex, string.sub
local max_history, max_consumed, max_shown, ttl_s = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
local high, low

local function toggle(kind, member)
  local digest = sha1hex(kind .. member)
  high = bxor(high or 0, tonumber(sub(digest, 1, 8), 16))
  low = bxor(low or 0, tonumber(sub(digest, 9, 16), 16))
end

local function trim(key, kind, bound)
  local excess = call('ZCARD', key) - bound
  if excess > 0 then
    if kind then
      for _, member in ipairs(call('ZRANGE', key, 0, excess - 1)) do toggle(kind, member) end
    end
    call('ZREMRANGEBYRANK', key, 0, excess - 1)
  end
end

local at = 5
for user = 1, #KEYS, 4 do
  local history, consumed, version, shown = KEYS[user], KEYS[user + 1], KEYS[user + 2], KEYS[user + 3]
  local acted, has_consumed, was_shown = false, false, false
  high, low = nil, nil
  local last = at + 4 * tonumber(ARGV[at])
  for i = at + 1, last, 4 do
    local event_time_us, member, consumed_item, shown_item = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
    if member ~= '' then
      acted = true
      if call('ZADD', history, 'NX', event_time_us, member) == 1 then toggle('h', member) end
    end
    if consumed_item ~= '' then
      has_consumed = true
      if call('ZADD', consumed, 'GT', event_time_us, consumed_item) == 1 then toggle('c', consumed_item) end
    end
    if shown_item ~= '' then
      was_shown = true
      call('ZADD', shown, 'GT', event_time_us, shown_item)
    end
  end
  at = last + 1
  if acted then trim(history, 'h', max_history) end
  if has_consumed then trim(consumed, 'c', max_consumed) end
  if was_shown then trim(shown, nil, max_shown) end
  if high then
    local before = call('GET', version) or '0000000000000000'
    high = bxor(high, tonumber(sub(before, 1, 8), 16))
    low = bxor(low, tonumber(sub(before, 9, 16), 16))
    call('SET', version, bit.tohex(high) .. bit.tohex(low), 'EX', ttl_s)
  else
    call('EXPIRE', version, ttl_s)
  end
  call('EXPIRE', history, ttl_s)
  call('EXPIRE', consumed, ttl_s)
  call('EXPIRE', shown, ttl_s)
end
return 0
