--[[
  Reads a session. Fields and lease must come from the same moment, or an expiry between the two reads would
  show a session that has no lease.

  KEYS[1]  the session
  ARGV[1]  principal, or "" for one that sees every session

  Output
    { "OK", state, progress, expiresAt in ms, owner, item id, content version, error message or nothing }
    { "NOT_FOUND" }
]]
local session = redis.call("HMGET", KEYS[1], "s", "p", "o", "i", "v", "e")
if not session[1] or (ARGV[1] ~= "" and session[3] ~= ARGV[1]) then
  return { "NOT_FOUND" }
end
return { "OK", session[1], tonumber(session[2]), redis.call("PEXPIRETIME", KEYS[1]), session[3], session[4],
  session[5], session[6] or nil }
