--[[
  Takes one failure back, and keeps the window of the others.

  The look-up and the decrement must not be separated: a count that expired in between would start below zero, without a
  TTL.

  KEYS[1]  the count

  Output
    { "OK" }
]]
local count = redis.call("GET", KEYS[1])
if count == "1" then
  redis.call("DEL", KEYS[1])
elseif count then
  redis.call("DECR", KEYS[1])
end
return { "OK" }
