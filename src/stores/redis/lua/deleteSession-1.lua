--[[
  Removes a session in any state, and announces its end to the processes that are sending its files.

  Checking the owner and removing the session must not be separated: the id may be given to a new session in between.
  Nor may the announcement: a process that dies in between would leave downloads running.

  KEYS[1]  the session
  ARGV[1]  principal, or "" for one that sees every session
  ARGV[2]  channel of ends
  ARGV[3]  session id

  Output
    { "OK", owner, its place in the index of its owner, or "", state }
    { "NOT_FOUND" }
]]
local session = redis.call("HMGET", KEYS[1], "o", "n", "s")
local owner = session[1]
-- @include requireOwner
redis.call("DEL", KEYS[1])
-- @include announceEnd
-- A former release gave it no place.
return { "OK", owner, session[2] or "", session[3] }
