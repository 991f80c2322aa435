--[[
  Reads a login session, which counts as a use of it.

  The look-up and the renewal must not be separated: a login session that is closed in between must not come back.
  The lengths are those configured now, measured by the clock of its TTL.

  KEYS[1]  the login session
  ARGV[1]  idle time in ms
  ARGV[2]  lifetime in ms

  Output
    { "OK", principal, roles as one text, proof, createdAt in ms, now in ms, ms it has left }
    { "NOT_FOUND" }
]]
local login = redis.call("HMGET", KEYS[1], "p", "g", "f", "c", "a", "r")
if not login[1] then
  return { "NOT_FOUND" }
end
local time = redis.call("TIME")
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local left = math.min(ARGV[1], login[4] + ARGV[2] - now)
if left <= 0 then
  redis.call("DEL", KEYS[1])
  return { "NOT_FOUND" }
end
redis.call("PEXPIRE", KEYS[1], ("%d"):format(left))
local roles = login[2]
-- @include formerRoles
return { "OK", login[1], roles, login[3], login[4], ("%d"):format(now), ("%d"):format(left) }
