-- SPDX-License-Identifier: GPL-3.0-or-later
-- A vortex winds a disk up into a spiral, and from half time on back again: psi = sin^2(pi x) sin^2(pi z) cos(pi t / T)
-- / pi (R. LeVeque, SIAM J. Numer. Anal. 33, 1996). `phi` is the signed distance to the disk at the start. The x-z
-- plane, one voxel along y.
local gas = require("fluid.gas")

local n = param("n", {default = 128, min = 8, max = 1024})
local steps = param("steps", {default = 1024, min = 1, max = 100000})
local seconds = param("seconds", {default = 8.0, min = 0, max = 100})
local maccormack = param("maccormack", {default = true})
local clamp = param("clamp", {default = true})
local wound = param("wound", {default = false, help = "Stop at half time, where it is wound up most"})

sim = FluidEngine.new{domain_size = {n, 1, n}, voxel_size = 1 / n, boundary = {"clamp", "periodic", "clamp"}}
sim:add_field("phi", Format.R32F, 0)
sim:add_field("velocity", Format.R32G32B32F, {0, 0, 0}, {staggered = true})
sim:add_stencil("begin", {outputs = {"phi"}, enabled = false, code = [[
    WriteField("phi", idx, length((vec2(coord.xz) + 0.5) * voxel_size - vec2(0.5, 0.75)) - 0.15);
]]})
-- The flow of the middle of the step, as differences of psi around each voxel, so that nothing flows together.
sim:add_stencil("stir", {outputs = {"velocity"}, code = [[
    vec2 low = sin(3.14159265 * vec2(coord.xz) * voxel_size), high = sin(3.14159265 * vec2(coord.xz + 1) * voxel_size);
    low *= low;
    high *= high;
    float now = cos(3.14159265 * (time + 0.5 * dt) / params.seconds) / (3.14159265 * voxel_size);
    WriteField("velocity", idx, now * vec3(-low.x * (high.y - low.y), 0.0, low.y * (high.x - low.x)));
]]})
gas.advect(sim, {
    fields = {"phi"}, scheme = maccormack and "maccormack" or "semilagrangian", clamp = clamp, trace = 2,
})
sim:run_stencil("begin")
for _ = 1, wound and steps // 2 or steps do sim:step(seconds / steps) end
