--[[
  Removes a session in any state. The check of the owner and the removal must not be separated: the id may be
  given to a new session in between.

  KEYS[1]  the session
  ARGV[1]  principal, or "" for one that sees every session

  Output
    { "OK", owner }
    { "NOT_FOUND" }
]]
local owner = redis.call("HGET", KEYS[1], "o")
if not owner or (ARGV[1] ~= "" and owner ~= ARGV[1]) then
  return { "NOT_FOUND" }
end
redis.call("DEL", KEYS[1])
return { "OK", owner }
