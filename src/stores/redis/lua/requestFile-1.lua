--[[
  Records that a file of an ACTIVE session is requested, and renews the lease.

  Checking the state, recording the request and renewing the lease must not be separated: a request that was let
  through before a cancel must not prolong, after it, what the cancel has ended.

  KEYS[1]  the session
  ARGV[1]  principal, or "" for one that sees every session
  ARGV[2]  lease length in ms
  ARGV[3]  file name
  ARGV[4]  endpoint type, HTTPS or DIRECT

  Output
    "OK <expiresAt in ms> <progress>"
    { "NOT_FOUND" }
    { "NOT_ACTIVE", state }
]]
local call, key, leaseMs = redis.call, KEYS[1], ARGV[2]
local session = call("HMGET", key, "s", "o", "p")
local state, owner, progress = session[1], session[2], session[3]
-- @include requireOwner
-- @include requireActive
call("HSET", key, "r:" .. ARGV[3], ARGV[4])
local time = call("TIME")
call("HSETNX", key, "q:" .. ARGV[3], ("%d"):format(time[1] * 1000 + math.floor(time[2] / 1000)))
-- @include renewLease
