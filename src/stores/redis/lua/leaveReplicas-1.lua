--[[
  Forgets a replica, and leaves the census to others.

  The check and the removal must not be separated: the census may have become another replica's in between.

  KEYS[1]  the replicas
  ARGV[1]  name of the replica

  Output
    { "OK" }
]]
redis.call("HDEL", KEYS[1], "r:" .. ARGV[1])
if (redis.call("HGET", KEYS[1], "taker") or ""):match("^%S+ (.*)$") == ARGV[1] then
  redis.call("HDEL", KEYS[1], "taker")
end
return { "OK" }
