-- SPDX-License-Identifier: GPL-3.0-or-later
-- A plume in a box far larger than the smoke: only the leaves of 8 x 8 x 8 voxels around the smoke are stored and
-- computed, so that resolution costs what the smoke fills and not what the box would.
local gas = require("fluid.gas")

local n = param("resolution", {default = 192, min = 16, max = 1024, help = "Voxels along each side of the box"})
local frames = param("frames", {default = 60, min = 1, max = 1000, help = "Frames to compute"})
param("buoyancy", {default = 14.0, min = 0, max = 60, help = "How strongly warm smoke rises"})
param("curl", {default = 0.4, min = 0, max = 2, help = "Strength given back to small vortices"})
param("turbulence", {default = 30.0, min = 0, max = 100, help = "Random stirring of the smoke"})
param("fading", {default = 0.5, min = 0, max = 5, help = "How fast the smoke thins out, per second"})
param("cooling", {default = 0.8, min = 0, max = 5, help = "How fast the smoke cools, per second"})

-- A box of 6 units. With `sparse = true` a leaf that no smoke comes near takes neither memory nor time.
sim = FluidEngine.new{domain_size = {n, n, n}, voxel_size = 6 / n, origin = {-3, -3, 0}, sparse = true}
gas.fields(sim, {"density", "temperature"})

-- The leaves around an emitter are always awake.
gas.emit(sim, {
    shape = gas.cylinder{center = {0, 0, 0.2}, radius = 0.16, height = 0.16},
    fields = {density = 1, temperature = 1},
    noise = {scale = 0.12, amount = 1, speed = 3},
    velocity = {0, 0, 1.5},
})
-- Leaves wake where these fields are about to flow, and sleep where both are nearly gone. Heat matters less than what is
-- seen, so it counts from 0.02 on.
gas.advect(sim, {fields = {"density"}, active = {above = 2e-3}})
gas.advect(sim, {fields = {"temperature"}, active = {above = 2e-2}})
gas.advect_velocity(sim)
gas.buoyancy(sim, {temperature = "params.buoyancy", density = 0.2})
gas.confinement(sim, {strength = "params.curl"})
gas.turbulence(sim, {
    strength = "params.turbulence", scale = 0.2, speed = 2, octaves = 3,
    where = 'min(ReadField("density", idx), 1.0)',
})
-- Outside of the active leaves the air is open and at rest.
gas.project(sim)
gas.dissipate(sim, {fields = {density = "params.fading", temperature = "params.cooling"}})

sim:run{frames = frames, fps = 24, export = "plume_####.vdb",
        fields = {"density", "temperature", "velocity"}, half = true}
