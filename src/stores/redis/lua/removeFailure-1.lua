--[[
  Takes one failure back, and keeps the window of the others.

  The look and the step must not be separated: a count that is forgotten in between would begin anew below zero, and
  without a TTL.

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
