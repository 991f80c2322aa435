--[[
  Replaces a worker's claim by its result.

  The check and the change must not be separated: a worker whose claim has lapsed must not end the claim of the next.

  KEYS[1]  the preparation
  ARGV[1]  worker
  ARGV[2]  status as it is stored, done or failed
  ARGV[3]  result as JSON
  ARGV[4]  ms that it is kept

  Output
    { "OK" }
    { "LOST" }
]]
-- @include requireClaim
redis.call("DEL", KEYS[1])
redis.call("HSET", KEYS[1], "s", ARGV[2], "r", ARGV[3])
redis.call("PEXPIRE", KEYS[1], ARGV[4])
return { "OK" }
