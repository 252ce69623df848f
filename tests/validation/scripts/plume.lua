-- SPDX-License-Identifier: GPL-3.0-or-later
-- A plume over a round source in the middle of the floor, mirror-symmetric about x = 0 and y = 0; or, in a closed box, a
-- ball of smoke that is there from the start and rises. Prints the mass of the smoke at the start and after each step.
local gas = require("fluid.gas")

local n = param("n", {default = 24, min = 8, max = 512})
local steps = param("steps", {default = 100, min = 1, max = 10000})
local closed = param("closed", {default = false})
local maccormack = param("maccormack", {default = true})
local tolerance = param("tolerance", {default = 1e-3, min = 0, max = 1})
local weigh = param("weigh", {default = false})
local lift = param("lift", {default = 4.0, min = 0, max = 100})
local dt = param("dt", {default = 1 / 24, min = 0, max = 1})
local trace = param("trace", {default = 2, min = 1, max = 2})

local voxel = 1 / 16
sim = FluidEngine.new{
    domain_size = {n, n, n}, voxel_size = voxel, origin = {-0.5 * n * voxel, -0.5 * n * voxel, 0},
    boundary = closed and "clamp" or "open",
}
gas.fields(sim, {"density", "temperature"})
sim:add_field("leak", Format.R32G32B32F, {0, 0, 0})
local scheme = maccormack and "maccormack" or "semilagrangian"
local ball = gas.sphere{center = {0, 0, closed and 0.5 or 0.25}, radius = closed and 0.3 or 0.2}
if closed then
    sim:add_stencil("begin", {outputs = {"density", "temperature"}, enabled = false, code = [[
        vec3 p = (vec3(coord) + 0.5 - 0.5 * vec3(domain_size.xy, 16.0)) * voxel_size;
        float inside = clamp(0.5 + (0.3 - length(p)) / voxel_size, 0.0, 1.0);
        WriteField("density", idx, inside);
        WriteField("temperature", idx, inside);
    ]]})
    sim:run_stencil("begin")
else
    gas.emit(sim, {shape = ball, fields = {density = 1, temperature = 1}, softness = 4})
end
gas.advect(sim, {fields = {"density", "temperature"}, scheme = scheme, trace = trace})
gas.advect_velocity(sim, {scheme = scheme, trace = trace})
gas.buoyancy(sim, {temperature = lift})
gas.project(sim, {sides = closed and "closed" or "open", tolerance = tolerance})
-- What the faces of the walls let through: the low ones; those at the high ends are not even stored.
sim:add_stencil("leak", {inputs = {"velocity"}, outputs = {"leak"}, enabled = false, code = [[
    WriteField("leak", idx, ReadField("velocity", idx) * vec3(equal(coord, ivec3(0))));
]]})

if weigh then print(sim:reduce("density", "sum")) end
for _ = 1, steps do
    sim:step(dt)
    if weigh then print(sim:reduce("density", "sum")) end
end
-- The divergence of what the projection left, against that which it found.
sim:add_stencil("measure_rest", {inputs = {"velocity"}, outputs = {"pressure"}, enabled = false, code = [[
    vec3 low = ReadField("velocity", idx);
    vec3 high = vec3(ReadField("velocity", coord + ivec3(1, 0, 0)).x, ReadField("velocity", coord + ivec3(0, 1, 0)).y,
                     ReadField("velocity", coord + ivec3(0, 0, 1)).z);
    bool air = ]] .. (closed and "false" or "any(equal(coord, ivec3(0))) || any(equal(coord, domain_size - 1))") .. [[;
    WriteField("pressure", idx, air ? 0.0 : high.x - low.x + high.y - low.y + high.z - low.z);
]]})
sim:run_stencil("leak")
sim:run_stencil("measure_rest")
