-- SPDX-License-Identifier: GPL-3.0-or-later
--! ends = "lua-error"
--! memory_mb = 160
-- Texts of megabytes wherever a text is taken: none of them may reach the host whole.
local big = ("a"):rep(40 * 1000 * 1000)
local lines = ("\n"):rep(60000)
sim = FluidEngine.new{domain_size = {1, 1, 1}}
local takers = {
  function() return sim[big] end, function() sim[big] = 1 end, function() return params[big] end,
  function() return Format[big] end, function() return FluidEngine[big] end, function() return scene[big] end,
  function() scene.object(big) end, function() require(big) end, function() load(big) end, function() load("x", big) end,
  function() load(function() return big end) end, function() warn(big) end, function() print(big) end,
  function() sim:add_field(big, Format.R32F) end, function() sim:step(big) end, function() sim:run{[big] = 1} end,
  function() param(big, {default = 1}) end, function() param("x", {default = 1, help = ("h"):rep(900000)}) end,
  function() param("x", {default = big}) end, function() sim:export_vdb(("p"):rep(900000)) end,
  function() sim:add_field(("n"):rep(900000), Format.R32F) end, function() sim:reduce("u", ("m"):rep(900000)) end,
  function() sim:fill(("n"):rep(900000), ("v"):rep(100000)) end, function() sim:run{[("k"):rep(900000)] = 1} end,
  function() scene.object(("o"):rep(900000)) end, function() error(big, 0) end, function() error({message = big}) end,
  function() tostring(setmetatable({}, {__name = big})) end, function() print(setmetatable({}, {__name = big})) end,
  function() for _ = 1, 30 do print(lines, lines, lines, lines, lines, lines, lines, lines) end end,
  function() for _ = 1, 300 do warn(("w"):rep(60000), ("w"):rep(60000)) end end,
  function() coroutine.wrap(function() error(big, 0) end)() end, function() return big .. {} end,
  function() return big < 1 end, function() return ("x"):rep(10, big) end, function() string.format(big) end,
  function() string.format("%d", big) end, function() return math.floor(big) end, function() return big.x.y end,
  function() load("return " .. ("x"):rep(900000) .. " y") end, function() load("x = '" .. ("y"):rep(900000)) end,
}
local texts = 0
for i = 1, #takers do
  local ok, message = pcall(takers[i])
  if type(message) == "string" and message ~= big and #message > 5000 then texts = texts + 1 end
end
error("long messages: " .. texts)
