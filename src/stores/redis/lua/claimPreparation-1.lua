--[[
  Claims a job for a worker if nothing is known of it, if it failed, or if the worker has it already, as it has when
  the answer to its first claim was lost.

  The look and the claim must not be separated: a job belongs to one worker at a time.

  KEYS[1]  the preparation
  ARGV[1]  worker
  ARGV[2]  length of the claim in ms

  Output
    { "CLAIMED" }
    { "RUNNING", bytes done }
    { "RESULT", result as JSON }
]]
local known = redis.call("HMGET", KEYS[1], "s", "w", "b", "r")
if known[1] == "done" then
  return { "RESULT", known[4] }
end
if known[1] == "running" and known[2] ~= ARGV[1] then
  return { "RUNNING", known[3] }
end
if known[1] ~= "running" then
  redis.call("DEL", KEYS[1])
  redis.call("HSET", KEYS[1], "s", "running", "w", ARGV[1], "b", 0)
end
redis.call("PEXPIRE", KEYS[1], ARGV[2])
return { "CLAIMED" }
