-- SPDX-License-Identifier: GPL-3.0-or-later
-- Dry-ice fog. It is colder than the air, so it is heavy: a temperature below 0 sinks, and spreads over the ground as a
-- gravity current, with a raised head that rolls over itself at the front (J. E. Simpson, "Gravity Currents", 1997).
local gas = require("fluid.gas")
local shapes = require("fluid.shapes")

local n = param("resolution", {default = 96, min = 16, max = 512, help = "Voxels along the long sides"})
local frames = param("frames", {default = 96, min = 1, max = 1000, help = "Frames to compute"})
param("cold", {default = 4.0, min = 0, max = 20, help = "How strongly the cold fog sinks"})
param("lumps", {default = 0.9, min = 0, max = 1, help = "How uneven the fog pours out"})
param("thinning", {default = 0.25, min = 0, max = 5, help = "How fast the fog warms up and thins out, per second"})

sim = FluidEngine.new{domain_size = {n, n, n // 3}, voxel_size = 4 / n, origin = {-2, -2, 0}}
gas.fields(sim, {"density", "temperature"})

-- The fog wells up in a ring and falls outwards.
gas.emit(sim, {
    shape = shapes.torus{center = {0, 0, 0.45}, radius = 0.35, thickness = 0.14},
    fields = {density = 1, temperature = -1},
    noise = {scale = 0.35, amount = "params.lumps", speed = 1.2},
})
gas.advect(sim, {fields = {"density", "temperature"}})
gas.advect_velocity(sim)
gas.buoyancy(sim, {temperature = "params.cold"})
gas.confinement(sim, {strength = 0.3})
gas.turbulence(sim, {strength = 1.0, scale = 0.35, speed = 1, octaves = 2, where = 'min(ReadField("density", idx), 1.0)'})
-- The ground is closed; to all sides and upwards the air is free.
gas.project(sim, {sides = {"open", "open", "open", "open", "closed", "open"}})
gas.dissipate(sim, {fields = {density = "params.thinning", temperature = "params.thinning"}})

sim:run{frames = frames, fps = 24, export = "fog_####.vdb", fields = {"density", "velocity"}, half = true}
