-- SPDX-License-Identifier: GPL-3.0-or-later
-- A square cavity full of liquid; its lid slides along x. The x-z plane, one voxel along y.
local gas = require("fluid.gas")

local n = param("n", {default = 128, min = 8, max = 1024})
local reynolds = param("reynolds", {default = 100.0, min = 1, max = 10000})
local dt = param("dt", {default = 0.005, min = 0, max = 1})
local reflection = param("reflection", {default = true})
local seconds = param("seconds", {default = 12.0, min = 0, max = 1000})

sim = FluidEngine.new{domain_size = {n, 1, n}, voxel_size = 1 / n, boundary = {"clamp", "periodic", "clamp"}}
gas.fields(sim, {})
gas.advect_velocity(sim, {trace = 2, reflection = reflection and {sides = "closed"} or nil})
gas.viscosity(sim, {
    coefficient = 1 / reynolds, step = dt, walls = "no-slip", wall_velocity = {["z high"] = {1, 0, 0}},
})
gas.project(sim, {sides = "closed"})

local steps = math.floor(seconds / dt + 0.5)
local last = math.floor(1 / dt + 0.5) -- the last second shows whether anything still changes
for step = 1, steps do
    sim:step(dt)
    if step == steps - last then print(sim:reduce("velocity", "norm")) end
end
print(sim:reduce("velocity", "norm"))
