--[[
  Removes ids from an index that name no session. Entries younger than the given age stay: their session may be about
  to be created, perhaps under an id that existed before.

  Checking the age and removing the entry must not be separated, for the same reason.

  KEYS[1]  the index
  ARGV[1]  minimum age in s
  ARGV[2…] session ids

  Output
    { "OK", number of entries removed }
]]
local latest = (redis.call("TIME")[1] - ARGV[1]) * 1000000
local removed = 0
for i = 2, #ARGV do
  local score = redis.call("ZSCORE", KEYS[1], ARGV[i])
  if score and tonumber(score) <= latest then
    removed = removed + redis.call("ZREM", KEYS[1], ARGV[i])
  end
end
return { "OK", removed }
