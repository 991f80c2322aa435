--[[
  Records the progress of a worker and extends its claim.

  The check and the change must not be separated: a worker whose claim has lapsed must not change the preparation of the next.

  KEYS[1]  the preparation
  ARGV[1]  worker
  ARGV[2]  length of the claim in ms
  ARGV[3]  bytes done

  Output
    { "OK" }
    { "LOST" }
]]
-- @include requireClaim
redis.call("HSET", KEYS[1], "b", ARGV[3])
redis.call("PEXPIRE", KEYS[1], ARGV[2])
return { "OK" }
