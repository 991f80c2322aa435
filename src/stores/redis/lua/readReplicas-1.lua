--[[
  Reads what replicas know of each other.

  KEYS[1]  the replicas

  Output
    { "OK", now in ms, field, value, field, value, … }, all of the hash
]]
local time = redis.call("TIME")
local reply = { "OK", ("%d"):format(time[1] * 1000 + math.floor(time[2] / 1000)) }
for i, part in ipairs(redis.call("HGETALL", KEYS[1])) do
  reply[i + 2] = part
end
return reply
