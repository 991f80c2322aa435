-- Needs: key
local reply = { "OK", "0" }
local fields = redis.call("HGETALL", key)
for i = 1, #fields, 2 do
  if fields[i] == "version" then
    reply[2] = fields[i + 1]
  else
    reply[#reply + 1] = fields[i]:sub(3)
    reply[#reply + 1] = fields[i + 1]
  end
end
return reply
