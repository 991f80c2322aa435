--[[
  Opens a login session.

  The session and its TTL must not be separated: one without a TTL would stay for ever.

  KEYS[1]  the login session
  ARGV[1]  principal
  ARGV[2]  "1" for an admin, else "0"
  ARGV[3]  "1" for one who may read storage, else "0"
  ARGV[4]  proof
  ARGV[5]  idle time in ms
  ARGV[6]  lifetime in ms

  Output
    { "OK" }
]]
local time = redis.call("TIME")
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call("HSET", KEYS[1], "p", ARGV[1], "a", ARGV[2], "r", ARGV[3], "f", ARGV[4], "c", ("%d"):format(now))
redis.call("PEXPIRE", KEYS[1], math.min(ARGV[5], ARGV[6]))
return { "OK" }
