--[[
  Takes an ACTIVE session to a final state, and tells those who are sending its files.

  The check and the change must not be separated: of several cancels and fails only one may succeed, and no
  keep-alive may succeed after it. Nor may the message: a process that dies in between would leave transfers running.

  KEYS[1]  the session
  ARGV[1]  principal, or "" for one that sees every session
  ARGV[2]  final state, CANCELED or ERROR
  ARGV[3]  retention in ms
  ARGV[4]  channel of ends
  ARGV[5]  session id, as it is told there
  ARGV[6]  error message of the client; absent for CANCELED

  Output
    { "OK", expiresAt in ms }
    { "NOT_FOUND" }
    { "NOT_ACTIVE", state }
]]
local session = redis.call("HMGET", KEYS[1], "s", "o")
if not session[1] or (ARGV[1] ~= "" and session[2] ~= ARGV[1]) then
  return { "NOT_FOUND" }
end
if session[1] ~= "ACTIVE" then
  return { "NOT_ACTIVE", session[1] }
end
redis.call("HSET", KEYS[1], "s", ARGV[2])
if ARGV[6] then
  redis.call("HSET", KEYS[1], "e", ARGV[6])
end
redis.call("PEXPIRE", KEYS[1], ARGV[3], "GT")
-- Where access rules forbid the message the session ends all the same; the others learn it a little later.
redis.pcall("PUBLISH", ARGV[4], ARGV[5])
return { "OK", redis.call("PEXPIRETIME", KEYS[1]) }
