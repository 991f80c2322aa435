--[[
  Reports a replica, adds what it has counted to the totals, and gives it the census if that is nobody else's.

  A batch that is repeated, because its answer was lost, is added once. Finding that nobody has the census and taking it must not be separated: two replicas would count at once.

  KEYS[1]  the replicas
  ARGV[1]  name of the replica
  ARGV[2]  the replica as JSON
  ARGV[3]  leases granted since its last report
  ARGV[4]  leases ended since its last report
  ARGV[5]  ms that a report counts
  ARGV[6]  maximum number of replicas
  ARGV[7]  name of the batch that was counted

  Output
    { "OK", now in ms, leases granted, leases ended, "1" if it takes the census, else "0", census as JSON or nothing }
]]
local key, name = KEYS[1], ARGV[1]
local time = redis.call("TIME")
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local field = "r:" .. name
local before = redis.call("HGET", key, field)
local isRepeated = before and before:match("^%S+ (%S+)") == ARGV[7]
local granted = redis.call("HINCRBY", key, "granted", isRepeated and 0 or ARGV[3])
local ended = redis.call("HINCRBY", key, "ended", isRepeated and 0 or ARGV[4])
local takenUntil, taker = (redis.call("HGET", key, "taker") or "0 "):match("^(%S+) (.*)$")
local takes = taker == name or tonumber(takenUntil) <= now
if takes then
  redis.call("HSET", key, "taker", ("%d %s"):format(now + ARGV[5], name))
  -- Only one has to look for those that are silent.
  local fields = redis.call("HGETALL", key)
  for i = 1, #fields, 2 do
    local seenAt = fields[i]:sub(1, 2) == "r:" and tonumber(fields[i + 1]:match("^%S+"))
    if seenAt and seenAt <= now - ARGV[5] then
      redis.call("HDEL", key, fields[i])
    end
  end
end
-- Besides replicas there are four fields.
if redis.call("HLEN", key) < ARGV[6] + 4 or before then
  redis.call("HSET", key, field, ("%d %s %s"):format(now, ARGV[7], ARGV[2]))
end
return { "OK", ("%d"):format(now), ("%d"):format(granted), ("%d"):format(ended), takes and "1" or "0",
  redis.call("HGET", key, "census") or nil }
