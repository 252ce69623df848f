-- SPDX-License-Identifier: GPL-3.0-or-later
-- A square cavity full of air: its wall at low x is warm, that at high x cold, floor and ceiling are insulated
-- (G. de Vahl Davis, Int. J. Numer. Meth. Fluids 3, 1983). Lengths in sides, times in side^2 / heat's diffusivity,
-- temperatures from -1/2 to 1/2. The x-z plane, one voxel along y.
local gas = require("fluid.gas")

local n = param("n", {default = 64, min = 8, max = 1024})
local rayleigh = param("rayleigh", {default = 1000.0, min = 0, max = 1e7})
local dt = param("dt", {default = 0.0005, min = 0, max = 1})
local seconds = param("seconds", {default = 0.4, min = 0, max = 10})
local PRANDTL = 0.71

sim = FluidEngine.new{domain_size = {n, 1, n}, voxel_size = 1 / n, boundary = {"clamp", "periodic", "clamp"}}
gas.fields(sim, {"temperature"})
sim:add_stencil("begin", {outputs = {"temperature"}, enabled = false, code = [[
    WriteField("temperature", idx, 0.5 - (float(coord.x) + 0.5) * voxel_size);
]]})
sim:run_stencil("begin")
gas.advect(sim, {fields = {"temperature"}})
gas.diffuse(sim, {field = "temperature", coefficient = 1, step = dt, fixed = {["x low"] = 0.5, ["x high"] = -0.5}})
gas.advect_velocity(sim)
gas.buoyancy(sim, {temperature = rayleigh * PRANDTL})
gas.viscosity(sim, {coefficient = PRANDTL, step = dt, walls = "no-slip"})
gas.project(sim, {sides = "closed"})

local steps = math.floor(seconds / dt + 0.5)
for step = 1, steps do
    sim:step(dt)
    if step == steps * 9 // 10 then print(sim:reduce("velocity", "norm")) end
end
print(sim:reduce("velocity", "norm"))
