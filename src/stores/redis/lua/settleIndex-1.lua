--[[
  Corrects places of an index after a look at their sessions, and answers with places that have to be looked at. The
  place of a session that is gone is removed. That of one that exists gets the time until which it is sure to exist, so
  that nobody looks at it again before.

  A place is held, and stays, if its session may be about to be created, perhaps under an id that existed before; the
  one that the removed session itself had is not. Checking that and changing the place must not be separated, for the
  same reason.

  KEYS[1]  the index
  ARGV[1]  µs that a place is held after it was taken
  ARGV[2]  maximum number of ids in the answer
  ARGV[3…] for each session its id, the place that it had or "", and when it expires in ms, 0 if it is gone

  Output
    { "OK", number of places that are left, id, id, … }
]]
local key = KEYS[1]
local time = redis.call("TIME")
local now = time[1] * 1000000 + time[2]
local heldSince = now - ARGV[1]
for i = 3, #ARGV, 3 do
  local id, had, expiresAt = ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 2])
  local place = tonumber(redis.call("ZSCORE", key, id))
  if place and expiresAt == 0 then
    local isHeld = place > heldSince and place <= now
    if not isHeld or string.format("%.0f", place) == had then
      redis.call("ZREM", key, id)
    end
  elseif place and place <= heldSince then
    -- A second at least, however much the clocks of two nodes differ: looking on and on must come to an end.
    local sure = math.max(expiresAt * 1000 - ARGV[1], heldSince + 1000000)
    redis.call("ZADD", key, string.format("%.0f", sure), id)
  end
end
local unsure = redis.call("ZRANGE", key, "-inf", string.format("%.0f", heldSince), "BYSCORE", "LIMIT", 0, ARGV[2])
return { "OK", redis.call("ZCARD", key), unpack(unsure) }
