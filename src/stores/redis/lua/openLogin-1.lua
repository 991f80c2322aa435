--[[
  Opens a login session.

  The session and its TTL must not be separated: one without a TTL would stay for ever.

  KEYS[1]  the login session
  ARGV[1]  principal
  ARGV[2]  roles, as one text
  ARGV[3]  proof
  ARGV[4]  idle time in ms
  ARGV[5]  lifetime in ms
  ARGV[6]  "1" for an admin, else "0": for former releases, which do not read the roles
  ARGV[7]  "1" for one that may read storage, else "0": as well

  Output
    { "OK" }
]]
local time = redis.call("TIME")
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call("HSET", KEYS[1],
  "p", ARGV[1], "g", ARGV[2], "f", ARGV[3], "c", ("%d"):format(now), "a", ARGV[6], "r", ARGV[7])
redis.call("PEXPIRE", KEYS[1], math.min(ARGV[4], ARGV[5]))
return { "OK" }
