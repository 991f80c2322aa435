--[[
  Gives out the next portion of the bandwidth; the rules are those of `domain/bandwidth.ts`.

  Reading when the portions before it are over and writing when this one is must not be separated: two processes would
  get the same portion.

  KEYS[1]  the bandwidth
  ARGV[1]  worker
  ARGV[2]  downloads that it sends
  ARGV[3]  limit in bytes per second
  ARGV[4]  how long the portions of all workers last, in ms
  ARGV[5]  slack in ms
  ARGV[6]  how far ahead bandwidth is given out at most, in ms
  ARGV[7]  how long the worker counts, in ms

  Output
    { "OK", bytes, ms until they may be sent, share }
]]
local key, worker, downloads = KEYS[1], ARGV[1], tonumber(ARGV[2])
local perMs = ARGV[3] / 1000
local time = redis.call("TIME")
local now = time[1] * 1000 + time[2] / 1000
local givenUntil, elsewhere = 0, 0
local fields = redis.call("HGETALL", key)
for i = 1, #fields, 2 do
  local field, value = fields[i], fields[i + 1]
  if field == "until" then
    givenUntil = tonumber(value)
  elseif field ~= "w:" .. worker then
    local count, countsUntil = value:match("^(%S+) (%S+)$")
    if tonumber(countsUntil) > now then
      elsewhere = elsewhere + count
    else
      redis.call("HDEL", key, field)
    end
  end
end
local share = downloads / (downloads + elsewhere)
local bytes = math.max(1, math.floor(perMs * ARGV[4] * share))
local start = math.min(math.max(givenUntil, now - ARGV[5]), now + ARGV[6])
redis.call(
  "HSET", key,
  "until", ("%.3f"):format(start + bytes / perMs),
  "w:" .. worker, ("%d %.3f"):format(downloads, now + ARGV[7])
)
redis.call("PEXPIRE", key, ("%d"):format(ARGV[6] + ARGV[7] + bytes / perMs))
return { "OK", ("%d"):format(bytes), ("%.3f"):format(math.max(0, start - now)), ("%.6f"):format(share) }
