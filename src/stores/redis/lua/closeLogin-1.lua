--[[
  Closes a login session and tells everybody who may have it at hand.

  The removal and the message must not be separated: a process that dies in between would leave the others in belief.

  KEYS[1]  the login session
  ARGV[1]  channel of revocations
  ARGV[2]  what is told there

  Output
    { "OK" }
    { "NOT_FOUND" }
]]
if redis.call("DEL", KEYS[1]) == 0 then
  return { "NOT_FOUND" }
end
-- Where access rules forbid the message the session is closed all the same; the others learn it a little later.
redis.pcall("PUBLISH", ARGV[1], ARGV[2])
return { "OK" }
