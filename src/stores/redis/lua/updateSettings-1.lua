--[[
  Changes settings if their version is the one that the caller has read, and notifies the processes.

  The comparison and the change must not be separated: of two processes that change settings at once, one would undo what
  the other has done.

  KEYS[1]  the settings
  ARGV[1]  version that the caller has read
  ARGV[2]  channel of settings
  ARGV[3]  number of values to set
  ARGV[4…] name and text of each value to set, then the names to reset

  Output
    { "OK", version, name, text, … }
    { "OUTDATED" }
]]
local key = KEYS[1]
local version = tonumber(redis.call("HGET", key, "version") or "0")
if version ~= tonumber(ARGV[1]) then
  return { "OUTDATED" }
end
local firstReset = 4 + 2 * ARGV[3]
for i = 4, firstReset - 1, 2 do
  redis.call("HSET", key, "s:" .. ARGV[i], ARGV[i + 1])
end
for i = firstReset, #ARGV do
  redis.call("HDEL", key, "s:" .. ARGV[i])
end
redis.call("HSET", key, "version", ("%d"):format(version + 1))
-- If access rules forbid the message, the others notice a little later.
redis.pcall("PUBLISH", ARGV[2], ("%d"):format(version + 1))
-- @include settingsReply
