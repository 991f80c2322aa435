-- Announces that the session has ended. Where access rules forbid the message, the session ends all the same, and
-- other processes notice a little later. Needs: ARGV[2] channel of ends, ARGV[3] session id
redis.pcall("PUBLISH", ARGV[2], ARGV[3])
