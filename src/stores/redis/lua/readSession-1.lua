--[[
  Reads a session.

  Reading the fields and reading the lease must not be separated: an expiry in between would show a session that has
  no lease.

  KEYS[1]  the session
  ARGV[1]  principal, or "" for one that sees every session

  Output
    { "OK", state, progress, expiresAt in ms, owner, item id, content version, "1" if it ends with a user or "",
      error message or nothing }
    { "NOT_FOUND" }
]]
local session = redis.call("HMGET", KEYS[1], "s", "p", "o", "i", "v", "u", "e")
local owner = session[3]
-- @include requireOwner
return { "OK", session[1], tonumber(session[2]), redis.call("PEXPIRETIME", KEYS[1]), owner, session[4], session[5],
  session[6] or "", session[7] or nil }
