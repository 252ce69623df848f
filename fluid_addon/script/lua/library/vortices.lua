-- SPDX-License-Identifier: GPL-3.0-or-later
-- Small vortices: noise that stirs, and confinement that gives the flow's own back what advection took.
local values = require("fluid.values")
local faces = require("fluid.faces")

local vortices = {}

local AXES = faces.AXES

-- ===== Curl noise

-- The curl of a vector of noises, by differences over the voxel's edges: `push` at its three low faces. What enters a
-- voxel leaves it again but for rounding. Each component drifts along another axis, so the pattern boils, going nowhere.
local CURL = [[
vec3 push = vec3(0.0);
for (int octave = 0; octave < $octaves; octave++) {
    float frequency = exp2(float(octave)) / $scale;
    float share = exp2(-float(octave) / 3.0) / (frequency * voxel_size);
    for (int edge = 0; edge < 9; edge++) {
        int axis = edge / 3, side = edge - 3 * axis;
        vec3 along = vec3(axis == 0, axis == 1, axis == 2);
        vec3 next = along.zxy, last = along.yzx;
        vec3 at = $origin + voxel_size * (vec3(coord) + 0.5 * along + float(side == 1) * next + float(side == 2) * last);
        vec3 cell = at * frequency + time * $speed * next + $offset + 71.37 * along + 13.71 * float(octave);
        float potential = share * Noise(cell);
        push += potential * (float(int(side == 2) - int(side == 0)) * next + float(int(side == 0) - int(side == 1)) * last);
    }
}
]]
local ROOT_MEAN_SQUARE = 1.2 -- of one octave of that curl, for noise cells much larger than voxels

