--[[
  Keeps a census, if the replica still has to take it.

  The check and the change must not be separated: a replica that was slow must not overwrite the census of the next.

  KEYS[1]  the replicas
  ARGV[1]  name of the replica
  ARGV[2]  the census as JSON

  Output
    { "OK" }
    { "LOST" }
]]
local taker = (redis.call("HGET", KEYS[1], "taker") or ""):match("^%S+ (.*)$")
if taker ~= ARGV[1] then
  return { "LOST" }
end
redis.call("HSET", KEYS[1], "census", ARGV[2])
return { "OK" }
