-- SPDX-License-Identifier: GPL-3.0-or-later
-- Detail beyond the flow's voxels: scalars on a finer grid than the velocity, stirred by whirls that the flow is too coarse
-- to hold.
--
-- Wavelet turbulence (T. Kim, N. Thuerey, D. James, M. Gross, "Wavelet Turbulence for Fluid Simulation", SIGGRAPH 2008): the
-- energy of the smallest whirls that the flow still holds says how strong the next smaller ones are, by Kolmogorov's spectrum
-- a factor of 2^(-5/6) in speed per octave. Those are curl noise (R. Bridson, J. Hourihan, M. Nordenstam, SIGGRAPH 2007) in
-- place of wavelet noise. The noise moves with the flow: it is looked up by where the gas came from, and as that becomes
-- stretched, two layers of noise take turns, each starting anew while it cannot be seen (F. Neyret, "Advected Textures",
-- SCA 2003; their weights are a sine and a cosine, so the energy of the sum stays).
local values = require("fluid.values")
local filled = values.filled

local detail = {}

local resolutions = setmetatable({}, {__mode = "k"}) -- engine -> the resolution of its fine fields

-- Declares fine scalars (R32F, 0) and what detail.advect_fine works with.
--   fields       their names, {"density"}: not among those of gas.fields
--   resolution   fine voxels along a voxel's edge, 2 (default), 3 or 4
-- Working memory: 16 bytes per fine voxel and 52 per voxel.
function detail.fields(sim, fields, given)
    local o = values.options(given, "detail.fields", {"resolution"})
    if type(fields) ~= "table" or #fields == 0 then
        error('detail.fields takes a list of names first, such as {"density"}.', 0)
    end
    local resolution = values.choice(o.resolution, 2, "resolution", {2, 3, 4})
    if resolutions[sim] and resolutions[sim] ~= resolution then
        error("The fine fields of an engine share one resolution, which is " .. resolutions[sim] .. ".", 0)
    end
    for _, name in ipairs(fields) do sim:add_field(name, Format.R32F, 0, {resolution = resolution}) end
    if resolutions[sim] then return end
    resolutions[sim] = resolution
    sim:add_field("detail_carried", Format.R32F, 0, {resolution = resolution})
    sim:add_field("detail_flow", Format.R32G32B32F, {0, 0, 0}, {resolution = resolution})
    sim:add_field("detail_speed", Format.R32F, 0)
    sim:add_field("detail_from_1", Format.R32G32B32F, {0, 0, 0})
    sim:add_field("detail_from_2", Format.R32G32B32F, {0, 0, 0})
end

-- What the flow holds beyond its mean over two voxels, as a speed: the eight samples half a voxel away are the tent filter
-- (1 2 1)/4 along each axis, and what it takes away is the last octave.
local SPEED = [[
vec3 mean = vec3(0.0);
for (int i = 0; i < 8; i++) {
    mean += 0.125 * SampleField("$velocity", vec3(coord) + vec3(i & 1, (i >> 1) & 1, i >> 2) - 0.5);
}
WriteField("detail_speed", idx, length(SampleField("$velocity", vec3(coord)) - mean));
]]

-- Where the gas of a voxel was when the layer began, less where it is, in scene units: carried along by the flow.
local FROM = [[
float before = floor(time / $period + $phase), after = floor((time + dt) / $period + $phase);
vec3 way = dt * SampleField("$velocity", vec3(coord));
WriteField("$from_new", idx, after > before ? vec3(0.0) : SampleField("$from", vec3(coord) - way / voxel_size) - way);
]]

