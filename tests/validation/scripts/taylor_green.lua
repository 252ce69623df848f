-- SPDX-License-Identifier: GPL-3.0-or-later
-- Taylor-Green vortices in the periodic square [0, 2 pi]^2 of the x-z plane: u = cos x sin z, w = -sin x cos z, which
-- only decay, by exp(-2 nu t). One voxel along y.
local gas = require("fluid.gas")

local n = param("n", {default = 32, min = 8, max = 1024})
local steps = param("steps", {default = 25, min = 1, max = 100000})
local reflection = param("reflection", {default = false})
local clamp = param("clamp", {default = false})
local NU, SECONDS = 0.01, 1

sim = FluidEngine.new{domain_size = {n, 1, n}, voxel_size = 2 * math.pi / n, boundary = "periodic"}
gas.fields(sim, {})
sim:add_stencil("begin", {outputs = {"velocity"}, enabled = false, code = [[
    vec3 low = vec3(coord) * voxel_size, middle = low + 0.5 * voxel_size;
    WriteField("velocity", idx, vec3(cos(low.x) * sin(middle.z), 0.0, -sin(middle.x) * cos(low.z)));
]]})
sim:run_stencil("begin")

gas.advect_velocity(sim, {clamp = clamp, trace = 2, reflection = reflection and {tolerance = 1e-5} or nil})
gas.viscosity(sim, {coefficient = NU, step = SECONDS / steps})
gas.project(sim, {tolerance = 1e-5})

local before = sim:reduce("velocity", "norm")
for _ = 1, steps do sim:step(SECONDS / steps) end
print((sim:reduce("velocity", "norm") / before) ^ 2)
