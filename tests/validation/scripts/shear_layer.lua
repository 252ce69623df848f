-- SPDX-License-Identifier: GPL-3.0-or-later
-- Two layers that slide over each other: u = tanh z, with a wave of 0.4446 per thickness of the border, the one that
-- grows fastest without viscosity, at 0.1897 (A. Michalke, J. Fluid Mech. 19, 1964). Lengths in units of that thickness,
-- speeds in units of a layer's. Prints the time and the wave's strength, a line each.
local gas = require("fluid.gas")

local n = param("n", {default = 120, min = 16, max = 1024, help = "Voxels along one wave"})
local high = param("high", {default = 128, min = 16, max = 1024, help = "Voxels across"})
local dt = param("dt", {default = 0.2, min = 0, max = 1})
local seconds = param("seconds", {default = 12.0, min = 0, max = 100})
local every = param("every", {default = 5, min = 1, max = 1000, help = "Steps from one look at the wave to the next"})
local clamp = param("clamp", {default = true})
local reflection = param("reflection", {default = true})
local WAVE, GROWTH, START = 0.4446, 0.1897, 3e-4

-- The shape of the growing wave, w = Re(shape(z) exp(i WAVE x)), from far below up to the middle, above which it is its
-- own mirror image, conjugated: Rayleigh's equation (U - c) (shape'' - WAVE^2 shape) = U'' shape with c = i GROWTH / WAVE,
-- by Heun's rule. Complex numbers are written out.
local voxel = 2 * math.pi / WAVE / n
local PARTS = 16
local function slope(z, re, im)
    local u = 1 - 2 / (math.exp(2 * z) + 1)
    local bend, c = -2 * u * (1 - u * u), GROWTH / WAVE
    local factor_re, factor_im = bend * u / (u * u + c * c) + WAVE ^ 2, bend * c / (u * u + c * c)
    return factor_re * re - factor_im * im, factor_re * im + factor_im * re
end
local re, im = {[0] = 1}, {[0] = 0}
local a, b, da, db = 1.0, 0.0, WAVE, 0.0
for row = 1, high // 2 do
    for part = 0, PARTS - 1 do
        local step, z = voxel / PARTS, (row - 1 + part / PARTS - high // 2) * voxel
        local a1, b1 = slope(z, a, b)
        local a2, b2 = slope(z + step, a + step * da, b + step * db)
        a, b = a + step * da + 0.5 * step ^ 2 * a1, b + step * db + 0.5 * step ^ 2 * b1
        da, db = da + 0.5 * step * (a1 + a2), db + 0.5 * step * (b1 + b2)
    end
    re[row], im[row] = a, b
end
local shape = {}
local size = math.sqrt(a * a + b * b)
for row = 0, high // 2 do
    -- Turned so that it is real in the middle, of strength 1 there, and 0 on the wall.
    local wall = row == 0 and 0 or 1
    shape[#shape + 1] = string.format("vec2(%.9f, %.9f)", wall * (re[row] * a + im[row] * b) / size ^ 2,
        wall * (im[row] * a - re[row] * b) / size ^ 2)
end

sim = FluidEngine.new{
    domain_size = {n, 1, high}, voxel_size = voxel, origin = {0, 0, -0.5 * high * voxel},
    boundary = {"periodic", "periodic", "clamp"},
}
gas.fields(sim, {})
sim:add_field("wave", Format.R32G32F, {0, 0})
-- The flow as differences of its stream function around each voxel's corners, so that nothing flows together.
sim:add_stencil("begin", {outputs = {"velocity"}, enabled = false, code = [[
    const vec2 shape[] = vec2[](]] .. table.concat(shape, ", ") .. [[);
    const float wave = ]] .. WAVE .. [[;
    float psi[3];
    for (int k = 0; k < 3; k++) { // here, one on along x, one on along z
        int row = coord.z + (k == 2 ? 1 : 0) - domain_size.z / 2;
        vec2 here = shape[domain_size.z / 2 - abs(row)] * vec2(1.0, row > 0 ? -1.0 : 1.0);
        float along = wave * voxel_size * float(coord.x + (k == 1 ? 1 : 0));
        psi[k] = ]] .. START .. [[ / wave * (here.x * sin(along) + here.y * cos(along));
    }
    float middle = (float(coord.z) + 0.5 - 0.5 * float(domain_size.z)) * voxel_size;
    WriteField("velocity", idx,
        vec3(tanh(middle) - (psi[2] - psi[0]) / voxel_size, 0.0, (psi[1] - psi[0]) / voxel_size));
]]})
sim:run_stencil("begin")
gas.advect_velocity(sim, {trace = 2, clamp = clamp, reflection = reflection and {sides = "closed"} or nil})
gas.project(sim, {sides = "closed"})
sim:add_stencil("listen", {inputs = {"velocity"}, outputs = {"wave"}, enabled = false, code = [[
    float along = 6.28318531 * (float(coord.x) + 0.5) / float(domain_size.x);
    WriteField("wave", idx, ReadField("velocity", idx).z * vec2(cos(along), sin(along)));
]]})
local function look()
    sim:run_stencil("listen")
    local wave = sim:reduce("wave", "sum")
    print(string.format("%.9g %.9g", sim.time, math.sqrt(wave[1] ^ 2 + wave[2] ^ 2)))
end
look()
for step = 1, math.floor(seconds / dt + 0.5) do
    sim:step(dt)
    if step % every == 0 then look() end
end
