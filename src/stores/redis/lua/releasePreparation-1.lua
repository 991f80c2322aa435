--[[
  Gives a worker's claim back.

  The check and the removal must not be separated: a worker whose claim has lapsed must not end the claim of the next.

  KEYS[1]  the preparation
  ARGV[1]  worker

  Output
    { "OK" }
    { "LOST" }
]]
-- @include requireClaim
redis.call("DEL", KEYS[1])
return { "OK" }
