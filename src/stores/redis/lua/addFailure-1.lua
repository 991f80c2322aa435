--[[
  Counts a failure; the window begins with the first.

  The count and the TTL must not be separated: a count without a TTL would lock somebody out for ever.

  KEYS[1]  the count
  ARGV[1]  window in ms

  Output
    { "OK", count, ms until it is forgotten }
]]
local count = redis.call("INCR", KEYS[1])
if count == 1 then
  redis.call("PEXPIRE", KEYS[1], ARGV[1])
end
return { "OK", count, redis.call("PTTL", KEYS[1]) }
