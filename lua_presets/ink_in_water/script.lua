-- SPDX-License-Identifier: GPL-3.0-or-later
-- Ink in water. A liquid that fills its box is a gas to the solver: the walls are closed, and what is heavy sinks. Each
-- drop rolls up into a ring, and the ring falls apart into smaller ones (J. J. Thomson and H. F. Newall, 1885).
local gas = require("fluid.gas")

local n = param("resolution", {default = 56, min = 16, max = 512, help = "Voxels along the short sides"})
local frames = param("frames", {default = 96, min = 1, max = 1000, help = "Frames to compute"})
param("weight", {default = 8.0, min = 0, max = 20, help = "How much heavier the ink is than the water"})
param("drop", {default = 0.26, min = 0.03, max = 0.4, help = "Radius of the drops, scene units"})
param("stir", {default = 1.5, min = 0, max = 10, help = "Unrest of the water"})

sim = FluidEngine.new{domain_size = {n, n * 2 // 3, n * 3 // 2}, voxel_size = 2 / n, origin = {-1, -2 / 3, 0},
                       boundary = "clamp"}
gas.fields(sim, {"density", "warm"})                 -- two inks: `warm` says how much of the second is in it
sim:add_field("color", Format.R32G32B32F, {0, 0, 0})

-- Three drops, one after the other, each with a push downwards.
local drops = {{x = -0.38, frame = 1, warm = 0}, {x = 0.38, frame = 10, warm = 1}, {x = 0, frame = 30, warm = 0.5}}
for _, drop in ipairs(drops) do
    gas.emit(sim, {
        shape = gas.sphere{center = {drop.x, 0, 2.6}, radius = "params.drop"},
        fields = {density = 1, warm = drop.warm},
        noise = {scale = 0.25, amount = 0.6, seed = drop.frame},
        velocity = {0, 0, -1},
        from = drop.frame, to = drop.frame + 3,
    })
end
gas.advect(sim, {fields = {"density", "warm"}})
gas.advect_velocity(sim, {reflection = {sides = "closed"}}) -- keeps the fine threads alive far longer
gas.buoyancy(sim, {temperature = 0, density = "params.weight"})
gas.turbulence(sim, {
    strength = "params.stir", scale = 0.3, speed = 1, octaves = 2,
    where = 'min(ReadField("density", idx), 1.0)',
})
gas.project(sim, {sides = "closed"})

-- A picture shows each ink in its own colour, and mixtures in between.
sim:add_stencil("tint", {inputs = {"density", "warm"}, outputs = {"color"}, code = [[
    float ink = ReadField("density", idx), part = clamp(ReadField("warm", idx) / max(ink, 0.01), 0.0, 1.0);
    vec3 tint = mix(vec3(0.05, 0.25, 0.95), vec3(0.95, 0.10, 0.35), part);
    WriteField("color", idx, ink > 0.001 ? tint : vec3(0.0));
]]})

sim:run{frames = frames, fps = 24, export = "ink_####.vdb", fields = {"density", "color", "velocity"}, half = true}
