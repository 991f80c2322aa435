--[[
  Reads a session and the state of its files.

  Reading the fields and reading the lease must not be separated: an expiry in between would show a session that has
  no lease.

  KEYS[1]  the session
  ARGV[1]  principal, or "" for one that sees every session

  Output
    { "OK", expiresAt in ms, now in ms, field, value, field, value, … }, all of the hash
    { "NOT_FOUND" }
]]
local owner = redis.call("HGET", KEYS[1], "o")
-- @include requireOwner
local time = redis.call("TIME")
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local reply = { "OK", redis.call("PEXPIRETIME", KEYS[1]), ("%d"):format(now) }
for i, part in ipairs(redis.call("HGETALL", KEYS[1])) do
  reply[i + 3] = part
end
return reply
