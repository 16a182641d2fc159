-- How much is kept of one user up to a time. KEYS: their history, consumed, shown. ARGV: the time in µs. Changes nothing.
local num_held = 0
for _, key in ipairs(KEYS) do
  num_held = num_held + redis.call('ZCOUNT', key, '-inf', ARGV[1])
end
return num_held
