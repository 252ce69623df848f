-- SPDX-License-Identifier: GPL-3.0-or-later
--! ends = "done"
-- Where am I? Every text that comes back is looked through by the test for folders of the machine.
sim = FluidEngine.new{domain_size = {1, 1, 1}}
local asked = {
  function() error("here") end, function() error("here", 2) end, function() require("missing") end, function() require("a.b") end,
  function() require("fluid.missing") end, function() load("error('in load')")() end, function() load("x x", "@/etc/passwd")() end,
  function() error(load("x x", "@/etc/passwd")) end, function() error(load("x x")) end, function() local f f() end,
  function() sim:load("u", "missing.vdb") end, function() sim:export_vdb("/x/y.vdb") end, function() sim:step() end,
  function() return sim + 1 end, function() return #sim end, function() require("broken") end, function() require("fails") end,
  function() require("helper")(error) end, function() string.rep() end, function() ("x"):rep(1e10) end,
}
for i = 1, #asked do
  print(i, pcall(asked[i]))
  print(i, xpcall(asked[i], function(message) return message end))
  print(i, coroutine.resume(coroutine.create(asked[i])))
end
print(require("helper"), select("#", require("helper")), ...)
for name, value in pairs(_G) do print(name, tostring(value)) end
