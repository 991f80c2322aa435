--[[
  Notes that a file of an ACTIVE session is asked for, and renews the lease.

  The check of the state, the note and the lease must not be separated: a request that was let through before a cancel
  must not prolong, after it, what the cancel has ended.

  KEYS[1]  the session
  ARGV[1]  principal, or "" for one that sees every session
  ARGV[2]  lease length in ms
  ARGV[3]  file name
  ARGV[4]  endpoint type, HTTPS or DIRECT

  Output
    "OK <expiresAt in ms> <progress>"
    { "NOT_FOUND" }
    { "NOT_ACTIVE", state }
]]
local session = redis.call("HMGET", KEYS[1], "s", "o", "p")
if not session[1] or (ARGV[1] ~= "" and session[2] ~= ARGV[1]) then
  return { "NOT_FOUND" }
end
if session[1] ~= "ACTIVE" then
  return { "NOT_ACTIVE", session[1] }
end
redis.call("HSET", KEYS[1], "r:" .. ARGV[3], ARGV[4])
redis.call("PEXPIRE", KEYS[1], ARGV[2], "GT")
return ("OK %d %s"):format(redis.call("PEXPIRETIME", KEYS[1]), session[3])
