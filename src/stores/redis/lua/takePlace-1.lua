--[[
  Takes a place for a session in the index of its owner, before it is created: the index may name sessions that do not
  exist, but never misses one that does. A session that has a place gets a newer one, whatever the quota.

  Counting and taking must not be separated: of parallel creations only as many may pass as there are places.

  A place is the time of its call in µs. It is read here, not sent along, so that it goes by the clock that settleIndex
  compares it with: that of the node that has the index.

  KEYS[1]  the index
  ARGV[1]  session id
  ARGV[2]  maximum number of places, 0 for any
  ARGV[3]  ms that the index is kept
  ARGV[4]  "" or a place that a former call has taken, to write it once more, for replicas

  Output
    { "OK", place }
    { "FULL" }
]]
local key, id, place, max = KEYS[1], ARGV[1], ARGV[4], tonumber(ARGV[2])
if place == "" then
  if max > 0 and redis.call("ZCARD", key) >= max and not redis.call("ZSCORE", key, id) then
    return { "FULL" }
  end
  local now = redis.call("TIME")
  place = now[1] .. string.format("%06d", now[2])
end
-- GT: a parallel call for the same session may have taken a newer one.
redis.call("ZADD", key, "GT", place, id)
redis.call("PEXPIRE", key, ARGV[3])
return { "OK", place }
