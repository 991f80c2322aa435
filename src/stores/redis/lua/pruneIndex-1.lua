--[[
  Takes ids that were seen to name no session out of an index. Entries younger than the given age stay: their
  session may be about to be created, perhaps under an id that existed before. Check and removal must not be
  separated for the same reason.

  KEYS[1]  the index
  ARGV[1]  least age in s
  ARGV[2…] session ids

  Output
    { "OK", number of entries removed }
]]
local oldest = (redis.call("TIME")[1] - ARGV[1]) * 1000000
local removed = 0
for i = 2, #ARGV do
  local score = redis.call("ZSCORE", KEYS[1], ARGV[i])
  if score and tonumber(score) <= oldest then
    removed = removed + redis.call("ZREM", KEYS[1], ARGV[i])
  end
end
return { "OK", removed }
