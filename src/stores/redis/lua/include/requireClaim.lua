-- Refuses a worker whose claim has lapsed. Needs: ARGV[1] worker
if redis.call("HGET", KEYS[1], "w") ~= ARGV[1] then
  return { "LOST" }
end
