-- SPDX-License-Identifier: GPL-3.0-or-later
--! ends = "lua-timeout"
--! seconds = 4
-- Where no stack is left the clock's hook fails. What then runs without a clock must not be of the script: what a
-- coroutine that ended so still closes, and handlers of messages. A loop that catches the failure meets the clock.
local function deep(n, f)
  if n == 0 then return f() end
  return (string.gsub("x", "x", function() deep(n - 1, f) end))
end
local function spin() while true do end end
local function work() for i = 1, 12000 do end end
local closing = {__close = function(_, message) if message then spin() end end}

for depth = 200, 180, -1 do
  local inside
  local function body()
    inside = coroutine.running()
    local x <close> = setmetatable({}, closing)
    deep(depth, work)
  end
  local co = coroutine.create(body)
  if not coroutine.resume(co) then pcall(coroutine.close, co) end
  if not pcall(coroutine.wrap(body)) then pcall(coroutine.close, inside) end
  pcall(deep, depth, function() xpcall(work, spin) end)
end
print("all refused")

for depth = 200, 180, -1 do
  pcall(deep, depth, function() while true do pcall(spin) end end)
end
