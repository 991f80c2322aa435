--[[
  Renews the lease of an ACTIVE session and raises its progress.

  Checking the state, raising the progress and renewing the lease must not be separated: a keep-alive that was let
  through before a cancel must not prolong, after it, what the cancel has ended.

  KEYS[1]  the session
  ARGV[1]  principal, or "" for one that sees every session
  ARGV[2]  lease length in ms
  ARGV[3]  progress 0..100, "" for none, "invalid" for one that is out of range

  Output
    "OK <expiresAt in ms> <progress>"
    { "NOT_FOUND" }
    { "NOT_ACTIVE", state }
    { "INVALID_PROGRESS" }
]]
local call, key, leaseMs, reported = redis.call, KEYS[1], ARGV[2], ARGV[3]
local session = call("HMGET", key, "s", "o", "p")
local state, owner, progress = session[1], session[2], session[3]
-- @include requireOwner
-- @include requireActive
if reported == "invalid" then
  return { "INVALID_PROGRESS" }
end
-- The difference compares them as numbers.
if reported ~= "" and reported - progress > 0 then
  progress = reported
  call("HSET", key, "p", reported)
end
-- @include renewLease
