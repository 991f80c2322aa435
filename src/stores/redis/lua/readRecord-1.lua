--[[
  Reads a session as an operator sees it.

  Reading the fields and reading the lease must not be separated: an expiry in between would show a session that has
  no lease.

  KEYS[1]  the session

  Output
    { "OK", creation time in µs, bytes sent, client address or "", state, progress, expiresAt in ms, owner, item id,
      content version, "1" if it ends with a user or "", error message or nothing }
    { "NOT_FOUND" }
]]
local session = redis.call("HMGET", KEYS[1], "c", "t", "a", "s", "p", "o", "i", "v", "u", "e")
local owner = session[6]
if not owner then
  return { "NOT_FOUND" }
end
return { "OK", session[1], session[2] or "0", session[3] or "", session[4], tonumber(session[5]),
  redis.call("PEXPIRETIME", KEYS[1]), owner, session[7], session[8], session[9] or "", session[10] or nil }
