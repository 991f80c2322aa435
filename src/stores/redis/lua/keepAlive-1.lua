--[[
  Renews the lease of an ACTIVE session and raises its progress.

  The check of the state, the progress and the lease must not be separated: a keep-alive that was let through
  before a cancel must not prolong, after it, what the cancel has ended.

  KEYS[1]  the session
  ARGV[1]  principal, or "" for one that sees every session
  ARGV[2]  lease length in ms
  ARGV[3]  progress 0..100, "" for none, "invalid" for one that is out of range

  Output
    { "OK", expiresAt in ms, progress }
    { "NOT_FOUND" }
    { "NOT_ACTIVE", state }
    { "INVALID_PROGRESS" }
]]
local session = redis.call("HMGET", KEYS[1], "s", "o", "p")
if not session[1] or (ARGV[1] ~= "" and session[2] ~= ARGV[1]) then
  return { "NOT_FOUND" }
end
if session[1] ~= "ACTIVE" then
  return { "NOT_ACTIVE", session[1] }
end
local progress = tonumber(session[3])
if ARGV[3] ~= "" then
  local told = tonumber(ARGV[3])
  if not told then
    return { "INVALID_PROGRESS" }
  end
  if told > progress then
    progress = told
    redis.call("HSET", KEYS[1], "p", ARGV[3])
  end
end
-- GT: never earlier than what a client was told before.
redis.call("PEXPIRE", KEYS[1], ARGV[2], "GT")
return { "OK", redis.call("PEXPIRETIME", KEYS[1]), progress }
