--[[
  Closes a login session and notifies the processes that may have cached it.

  The removal and the message must not be separated: if the process died in between, the others would go on accepting
  the login session.

  KEYS[1]  the login session
  ARGV[1]  channel of revocations
  ARGV[2]  message: the digest of the login session

  Output
    { "OK" }
    { "NOT_FOUND" }
]]
if redis.call("DEL", KEYS[1]) == 0 then
  return { "NOT_FOUND" }
end
-- If access rules forbid the message, the session is closed nevertheless; the others notice a little later.
redis.pcall("PUBLISH", ARGV[1], ARGV[2])
return { "OK" }
