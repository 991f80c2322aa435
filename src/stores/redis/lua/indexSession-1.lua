--[[
  Puts a session into the index of its owner, before it is created: the index may name sessions that do not exist, but
  never misses one that does.

  The score is the time of this call in µs. It is read here, not sent along, so that it goes by the clock that
  pruneIndex compares it with: that of the node that has the index.

  KEYS[1]  the index
  ARGV[1]  session id

  Output
    { "OK" }
]]
local now = redis.call("TIME")
redis.call("ZADD", KEYS[1], now[1] .. string.format("%06d", now[2]), ARGV[1])
return { "OK" }
