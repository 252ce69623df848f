-- SPDX-License-Identifier: GPL-3.0-or-later
-- Smoke that starts from a file: sim:load fills a field from a grid of an .nvdb or .vdb, whatever the size of its voxels.
-- letters.nvdb lies beside this script; make_letters.lua, which is there too, made it. Load a cloud of your own instead.
local gas = require("fluid.gas")

local n = param("resolution", {default = 112, min = 16, max = 512, help = "Voxels along the long side"})
local frames = param("frames", {default = 72, min = 1, max = 1000, help = "Frames to compute"})
param("heat", {default = 2.5, min = -10, max = 20, help = "How strongly the smoke rises; below 0 it sinks"})
param("wind", {default = 0.5, min = -5, max = 5, help = "Wind from left to right, scene units per second"})
param("turbulence", {default = 3.0, min = 0, max = 40, help = "Random stirring of the smoke"})
param("hold", {default = 40, min = 0, max = 500, help = "Frames over which the letters come apart, from the left"})

sim = FluidEngine.new{domain_size = {n, n // 3, n // 2}, voxel_size = 2.2 / n, origin = {-1.1, -1.1 / 3, 0}}
gas.fields(sim, {"density", "temperature"})
sim:load("density", "letters.nvdb")
sim:add_field("letters", Format.R32F, 0)               -- as they were, to tell the still ones from the smoke
sim:load("letters", "letters.nvdb", {grid = "density"})

-- A front runs over the letters from the left; behind it they are smoke, ahead of it they stand still.
sim:add_stencil("stand", {inputs = {"letters"}, outputs = {"density", "temperature"}, code = [[
    float x = (float(coord.x) + 0.5) / float(domain_size.x);
    float letter = ReadField("letters", idx);
    float front = float(frame) / max(params.hold, 1.0) - 0.15 * Noise(vec3(coord) * voxel_size * 6.0);
    if (letter <= 0.0 || x < front) return;
    WriteField("density", idx, letter);
    WriteField("temperature", idx, x < front + 0.15 ? letter : 0.0);
]]})
gas.advect(sim, {fields = {"density", "temperature"}})
gas.advect_velocity(sim)
gas.buoyancy(sim, {temperature = "params.heat"})
gas.wind(sim, {velocity = {"params.wind", 0, 0}, strength = 2, where = 'ReadField("temperature", idx)'})
gas.turbulence(sim, {
    strength = "params.turbulence", scale = 0.2, speed = 1, octaves = 2,
    where = 'min(ReadField("temperature", idx), 1.0)',
})
gas.project(sim)
gas.dissipate(sim, {fields = {density = 0.15, temperature = 0.3}})

sim:run{frames = frames, fps = 24, export = "letters_####.vdb", fields = {"density", "velocity"}, half = true}
