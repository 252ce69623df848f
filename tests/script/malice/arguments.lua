-- SPDX-License-Identifier: GPL-3.0-or-later
--! ends = "done"
-- Arguments with a life of their own: nothing of theirs may be called while the host reads them, and none may pass.
sim = FluidEngine.new{domain_size = {1, 1, 1}}
local called = 0
local function count(...) called = called + 1 return ... end
local meta = {}
for _, name in ipairs({"__index", "__newindex", "__call", "__len", "__pairs", "__eq", "__lt", "__le", "__concat", "__close",
                       "__tostring", "__unm", "__add", "__idiv", "__band", "__name"}) do meta[name] = count end
local function alive(t) return setmetatable(t or {}, meta) end
local values = {
  alive(), alive({1, 2, 3}), alive({dt = 1}), {alive()}, {dt = alive()}, {[alive()] = 1}, print, coroutine.create(print),
  sim, FluidEngine, Format, params, scene, {sim}, _G, {[1] = 1, [2.5] = 1}, {[math.mininteger] = 1}, {[math.huge] = 1},
  {[-0.0] = 1}, {[1 << 62] = 1}, 0 / 0, math.huge, -math.huge, math.mininteger, math.maxinteger, 2 ^ 1023, 5e-324,
}
local passed = 0
for i = 1, #values do
  for _, call in ipairs({sim.add_field, sim.add_stencil, sim.step, sim.run, sim.reduce, sim.read, sim.fill, sim.load,
                         sim.export_vdb, sim.activate, sim.enable, sim.add_object, sim.add_solver, FluidEngine.new, param,
                         scene.object}) do
    for _, first in ipairs({sim, values[i]}) do
      pcall(call, first, values[i])
      pcall(call, first, "name", values[i])
      pcall(call, first, "name", values[i], values[i], {x = values[i]})
    end
  end
  if i <= 20 and pcall(sim.fill, sim, "u", values[i]) then passed = passed + 1 end
end
local shared = {}
for _ = 1, 28 do shared = {shared, shared} end -- 2^28 tables to whoever walks them all
print(called, passed, pcall(sim.fill, sim, "u", shared))
print(pcall(sim.fill, sim, table.unpack({}, 1, 250)))
