-- SPDX-License-Identifier: GPL-3.0-or-later
-- Dry-ice fog. It is colder than the air, so it is heavy: a temperature below 0 sinks, and spreads over the ground as a
-- gravity current, with a raised head that rolls over itself at the front (J. E. Simpson, "Gravity Currents", 1997).
local gas = require("fluid.gas")

local n = param("resolution", {default = 80, min = 16, max = 512, help = "Voxels along the long sides"})
local frames = param("frames", {default = 96, min = 1, max = 1000, help = "Frames to compute"})
param("cold", {default = 6.0, min = 0, max = 20, help = "How strongly the cold fog sinks"})
param("lumps", {default = 0.8, min = 0, max = 1, help = "How uneven the fog pours out"})
param("thinning", {default = 0.1, min = 0, max = 5, help = "How fast the fog warms up and thins out, per second"})

sim = FluidEngine.new{domain_size = {n, n, n // 4}, voxel_size = 4 / n, origin = {-2, -2, 0}}
gas.fields(sim, {"fog", "temperature"})
sim:add_field("density", Format.R32F, 0)               -- what a picture shows: fog, ground and pillars
sim:add_field("color", Format.R32G32B32F, {0, 0, 0})

-- Five pillars stand in the way.
local pillars = {}
for i = 1, 5 do
    local angle = 2 * math.pi * (i + 0.15) / 5
    pillars[i] = gas.cylinder{center = {1.05 * math.cos(angle), 1.05 * math.sin(angle), 0.2}, radius = 0.13, height = 0.8}
end
gas.obstacle(sim, {shape = gas.union(table.unpack(pillars))})
gas.faces(sim)

-- The fog wells up in a ring between them.
gas.emit(sim, {
    shape = gas.torus{center = {0, 0, 0.2}, radius = 0.4, thickness = 0.2},
    fields = {fog = 1, temperature = -1},
    noise = {scale = 0.3, amount = "params.lumps", speed = 1.5},
})
gas.advect(sim, {fields = {"fog", "temperature"}})
gas.advect_velocity(sim)
gas.buoyancy(sim, {temperature = "params.cold"})
gas.confinement(sim, {strength = 0.4})
gas.turbulence(sim, {strength = 1.5, scale = 0.35, speed = 1, octaves = 2, where = 'min(ReadField("fog", idx), 1.0)'})
-- The ground is closed; to all sides and upwards the air is free.
gas.project(sim, {obstacles = true, sides = {"open", "open", "open", "open", "closed", "open"}})
gas.dissipate(sim, {fields = {fog = "params.thinning", temperature = "params.thinning"}})

sim:add_stencil("show", {inputs = {"fog", "solid"}, outputs = {"density", "color"}, code = [[
    float r = length((vec3(coord) + 0.5).xy / vec2(domain_size.xy) - 0.5) * 4.0;
    float stone = clamp(0.5 - ReadField("solid", idx) / voxel_size, 0.0, 1.0);
    if (coord.z == 0) stone = clamp(0.5 + (1.9 - r) / voxel_size, 0.0, 1.0);
    float fog = ReadField("fog", idx);
    WriteField("density", idx, mix(fog, 1.5, stone));
    WriteField("color", idx, fog + stone > 0.002 ? mix(vec3(0.8, 0.85, 0.9), vec3(0.10, 0.07, 0.05), stone) : vec3(0.0));
]]})

sim:run{frames = frames, fps = 24, export = "fog_####.vdb", fields = {"density", "color", "velocity"}, half = true}
