-- SPDX-License-Identifier: GPL-3.0-or-later
-- A plume of warm smoke: the gas solver in its usual order. Each operator adds its stencils to a step, in the order of
-- the calls; numbers may be texts of GLSL, so that sliders act while it runs.
local gas = require("fluid.gas")

local n = param("resolution", {default = 64, min = 16, max = 512, help = "Voxels along the short sides"})
local frames = param("frames", {default = 72, min = 1, max = 1000, help = "Frames to compute"})
param("buoyancy", {default = 4.0, min = 0, max = 30, help = "How strongly warm smoke rises"})
param("curl", {default = 0.5, min = 0, max = 2, help = "Strength given back to small vortices"})
param("turbulence", {default = 12.0, min = 0, max = 40, help = "Random stirring of the smoke"})
param("cooling", {default = 0.6, min = 0, max = 5, help = "How fast the smoke cools, per second"})

sim = FluidEngine.new{domain_size = {n, n, n * 3 // 2}, voxel_size = 2 / n, origin = {-1, -1, 0}}
gas.fields(sim, {"density", "temperature"})

-- Smoke and heat enter through a disc; noise eats into it, so that the plume is never the same twice.
gas.emit(sim, {
    shape = gas.cylinder{center = {0, 0, 0.2}, radius = 0.22, height = 0.1},
    fields = {density = 1, temperature = 1},
    noise = {scale = 0.1, amount = 1, speed = 3},
})
-- The flow carries smoke and heat, and itself.
gas.advect(sim, {fields = {"density", "temperature"}})
gas.advect_velocity(sim)
-- What speeds it up: heat lifts, vortices keep their strength, noise stirs where there is smoke.
gas.buoyancy(sim, {temperature = "params.buoyancy", density = 0.2})
gas.confinement(sim, {strength = "params.curl"})
gas.turbulence(sim, {
    strength = "params.turbulence", scale = 0.16, speed = 2, octaves = 3,
    where = 'min(ReadField("density", idx), 1.0)',
})
-- Pressure takes out what would flow out of nothing or into nothing.
gas.project(sim)
-- Smoke thins out and cools.
gas.dissipate(sim, {fields = {density = 0.5, temperature = "params.cooling"}})

sim:run{frames = frames, fps = 24, export = "smoke_####.vdb",
        fields = {"density", "temperature", "velocity"}, half = true}
