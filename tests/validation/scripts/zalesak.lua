-- SPDX-License-Identifier: GPL-3.0-or-later
-- Zalesak's disk: a slotted disk of radius 15 turns once about the middle of a box of 100 x 100 in 628 seconds
-- (S. Zalesak, J. Comput. Phys. 31, 1979; the numbers are those of D. Enright et al., J. Comput. Phys. 183, 2002).
-- `phi` is its signed distance, negative inside. The x-z plane, one voxel along y.
local gas = require("fluid.gas")

local n = param("n", {default = 100, min = 10, max = 1000})
local steps = param("steps", {default = 628, min = 1, max = 100000})
local maccormack = param("maccormack", {default = true})
local clamp = param("clamp", {default = true})
local cubic = param("cubic", {default = false})

sim = FluidEngine.new{domain_size = {n, 1, n}, voxel_size = 100 / n, boundary = {"clamp", "periodic", "clamp"}}
sim:add_field("phi", Format.R32F, 0)
sim:add_field("velocity", Format.R32G32B32F, {0, 0, 0}, {staggered = true})
sim:add_stencil("begin", {outputs = {"phi", "velocity"}, enabled = false, code = [[
    vec2 p = (vec2(coord.xz) + 0.5) * voxel_size;
    float disk = length(p - vec2(50.0, 75.0)) - 15.0;
    vec2 q = vec2(abs(p.x - 50.0) - 2.5, p.y - 85.0); // the slot: 5 wide, from below the disk up to z = 85
    float slot = min(max(q.x, q.y), 0.0) + length(max(q, 0.0));
    WriteField("phi", idx, max(disk, -slot));
    WriteField("velocity", idx, 3.14159265 / 314.0 * vec3(50.0 - p.y, 0.0, p.x - 50.0));
]]})
sim:run_stencil("begin")
gas.advect(sim, {
    fields = {"phi"}, scheme = maccormack and "maccormack" or "semilagrangian", clamp = clamp, trace = 2,
    lookup = cubic and "cubic" or nil,
})
for _ = 1, steps do sim:step(628 / steps) end
