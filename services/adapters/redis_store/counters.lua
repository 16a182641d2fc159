-- Counts the records of one shard that lie at or beyond its fence, and moves the fence behind them, in one step.
-- KEYS: the shard's directory. ARGV: prefix of the shard's keys, now_s, from_offset, next_offset, id_window, trim_every,
-- max_surfaces, max_items, ttl_s, num_eras; for each era: its name, expire_time_s; then for each event: offset, hash of
-- its id, item, surface ('' for none), era and amount, another era and amount (eras as numbers in that list).
-- Returns the fence. When it is below next_offset, nothing was counted: the caller would have left a gap.
--
-- The state depends on the records alone, not on how they were cut into batches: each event is added by itself, and
-- whatever happens now and then (dropping old ids, trimming) happens at offsets, not at batches.
local directory, prefix = KEYS[1], ARGV[1]
local now_s, from_offset, next_offset = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local id_window, trim_every = tonumber(ARGV[5]), tonumber(ARGV[6])
local max_surfaces, max_items, ttl_s = tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])

local fence = tonumber(redis.call('HGET', directory, 'fence') or '0')
if from_offset > fence or next_offset <= fence then return fence end

local function fields_of(kind)
  local found, all = {}, redis.call('HGETALL', directory)
  for i = 1, #all, 2 do
    if string.sub(all[i], 1, 2) == kind then found[all[i]] = tonumber(all[i + 1]) end
  end
  return found
end

local function drop_expired()
  for field, expire_time_s in pairs(fields_of('z:')) do
    if expire_time_s <= now_s then
      redis.call('HDEL', directory, field, 'n:' .. string.match(field, '^z:(%a+:%d+:%d+):'))
    end
  end
end

-- Redis keeps small sorted sets as lists, in which an increment takes ten times as long. One long member ends that for
-- good; it is taken out again once there is another.
local too_long_to_be_compact, grown = string.rep('-', 1024), {}

-- The key of an era's sorted set for a surface; '' stands for no surface, and for those beyond the bound. False when
-- the era has expired.
local function sorted_set(era, surface)
  local key = era.keys[surface]
  if key ~= nil then return key end
  local field = 'z:' .. era.name .. ':' .. surface
  if era.expire_time_s <= now_s then
    key = false
  elseif redis.call('HEXISTS', directory, field) == 1 then
    key = prefix .. field
  elseif surface ~= '' and tonumber(redis.call('HGET', directory, 'n:' .. era.name) or '0') >= max_surfaces then
    key = sorted_set(era, '')
  else
    if redis.call('HINCRBY', directory, 'n:' .. era.name, surface == '' and 0 or 1) <= 1 then drop_expired() end
    redis.call('HSET', directory, field, era.expire_time_s)
    key = prefix .. field
    redis.call('ZADD', key, 0, too_long_to_be_compact)
    grown[key] = true
  end
  era.keys[surface] = key
  return key
end

local function add(era, amount, item, surface)
  local key = sorted_set(era, surface)
  if key then redis.call('ZINCRBY', key, amount, item) end
end

local window, ids, ids_before, has_ids, has_ids_before, will_expire
local function was_counted(offset, id)
  local its_window = math.floor(offset / id_window)
  if its_window ~= window then
    window = its_window
    ids = string.format('i:%.0f', window)
    ids_before = prefix .. string.format('i:%.0f', window - 1)
    has_ids = redis.call('HEXISTS', directory, ids) == 1
    has_ids_before = redis.call('EXISTS', ids_before) == 1
    will_expire = false
  end
  if has_ids_before and redis.call('SISMEMBER', ids_before, id) == 1 then return true end
  if redis.call('SADD', prefix .. ids, id) == 0 then return true end
  if not will_expire then
    will_expire = true
    redis.call('EXPIRE', prefix .. ids, ttl_s)
  end
  if not has_ids then
    has_ids = true
    redis.call('HSET', directory, ids, window)
    for field, other in pairs(fields_of('i:')) do
      if other < window - 1 then
        redis.call('UNLINK', prefix .. field)
        redis.call('HDEL', directory, field)
      end
    end
  end
  return false
end

local trimmed = tonumber(redis.call('HGET', directory, 'trimmed') or '-1')
local function trim_when_due(offset)
  local due = math.floor(offset / trim_every)
  if due <= trimmed then return end
  trimmed = due
  redis.call('HSET', directory, 'trimmed', string.format('%.0f', due))
  for field in pairs(fields_of('z:')) do
    local key = prefix .. field
    local excess = redis.call('ZCARD', key) - max_items
    if excess > 0 and grown[key] then -- the long member is no item, and would go before those that are liked
      redis.call('ZREM', key, too_long_to_be_compact)
      grown[key], excess = nil, excess - 1
    end
    if excess > 0 then redis.call('ZREMRANGEBYRANK', key, 0, excess - 1) end
  end
end

local eras, num_eras = {}, tonumber(ARGV[10])
for n = 1, num_eras do
  eras[n] = { name = ARGV[9 + 2 * n], expire_time_s = tonumber(ARGV[10 + 2 * n]), keys = {} }
end
for i = 11 + 2 * num_eras, #ARGV, 8 do
  local offset = tonumber(ARGV[i])
  if offset >= fence and not was_counted(offset, ARGV[i + 1]) then
    trim_when_due(offset)
    add(eras[tonumber(ARGV[i + 4])], ARGV[i + 5], ARGV[i + 2], ARGV[i + 3])
    add(eras[tonumber(ARGV[i + 6])], ARGV[i + 7], ARGV[i + 2], ARGV[i + 3])
  end
end

for key in pairs(grown) do redis.call('ZREM', key, too_long_to_be_compact) end
local last_expiry_s = now_s + ttl_s
for _, era in ipairs(eras) do
  for _, key in pairs(era.keys) do
    if key then
      redis.call('EXPIREAT', key, era.expire_time_s)
      last_expiry_s = math.max(last_expiry_s, era.expire_time_s)
    end
  end
end
redis.call('HSET', directory, 'fence', ARGV[4])
redis.call('EXPIREAT', directory, last_expiry_s, 'NX')
redis.call('EXPIREAT', directory, last_expiry_s, 'GT')
return next_offset
