--[[
  Reads a session with what it knows of its files. Fields and lease must come from the same moment, or an expiry
  between the two reads would show a session that has no lease.

  KEYS[1]  the session
  ARGV[1]  principal, or "" for one that sees every session

  Output
    { "OK", expiresAt in ms, field, value, field, value, … }, all of the hash
    { "NOT_FOUND" }
]]
local owner = redis.call("HGET", KEYS[1], "o")
if not owner or (ARGV[1] ~= "" and owner ~= ARGV[1]) then
  return { "NOT_FOUND" }
end
local reply = { "OK", redis.call("PEXPIRETIME", KEYS[1]) }
for i, part in ipairs(redis.call("HGETALL", KEYS[1])) do
  reply[i + 2] = part
end
return reply
