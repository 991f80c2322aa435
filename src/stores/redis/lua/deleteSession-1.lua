--[[
  Removes a session in any state, and tells those who are sending its files. The check of the owner and the removal
  must not be separated: the id may be given to a new session in between. Nor may the message: a process that dies in
  between would leave transfers running.

  KEYS[1]  the session
  ARGV[1]  principal, or "" for one that sees every session
  ARGV[2]  channel of ends
  ARGV[3]  session id, as it is told there

  Output
    { "OK", owner }
    { "NOT_FOUND" }
]]
local owner = redis.call("HGET", KEYS[1], "o")
if not owner or (ARGV[1] ~= "" and owner ~= ARGV[1]) then
  return { "NOT_FOUND" }
end
redis.call("DEL", KEYS[1])
-- Where access rules forbid the message the session is gone all the same; the others learn it a little later.
redis.pcall("PUBLISH", ARGV[2], ARGV[3])
return { "OK", owner }
