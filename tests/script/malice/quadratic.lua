-- SPDX-License-Identifier: GPL-3.0-or-later
--! ends = "lua-timeout"
--! seconds = 0.4
-- Texts on which our own reading of Lua could take long: brackets, named arguments, quotes and comments without end.
sim = FluidEngine.new{domain_size = {1, 1, 1}}
local makers = {
  function(n) return "f(" .. ("a = 1, "):rep(n) .. "b = 2)" end, function(n) return ("f(a = "):rep(n) .. "1" .. (")"):rep(n) end,
  function(n) return ("("):rep(n) end, function(n) return "f(a=1)" .. ("--[["):rep(n) end,
  function(n) return "f(a=1) x = '" .. ("\\z "):rep(n) end, function(n) return "f(a=1) " .. ("[="):rep(n) end,
  function(n) return "f(a=1) [" .. ("="):rep(n) end, function(n) return ("f(a=1)\r"):rep(n) end,
  function(n) return "f(a=1) x = " .. ("0x"):rep(n) .. ("p+"):rep(n) end, function(n) return ("f(a=1,1)"):rep(n) end,
  function(n) return ("if a then "):rep(n) .. "f(a=1)" end, function(n) return "f(" .. ("--\n"):rep(n) .. "a = 1)" end,
  function(n) return ("a."):rep(n) .. "f(a = 1)" end, function(n) return ("function "):rep(n) .. "f(a = 1)" end,
}
for i = 1, #makers do
  sim:step(1) -- or those at the end would never have a turn
  load(makers[i](5000))
end
while true do load("f(a = 1)") end -- all of them together have one limit
