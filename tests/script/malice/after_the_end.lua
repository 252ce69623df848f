-- SPDX-License-Identifier: GPL-3.0-or-later
--! ends = "lua-timeout"
--! seconds = 0.4
-- Once a script is stopped, nothing of it gets another turn: no handler, no closing variable, no coroutine, no text.
sim = FluidEngine.new{domain_size = {1, 1, 1}}
local function loud() print("alive") sim:step(1) end
local closing = setmetatable({}, {__close = loud, __tostring = loud, __index = loud, __gc = nil})
local function spin() local x <close> = closing while true do end end
local function deep(n)
  local x <close> = closing
  if n == 0 then return coroutine.wrap(function() xpcall(spin, loud) loud() end)() end
  local ok = pcall(deep, n - 1)
  loud()
  return ok
end
xpcall(deep, loud, 20)
loud()
