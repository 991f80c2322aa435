--[[
  Reads a login session as an operator sees it, which is no use of it.

  Reading the fields and reading what is left must not be separated: an expiry in between would show a login session
  that is over.

  KEYS[1]  the login session

  Output
    { "OK", principal, roles as one text, proof, createdAt in ms, expiresAt in ms }
    { "NOT_FOUND" }
]]
local login = redis.call("HMGET", KEYS[1], "p", "g", "f", "c", "a", "r")
if not login[1] then
  return { "NOT_FOUND" }
end
local roles = login[2]
-- @include formerRoles
return { "OK", login[1], roles, login[3], login[4], redis.call("PEXPIRETIME", KEYS[1]) }
