--[[
  Creates a session, or renews the one that exists.

  Checking and creating must not be separated: two callers with the same client token must end up with one session.

  KEYS[1]  the session
  ARGV[1]  owner
  ARGV[2]  library item id
  ARGV[3]  content version
  ARGV[4]  lease length in ms
  ARGV[5]  its place in the index of its owner
  ARGV[6]  "1" if it ends with a user of the users file, else ""

  Output
    { "CREATED" | "EXISTS", state, progress, expiresAt in ms, owner, item id, content version,
      "1" if it ends with a user or "", error message or nothing }
]]
local tag = "EXISTS"
local state = redis.call("HGET", KEYS[1], "s")
if not state then
  tag = "CREATED"
  state = "ACTIVE"
  local now = redis.call("TIME")
  redis.call("HSET", KEYS[1], "s", state, "p", 0, "o", ARGV[1], "i", ARGV[2], "v", ARGV[3],
    "c", now[1] .. string.format("%06d", now[2]))
  if ARGV[6] ~= "" then
    redis.call("HSET", KEYS[1], "u", ARGV[6])
  end
  redis.call("PEXPIRE", KEYS[1], ARGV[4])
elseif state == "ACTIVE" then
  -- GT: never ends earlier than an answer has promised before.
  redis.call("PEXPIRE", KEYS[1], ARGV[4], "GT")
end
local session = redis.call("HMGET", KEYS[1], "p", "o", "i", "v", "u", "e", "n")
-- Of parallel creations the one that took its place last may not be the last to come here.
if tonumber(session[7] or 0) < tonumber(ARGV[5]) then
  redis.call("HSET", KEYS[1], "n", ARGV[5])
end
return { tag, state, tonumber(session[1]), redis.call("PEXPIRETIME", KEYS[1]), session[2], session[3], session[4],
  session[5] or "", session[6] or nil }
