--[[
  Claims a preparation for a worker if there is none, if it is in ERROR, or if the worker has it already, as when the
  answer to its first claim was lost. For the stored texts of statuses see `storedStatuses`.

  The check and the claim must not be separated: a preparation belongs to one worker at a time.

  KEYS[1]  the preparation
  ARGV[1]  worker
  ARGV[2]  length of the claim in ms

  Output
    { "CLAIMED" }
    { "PREPARING", bytes done, "1" if it is withheld }
    { "RESULT", result as JSON }
]]
local preparation = redis.call("HMGET", KEYS[1], "s", "w", "b", "r", "x")
if preparation[1] == "done" then
  return { "RESULT", preparation[4] }
end
if preparation[1] == "running" and preparation[2] ~= ARGV[1] then
  return { "PREPARING", preparation[3], preparation[5] or "" }
end
if preparation[1] ~= "running" then
  redis.call("DEL", KEYS[1])
  redis.call("HSET", KEYS[1], "s", "running", "w", ARGV[1], "b", 0)
  if preparation[1] == "failed" then
    redis.call("HSET", KEYS[1], "x", "1")
  end
end
redis.call("PEXPIRE", KEYS[1], ARGV[2])
return { "CLAIMED" }
