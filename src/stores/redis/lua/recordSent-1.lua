--[[
  Adds to the bytes that were sent of an ACTIVE session's files, and renews the lease, for any owner.

  Checking the state, adding the bytes and renewing the lease must not be separated: bytes that are recorded after a
  cancel must not prolong what the cancel has ended.

  KEYS[1]  the session
  ARGV[1]  lease length in ms
  ARGV[2]  maximum of a sum, which it keeps once it is reached: the greatest integer that readers represent exactly
  ARGV[3…] file name and bytes, for each file

  Output
    "OK <expiresAt in ms> <progress>"
    { "NOT_FOUND" }
    { "NOT_ACTIVE", state }
]]
local call, key, leaseMs = redis.call, KEYS[1], ARGV[1]
local session = call("HMGET", key, "s", "p")
local state, progress = session[1], session[2]
if not state then
  return { "NOT_FOUND" }
end
-- @include requireActive
local maxBytes = tonumber(ARGV[2])
local function add(field, bytes)
  if call("HINCRBY", key, field, bytes) > maxBytes then
    call("HSET", key, field, ARGV[2])
  end
end
for i = 3, #ARGV, 2 do
  add("b:" .. ARGV[i], ARGV[i + 1])
  -- The sum, so that a walk over all sessions does not read all of their files.
  add("t", ARGV[i + 1])
end
-- @include renewLease
