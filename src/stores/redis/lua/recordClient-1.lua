--[[
  Records the address of the client of a session's last call. Renews nothing.

  The check and the change must not be separated: a field of a session that is gone would stay for ever.

  KEYS[1]  the session
  ARGV[1]  address

  Output
    { "OK" }
]]
if redis.call("EXISTS", KEYS[1]) == 1 then
  redis.call("HSET", KEYS[1], "a", ARGV[1])
end
return { "OK" }
