--[[
  Reads all settings.

  KEYS[1]  the settings

  Output
    { "OK", version, name, text, … }
]]
local key = KEYS[1]
-- @include settingsReply
