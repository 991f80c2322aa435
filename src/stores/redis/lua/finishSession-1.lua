--[[
  Takes an ACTIVE session to a final state, and announces its end to the processes that are sending its files.

  Checking the state and changing it must not be separated: of several cancels and fails only one may succeed, and no
  keep-alive may succeed after it. Nor may the announcement: a process that dies in between would leave downloads
  running.

  KEYS[1]  the session
  ARGV[1]  principal, or "" for one that sees every session
  ARGV[2]  channel of ends
  ARGV[3]  session id
  ARGV[4]  final state, CANCELED or ERROR
  ARGV[5]  retention in ms
  ARGV[6]  error message of the client; absent for CANCELED

  Output
    { "OK", expiresAt in ms }
    { "NOT_FOUND" }
    { "NOT_ACTIVE", state }
]]
local session = redis.call("HMGET", KEYS[1], "s", "o")
local state, owner = session[1], session[2]
-- @include requireOwner
-- @include requireActive
redis.call("HSET", KEYS[1], "s", ARGV[4])
if ARGV[6] then
  redis.call("HSET", KEYS[1], "e", ARGV[6])
end
-- GT: never ends earlier than an answer has promised before.
redis.call("PEXPIRE", KEYS[1], ARGV[5], "GT")
-- @include announceEnd
return { "OK", redis.call("PEXPIRETIME", KEYS[1]) }
