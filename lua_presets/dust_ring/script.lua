-- SPDX-License-Identifier: GPL-3.0-or-later
-- A ring of dust. A blast above the ground presses the air down and outwards; at its edge the air rolls up into a ring
-- that runs on by itself and lifts what lies on the ground.
local gas = require("fluid.gas")

local n = param("resolution", {default = 96, min = 16, max = 512, help = "Voxels along the long sides"})
local frames = param("frames", {default = 60, min = 1, max = 1000, help = "Frames to compute"})
param("blast", {default = 14.0, min = 0, max = 60, help = "How hard the air is pushed down, scene units per second"})
param("dust", {default = 1.0, min = 0, max = 5, help = "How much dust lies on the ground"})
param("grain", {default = 0.7, min = 0, max = 1, help = "How uneven the dust lies"})
param("weight", {default = 0.4, min = 0, max = 10, help = "How fast the dust settles again"})

sim = FluidEngine.new{domain_size = {n, n, n // 4}, voxel_size = 4 / n, origin = {-2, -2, 0}}
gas.fields(sim, {"density"})

-- Dust lies on the ground in patches, and flies up where the air runs fast over it.
gas.emit(sim, {
    shape = gas.plane{point = {0, 0, 0.06}},
    fields = {density = 'params.dust * smoothstep(0.7, 2.5, length(ReadField("velocity", idx)))'},
    noise = {scale = 0.12, amount = "params.grain"},
})
-- The blast: a few frames of a hard push downwards.
gas.emit(sim, {
    shape = gas.sphere{center = {0, 0, 0.5}, radius = 0.3},
    velocity = {0, 0, "-params.blast"},
    to = 5,
})
gas.advect(sim, {fields = {"density"}})
gas.advect_velocity(sim, {trace = 2})
gas.buoyancy(sim, {temperature = 0, density = "params.weight"})
gas.confinement(sim, {strength = 0.5})
gas.turbulence(sim, {
    strength = 3, scale = 0.25, speed = 1, octaves = 2,
    where = 'min(ReadField("density", idx), 1.0)',
})
gas.project(sim, {sides = {"open", "open", "open", "open", "closed", "open"}})
gas.dissipate(sim, {fields = {density = 0.2}})

-- Dust is brown, whatever the light.
sim:add_field("color", Format.R32G32B32F, {0, 0, 0})
sim:add_stencil("paint", {inputs = {"density"}, outputs = {"color"}, code = [[
    WriteField("color", idx, ReadField("density", idx) > 0.001 ? vec3(0.55, 0.40, 0.26) : vec3(0.0));
]]})
sim:run{frames = frames, fps = 24, substeps = "auto", cfl = 4, export = "dust_####.vdb",
        fields = {"density", "color", "velocity"}, half = true}
