-- SPDX-License-Identifier: GPL-3.0-or-later
-- A wind tunnel. Wind brings lines of smoke in on one side; a ball swings up and down in its way; the flow goes around
-- it and leaves vortices behind. The projection knows how much of each face the ball covers, and how it moves.
local gas = require("fluid.gas")

local n = param("resolution", {default = 56, min = 16, max = 400, help = "Voxels along the short sides"})
local frames = param("frames", {default = 96, min = 1, max = 1000, help = "Frames to compute"})
param("wind", {default = 1.6, min = 0.1, max = 10, help = "Scene units per second"})
param("radius", {default = 0.3, min = 0.1, max = 0.6, help = "Of the ball, scene units"})
param("swing", {default = 0.4, min = 0, max = 0.6, help = "How far the ball swings up and down, scene units"})
param("lines", {default = 7, min = 1, max = 20, help = "Lines of smoke above each other"})

sim = FluidEngine.new{domain_size = {2 * n, n, n}, voxel_size = 2 / n, origin = {-2, -1, 0}}
gas.fields(sim, {"smoke"})
sim:add_field("density", Format.R32F, 0)               -- what a picture shows: the smoke, and the ball
sim:add_field("color", Format.R32G32B32F, {0, 0, 0})

-- The ball moves by itself, because its place depends on time; how fast, the gas has to be told.
gas.obstacle(sim, {
    shape = gas.sphere{center = {-1.1, 0, "1.0 + params.swing * sin(2.5 * time)"}, radius = "params.radius"},
    velocity = {0, 0, "2.5 * params.swing * cos(2.5 * time)"},
})
-- The wind blows in on the left, and fills the tunnel from the start.
gas.inflow(sim, {side = "x low", velocity = {"params.wind", 0, 0}})
gas.faces(sim)
sim:fill("velocity", {params.wind, 0, 0})

gas.extend(sim, {fields = {"smoke"}})                  -- nothing hides in the ball when it moves on
-- A comb of smoke jets close to the fan.
gas.emit(sim, {
    shape = gas.box{center = {-1.7, 0, 1}, size = {0.12, 1.0, 1.9}},
    fields = {smoke = "smoothstep(0.0, 0.25, 0.3 - abs(fract(0.5 * p.z * params.lines) - 0.5))"},
})
gas.advect(sim, {fields = {"smoke"}})
gas.advect_velocity(sim)
gas.confinement(sim, {strength = 0.15})
gas.project(sim, {obstacles = true, sides = {"closed", "open", "closed", "closed", "closed", "closed"}})

sim:add_stencil("show", {inputs = {"smoke", "solid"}, outputs = {"density", "color"}, code = [[
    float ball = clamp(0.5 - ReadField("solid", idx) / voxel_size, 0.0, 1.0);
    if (coord.x < 6) ball = 0.0;                       // the fan counts as an obstacle, too
    float smoke = ReadField("smoke", idx);
    WriteField("density", idx, mix(0.6 * smoke, 3.0, ball));
    WriteField("color", idx, smoke + ball > 0.002 ? mix(vec3(0.75), vec3(0.75, 0.12, 0.05), ball) : vec3(0.0));
]]})

sim:run{frames = frames, fps = 24, export = "tunnel_####.vdb", fields = {"density", "color", "velocity"}, half = true}