-- Flow on the fine grid. `speed` is that of the flow's own last octave.
local FLOW = [[
vec3 flow = SampleField("$velocity", vec3(coord));
float speed = $strength * SampleField("detail_speed", vec3(coord));
if (speed * dt > 0.001 * voxel_size) {
    vec3 at = (vec3(coord) + 0.5) * voxel_size;
    float turn = 3.14159265 * time / $period;
    vec3 first = at + SampleField("detail_from_1", vec3(coord)), second = at + SampleField("detail_from_2", vec3(coord)) + 57.3;
    float scale = 1.0 / (1.5 * $coarse); // whirls that the fine voxels can still carry
    for (int octave = 0; octave < $octaves; octave++) {
        speed *= 0.5612310; // 2^(-5/6)
        flow += speed / 1.19 * (abs(sin(turn)) * CurlNoise(first * scale) + abs(cos(turn)) * CurlNoise(second * scale));
        scale *= 2.0;
    }
}
WriteField("detail_flow", idx, flow);
]]

local CARRY = [[
WriteField("detail_carried", idx, SampleField("$field", vec3(coord) - dt / voxel_size * ReadField("detail_flow", idx)));
]]

local CORRECT = [[
vec3 way = dt / voxel_size * ReadField("detail_flow", idx);
vec3 from = vec3(coord) - way;
float value = ReadField("detail_carried", idx)
    + 0.5 * (ReadField("$field", idx) - SampleField("detail_carried", vec3(coord) + way));
ivec3 corner = ivec3(floor(from));
float least = 1e38, most = -1e38;
for (int i = 0; i < 8; i++) {
    float v = ReadField("$field", corner + ivec3(i & 1, (i >> 1) & 1, i >> 2));
    least = min(least, v);
    most = max(most, v);
}
WriteField("$field_new", idx, clamp(value, least, most));
]]

local function add(sim, name, output, code, names)
    code = filled(code, names)
    sim:add_stencil(values.name(sim, name), {inputs = values.reads(code), outputs = {output}, code = code})
end

-- Carries fine scalars with the flow and with whirls that are finer than it.
--   fields     of detail.fields; all of one engine in one call
--   strength   of the added whirls, a number or GLSL (default 1: what the flow's spectrum goes on with; 0: none)
--   period     seconds after which a layer of noise begins anew (default 1; about as long as a whirl of two voxels takes to turn)
--   velocity   the staggered field that carries (default "velocity")
-- MacCormack with clamping (as gas.advect), one octave of noise for resolution 2, two for 3 and 4. The added flow is free of
-- divergence where its strength does not vary. A sparse domain follows the fields. Halo: the voxels that something travels in a step, and one more. Fields of the
-- flow's own resolution cannot be emitted together with fine ones: give each its gas.emit.
function detail.advect_fine(sim, given)
    local o = values.options(given, "gas.advect_fine", {"fields", "strength", "period", "velocity"})
    local resolution = resolutions[sim]
    if not resolution then error("gas.advect_fine needs fine fields: call detail.fields first.", 0) end
    if type(o.fields) ~= "table" or #o.fields == 0 then
        error('"fields" of gas.advect_fine must be a list such as {"density"}.', 0)
    end
    local names = {
        velocity = o.velocity or "velocity", strength = values.float(o.strength or 1, "strength"),
        period = values.float(o.period or 1, "period"), coarse = values.float(sim.voxel_size, "voxel_size"),
        octaves = tostring(math.ceil(math.log(resolution, 2))),
    }
    if o.strength == 0 then
        add(sim, "detail_flow", "detail_flow", 'WriteField("detail_flow", idx, SampleField("$velocity", vec3(coord)));', names)
    else
        add(sim, "detail_speed", "detail_speed", SPEED, names)
        add(sim, "detail_flow", "detail_flow", FLOW, names)
        for layer, phase in ipairs{"0.0", "0.5"} do
            names.phase, names.from, names.from_new = phase, "detail_from_" .. layer, "detail_from_" .. layer .. "_new"
            add(sim, "detail_from", names.from_new, FROM, names)
        end
    end
    values.follow(sim, o.fields)
    for _, field in ipairs(o.fields) do
        names.field, names.field_new = field, field .. "_new"
        add(sim, "carry_" .. field, "detail_carried", CARRY, names)
        add(sim, "correct_" .. field, names.field_new, CORRECT, names)
    end
end

return detail
