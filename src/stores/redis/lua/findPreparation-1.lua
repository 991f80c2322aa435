--[[
  Reads the preparation of a file and renews a PREPARED one. For the stored texts of statuses see `storedStatuses`.

  The read and the renewal must not be separated: a claim that follows a lapsed result would live as long as a result. A
  result is renewed only when it has lost a day, because a renewal is a write, which replicas and the log of Redis get.

  KEYS[1]  the preparation
  ARGV[1]  ms that a result is kept after it was last read
  ARGV[2]  ms that it loses before it is renewed

  Output
    { "PREPARING", bytes done, "1" if it is withheld }
    { "RESULT", result as JSON }
    { "UNPREPARED" }
]]
local preparation = redis.call("HMGET", KEYS[1], "s", "b", "r", "x")
if not preparation[1] then
  return { "UNPREPARED" }
end
if preparation[1] == "running" then
  return { "PREPARING", preparation[2], preparation[4] or "" }
end
if preparation[1] == "done" and redis.call("PTTL", KEYS[1]) <= ARGV[1] - ARGV[2] then
  redis.call("PEXPIRE", KEYS[1], ARGV[1])
end
return { "RESULT", preparation[3] }
