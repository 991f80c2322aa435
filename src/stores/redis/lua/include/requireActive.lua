-- Refuses sessions in a final state. Needs: state
if state ~= "ACTIVE" then
  return { "NOT_ACTIVE", state }
end
