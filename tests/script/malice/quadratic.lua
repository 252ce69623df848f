-- SPDX-License-Identifier: GPL-3.0-or-later
--! ends = "lua-timeout"
-- Texts on which our own reading of Lua could take long: brackets, named arguments, quotes and comments without end.
local makers = {
  function(n) return "f(" .. ("a = 1, "):rep(n) .. "b = 2)" end, function(n) return ("f(a = "):rep(n) .. "1" .. (")"):rep(n) end,
  function(n) return ("("):rep(n) end, function(n) return "f(a=1)" .. ("--[["):rep(n) end,
  function(n) return "f(a=1) x = '" .. ("\\z "):rep(n) end, function(n) return "f(a=1) " .. ("[="):rep(n) end,
  function(n) return "f(a=1) [" .. ("="):rep(n) end, function(n) return ("f(a=1)\r"):rep(n) end,
  function(n) return "f(a=1) x = " .. ("0x"):rep(n) .. ("p+"):rep(n) end, function(n) return ("f(a=1,1)"):rep(n) end,
  function(n) return ("if a then "):rep(n) .. "f(a=1)" end, function(n) return "f(" .. ("--\n"):rep(n) .. "a = 1)" end,
  function(n) return ("a."):rep(n) .. "f(a = 1)" end, function(n) return ("function "):rep(n) .. "f(a = 1)" end,
}
while true do
  for i = 1, #makers do load(makers[i](30000)) end
end
