-- Refuses callers that don't own the session, as if it did not exist. A session always has an owner.
-- Needs: owner; ARGV[1] principal, or "" for one that sees every session
if not owner or (owner ~= ARGV[1] and ARGV[1] ~= "") then
  return { "NOT_FOUND" }
end
