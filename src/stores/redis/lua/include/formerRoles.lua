-- Needs: login and roles.
if not roles then
  -- Opened by a former release, which wrote two flags in place of the roles.
  roles = (login[5] == "1" and "admin" or "") .. "," .. (login[6] == "1" and "storage" or "")
end
