--[[
  Adds to the bytes that were sent of an ACTIVE session's files, and renews the lease, whoever owns the session.

  The check of the state, the sums and the lease must not be separated: bytes that are told after a cancel must not
  prolong what the cancel has ended.

  KEYS[1]  the session
  ARGV[1]  lease length in ms
  ARGV[2]  what a sum stays at once it is reached: the greatest number that readers can tell from its neighbours
  ARGV[3…] file name and bytes, for each file

  Output
    "OK <expiresAt in ms> <progress>"
    { "NOT_FOUND" }
    { "NOT_ACTIVE", state }
]]
local session = redis.call("HMGET", KEYS[1], "s", "p")
if not session[1] then
  return { "NOT_FOUND" }
end
if session[1] ~= "ACTIVE" then
  return { "NOT_ACTIVE", session[1] }
end
local most = tonumber(ARGV[2])
for i = 3, #ARGV, 2 do
  local field = "b:" .. ARGV[i]
  if redis.call("HINCRBY", KEYS[1], field, ARGV[i + 1]) > most then
    redis.call("HSET", KEYS[1], field, ARGV[2])
  end
end
redis.call("PEXPIRE", KEYS[1], ARGV[1], "GT")
return ("OK %d %s"):format(redis.call("PEXPIRETIME", KEYS[1]), session[2])
