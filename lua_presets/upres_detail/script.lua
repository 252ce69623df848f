-- SPDX-License-Identifier: GPL-3.0-or-later
-- Up-res in two passes. First a coarse run, which is quick and settles how the smoke moves; its velocity goes to files.
-- Then smoke on a grid three times as fine is carried by that flow. The big motion stays as it was, so the look can be
-- tuned without a surprise.
local gas = require("fluid.gas")

local n = param("resolution", {default = 32, min = 8, max = 256, help = "Voxels along the short sides of the coarse run"})
local frames = param("frames", {default = 60, min = 1, max = 1000, help = "Frames to compute"})
local finer = param("finer", {default = 3, min = 2, max = 4, help = "Fine voxels along the side of a coarse one"})
param("buoyancy", {default = 4.0, min = 0, max = 30, help = "How strongly warm smoke rises"})
param("detail", {default = 4.0, min = 0, max = 10, help = "Strength of the whirls that the fine run adds"})

-- A source that both runs share.
local function source(sim, fields)
    gas.emit(sim, {
        shape = gas.cylinder{center = {0, 0, 0.22}, radius = 0.2, height = 0.16},
        fields = fields, noise = {scale = 0.14, amount = 0.9, speed = 2},
    })
end

-- The first pass: a small plume, of which only the flow is kept.
coarse = FluidEngine.new{domain_size = {n, n, n * 3 // 2}, voxel_size = 2 / n, origin = {-1, -1, 0}}
gas.fields(coarse, {"temperature"})
source(coarse, {temperature = 1})
gas.advect(coarse, {fields = {"temperature"}})
gas.advect_velocity(coarse)
gas.buoyancy(coarse, {temperature = "params.buoyancy"})
gas.confinement(coarse, {strength = 0.3})
gas.project(coarse)
gas.dissipate(coarse, {fields = {temperature = 0.6}})
coarse:run{frames = frames, fps = 24, export = "coarse/flow_####.vdb", fields = {"velocity"}}

-- The second pass: fine smoke, and the flow of each frame from its file. Nothing is solved here. Whirls that the coarse
-- grid could not hold are added where the flow's own smallest ones are strong (wavelet turbulence).
sim = FluidEngine.new{domain_size = {n, n, n * 3 // 2}, voxel_size = 2 / n, origin = {-1, -1, 0}}
sim:add_field("velocity", Format.R32G32B32F, {0, 0, 0}, {staggered = true})
gas.detail.fields(sim, {"density"}, {resolution = finer})
source(sim, {density = 1})
gas.advect_fine(sim, {fields = {"density"}, strength = "params.detail"})
for frame = 1, frames do
    sim:step(1 / 24)
    sim:load("velocity", string.format("coarse/flow_%04d.vdb", frame)) -- carries the smoke through the next frame
    sim:export_vdb(string.format("smoke_%04d.vdb", frame), {fields = {"density"}, half = true})
end
