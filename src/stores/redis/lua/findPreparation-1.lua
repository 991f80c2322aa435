--[[
  Reads what is known of preparing a file. A result that is asked for is kept on: the look and the renewal must not be
  separated, or a claim that follows a lapsed result would live as long as one. It is renewed when it has lost a day,
  because a renewal is a write, which replicas and the log of Redis get.

  KEYS[1]  the preparation
  ARGV[1]  ms that a result is kept after it was last asked for
  ARGV[2]  ms that it loses before it is renewed

  Output
    { "RUNNING", bytes done }
    { "RESULT", result as JSON }
    { "UNKNOWN" }
]]
local known = redis.call("HMGET", KEYS[1], "s", "b", "r")
if not known[1] then
  return { "UNKNOWN" }
end
if known[1] == "running" then
  return { "RUNNING", known[2] }
end
if known[1] == "done" and redis.call("PTTL", KEYS[1]) <= ARGV[1] - ARGV[2] then
  redis.call("PEXPIRE", KEYS[1], ARGV[1])
end
return { "RESULT", known[3] }
