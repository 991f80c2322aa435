--[[
  Renews the lease of an ACTIVE session and raises its progress.

  The check of the state, the progress and the lease must not be separated: a keep-alive that was let through
  before a cancel must not prolong, after it, what the cancel has ended.

  KEYS[1]  the session
  ARGV[1]  principal, or "" for one that sees every session
  ARGV[2]  lease length in ms
  ARGV[3]  progress 0..100, "" for none, "invalid" for one that is out of range

  Output
    "OK <expiresAt in ms> <progress>", one text because a table takes Redis much longer to answer with
    { "NOT_FOUND" }
    { "NOT_ACTIVE", state }
    { "INVALID_PROGRESS" }
]]
local call, key, principal, told = redis.call, KEYS[1], ARGV[1], ARGV[3]
local session = call("HMGET", key, "s", "o", "p")
local state, progress = session[1], session[3]
if not state or (session[2] ~= principal and principal ~= "") then
  return { "NOT_FOUND" }
end
if state ~= "ACTIVE" then
  return { "NOT_ACTIVE", state }
end
if told == "invalid" then
  return { "INVALID_PROGRESS" }
end
-- The difference compares them as numbers.
if told ~= "" and told - progress > 0 then
  progress = told
  call("HSET", key, "p", told)
end
-- GT: never earlier than what a client was told before.
call("PEXPIRE", key, ARGV[2], "GT")
return ("OK %d %s"):format(call("PEXPIRETIME", key), progress)