-- Stirs the flow by curl noise, which has no divergence (R. Bridson, J. Hourihan, M. Nordenstam, "Curl-Noise for
-- Procedural Fluid Flow", SIGGRAPH 2007).
--   strength        root mean square of the acceleration, scene units per second² (1)
--   scale           size of the largest features, scene units (1)
--   speed           how many features pass a place per second (0: the noise stands)
--   octaves         each has features of half the size and 2^(−1/3) of the strength, Kolmogorov's spectrum (1 … 8; 1)
--   where           GLSL of a factor: 'min(ReadField("density", idx), 1.0)' stirs the smoke only
--   seed            another pattern (0)
--   velocity        the staggered field ("velocity")
-- Halo 0, or 1 where `where` reads fields; in place.
function vortices.turbulence(sim, given)
    local o = values.options(given, "gas.turbulence", {
        "strength", "scale", "speed", "octaves", "where", "seed", "velocity",
    })
    local octaves = o.octaves == nil and 1 or math.tointeger(o.octaves)
    if not octaves or octaves < 1 or octaves > 8 then
        error('"octaves" must be a whole number from 1 to 8, not ' .. values.shown(o.octaves) .. ".", 0)
    end
    local power = 0
    for octave = 0, octaves - 1 do power = power + 4 ^ (-octave / 3) end
    local before = values.filled(CURL, {
        octaves = tostring(octaves), origin = values.vec3(sim.origin, "origin"),
        scale = values.float(o.scale == nil and 1 or o.scale, "scale"), speed = values.float(o.speed or 0, "speed"),
        offset = values.offset(values.float(o.seed or 0, "seed")),
    })
    local strength = values.float(o.strength == nil and 1 or o.strength, "strength") .. " * "
        .. values.float(1 / (ROOT_MEAN_SQUARE * math.sqrt(power)), "strength")
    if o.where ~= nil then strength = strength .. " * " .. values.float(o.where, "where") end
    faces.change(sim, "turbulence", o.velocity or "velocity", function(axis)
        return "flow." .. AXES[axis] .. " += dt * " .. strength .. " * push." .. AXES[axis] .. ";\n"
    end, before)
end

-- ===== Vorticity confinement

local UNIT = {{1, 0, 0}, {0, 1, 0}, {0, 0, 1}}

local function place(offset)
    return string.format("coord + ivec3(%d, %d, %d)", offset[1], offset[2], offset[3])
end

-- One component of the velocity at the centre of the voxel at an offset. The faces at both ends of an axis that is not
-- periodic count as walls: the high one is no voxel's low face, and a flow that is the same on both sides must stay so.
local function centred(sim, velocity, offset, axis)
    local beyond = {offset[1] + UNIT[axis][1], offset[2] + UNIT[axis][2], offset[3] + UNIT[axis][3]}
    local letter = AXES[axis]
    local low = string.format('ReadField("%s", %s).%s', velocity, place(offset), letter)
    local high = string.format('ReadField("%s", %s).%s', velocity, place(beyond), letter)
    if sim.boundary[axis] ~= "periodic" then low = "(last_" .. letter .. " ? " .. low .. " : 0.0)" end
    return "0.5 * (" .. low .. " + " .. high .. ")"
end

-- GLSL of the difference per voxel along an axis of something that `value(offset)` gives: central, and one-sided at the
-- ends of an axis that is not periodic, where beyond is no flow.
local function slope(sim, axis, value)
    local ahead, behind = value(UNIT[axis]), value({-UNIT[axis][1], -UNIT[axis][2], -UNIT[axis][3]})
    if sim.boundary[axis] == "periodic" then return "(0.5 * (" .. ahead .. " - " .. behind .. "))" end
    local here, letter = value({0, 0, 0}), AXES[axis]
    return "(share_" .. letter .. " * ((first_" .. letter .. " ? " .. ahead .. " : " .. here .. ") - (last_" .. letter
        .. " ? " .. behind .. " : " .. here .. ")))"
end

-- GLSL that says whether the voxel has another ahead and behind, for `slope`.
local function ends(sim)
    local code = ""
    for axis, letter in ipairs(AXES) do
        if sim.boundary[axis] ~= "periodic" then
            code = code .. values.filled([[
bool first_$a = coord.$a < domain_size.$a - 1, last_$a = coord.$a > 0;
float share_$a = first_$a && last_$a ? 0.5 : 1.0;
]], {a = letter})
        end
    end
    return code
end

local declared = setmetatable({}, {__mode = "k"}) -- engines that have the fields of confinement

-- Gives small vortices back what advection took: a force that turns around the places of greatest vorticity
-- (R. Fedkiw, J. Stam, H. W. Jensen, "Visual Simulation of Smoke", SIGGRAPH 2001, eq. 9–11).
--   strength        ε, per second (1); GLSL may read fields at the voxel: "1.0 + 4.0 * ReadField(\"flame\", idx)"
--   velocity        the staggered field ("velocity")
-- ω = ∇ × v at the centres of voxels; N = ∇|ω| / |∇|ω||; force = ε · h · (N × ω), averaged to the faces, so that what is
-- symmetric stays so. Adds the fields `vorticity` (|ω|, per second, which other texts may read) and `confinement` (the
-- force): 16 bytes a voxel. Halo 2.
function vortices.confinement(sim, given)
    local o = values.options(given, "gas.confinement", {"strength", "velocity"})
    local velocity = o.velocity or "velocity"
    local strength = values.float(o.strength == nil and 1 or o.strength, "strength")
    if not declared[sim] then
        sim:add_field("vorticity", Format.R32F, 0)
        sim:add_field("confinement", Format.R32G32B32F, {0, 0, 0})
        declared[sim] = true
    end
    local function difference(along, of)
        return slope(sim, along, function(offset) return centred(sim, velocity, offset, of) end)
    end
    sim:add_stencil(values.name(sim, "vorticity"), {
        inputs = {velocity}, outputs = {"vorticity", "confinement"},
        code = ends(sim) .. "vec3 curl = vec3(\n" .. difference(2, 3) .. " - " .. difference(3, 2) .. ",\n"
            .. difference(3, 1) .. " - " .. difference(1, 3) .. ",\n" .. difference(1, 2) .. " - " .. difference(2, 1)
            .. ") / voxel_size;\nWriteField(\"vorticity\", idx, length(curl));\nWriteField(\"confinement\", idx, curl);\n",
    })
    local uphill = {}
    for axis = 1, 3 do
        uphill[axis] = slope(sim, axis, function(offset) return 'ReadField("vorticity", ' .. place(offset) .. ")" end)
    end
    local code = values.position(sim) .. "\n" .. ends(sim) .. "vec3 uphill = vec3(\n" .. table.concat(uphill, ",\n") .. ");\n"
        .. "vec3 force = voxel_size * cross(uphill / max(length(uphill), 1e-20), ReadField(\"confinement\", idx));\n"
        .. "float strength = " .. strength .. ";\nWriteField(\"confinement\", idx, strength * force);\n"
    sim:add_stencil(values.name(sim, "confinement"), {
        inputs = values.reads(code), outputs = {"confinement"}, code = code,
    })
    faces.change(sim, "confine", velocity, function(axis)
        local letter = AXES[axis]
        local push = "flow." .. letter .. ' += dt * ReadField("confinement", idx).' .. letter .. ";\n"
        return sim.boundary[axis] == "periodic" and push or "if (coord." .. letter .. " > 0) " .. push
    end)
end

return vortices
