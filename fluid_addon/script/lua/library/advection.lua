-- SPDX-License-Identifier: GPL-3.0-or-later
-- Advection: what the flow carries, and the flow that carries itself.
--
-- Each voxel looks up where its content came from (J. Stam, "Stable Fluids", SIGGRAPH 1999). That blurs a little in
-- every step; going back and forth once shows the error and takes it out (A. Selle, R. Fedkiw, B. Kim, Y. Liu,
-- J. Rossignac, "An Unconditionally Stable MacCormack Method", J. Sci. Comput. 35, 2008).
--
-- Halo: the voxels that something travels in a step, and one more.
local cubic = require("fluid.cubic")
local values = require("fluid.values")
local filled = values.filled

local advection = {}

local SCHEMES, TRACES, LOOKUPS = {"maccormack", "semilagrangian"}, {1, 2}, {"linear", "cubic"}

-- Fields for values half-way through advection, shared by all operators of an engine.
local scratches = setmetatable({}, {__mode = "k"})
local function scratch(sim, name, format, init, options)
    scratches[sim] = scratches[sim] or {}
    if not scratches[sim][name] then
        sim:add_field(name, format, init, options)
        scratches[sim][name] = true
    end
    return name
end

-- Where a value at the place $at comes from (`from`) and goes to (`to`), `flow` being the velocity there. By the flow
-- at the place itself, or to second order by the flow half-way.
local WAY = "    vec3 way = flow * ($share * dt / voxel_size);\n"
local FROM = {
    "    vec3 from = $at - way;\n",
    "    vec3 from = $at - ($share * dt / voxel_size) * SampleField($velocity, $at - 0.5 * way);\n",
}
local TO = {
    "    vec3 to = $at + way;\n",
    "    vec3 to = $at + ($share * dt / voxel_size) * SampleField($velocity, $at + 0.5 * way);\n",
}

-- What MacCormack gives is kept between the values that it came from, so that no new extremes appear.
local CLAMP = "    $value = ClampField($field, from, $whole)$part;\n"

-- ===== Scalars at the centres of voxels

local CENTER_FLOW = [[
    vec3 flow = 0.5 * (ReadField($velocity, idx) + vec3(
        ReadField($velocity, coord + ivec3(1, 0, 0)).x,
        ReadField($velocity, coord + ivec3(0, 1, 0)).y,
        ReadField($velocity, coord + ivec3(0, 0, 1)).z));
]]

-- GLSL that declares `into`, the value of a field between voxels.
local function looked_up(lookup, kind, field, at, into)
    if lookup == "cubic" then return cubic.lookup(kind, field, at, into) end
    return "    " .. kind .. " " .. into .. " = SampleField(" .. field .. ", " .. at .. ");\n"
end

-- One scalar, or two that share their way.
local function carry(sim, fields, velocity, scheme, clamp, trace, lookup)
    local names = {velocity = velocity, share = "1.0", at = "vec3(coord)", part = ""}
    local both = table.concat(fields, "_")
    local way = CENTER_FLOW .. WAY
    local inputs = values.list({velocity}, fields)
    local samples, outputs, arrived = {}, {}, filled(way .. FROM[trace], names)
    for i, field in ipairs(fields) do
        samples[i] = "sample_" .. i
        arrived = arrived .. looked_up(lookup, "float", field, "from", samples[i])
        outputs[i] = field .. "_new"
    end
    if scheme == "semilagrangian" then
        local code = arrived
        for i, output in ipairs(outputs) do code = code .. "    WriteField(" .. output .. ", idx, " .. samples[i] .. ");\n" end
        sim:add_stencil(values.name(sim, "advect_" .. both), {inputs = inputs, outputs = outputs, code = code})
        return
    end
    local pair = #fields == 2
    local carried = pair and scratch(sim, "carried_pair", Format.R32G32F, {0, 0}) or scratch(sim, "carried", Format.R32F, 0)
    local sample = pair and "vec2(" .. table.concat(samples, ", ") .. ")" or samples[1]
    sim:add_stencil(values.name(sim, "carry_" .. both), {
        inputs = inputs, outputs = {carried},
        code = arrived .. "    WriteField(" .. carried .. ", idx, " .. sample .. ");\n",
    })
    local kind = pair and "vec2" or "float"
    local code = filled(way .. TO[trace] .. (clamp and FROM[trace] or "") .. [[
    $kind there = ReadField($carried, idx);
]] .. looked_up(lookup, kind, carried, "to", "error"), {
        velocity = velocity, share = "1.0", at = "vec3(coord)", kind = kind, carried = carried,
    })
    for i, field in ipairs(fields) do
        names.output = outputs[i]
        names.field, names.value, names.whole, names.of = field, "value_" .. i, "value_" .. i, pair and (i == 1 and ".x" or ".y") or ""
        code = code .. filled("    float $value = there$of + 0.5 * (ReadField($field, idx) - error$of);\n"
            .. (clamp and CLAMP or "") .. "    WriteField($output, idx, $value);\n", names)
    end
    inputs = values.list(inputs, {carried})
    sim:add_stencil(values.name(sim, "correct_" .. both), {inputs = inputs, outputs = outputs, code = code})
end

-- gas.advect(sim, {fields, velocity, scheme, clamp, trace, lookup, active}): the flow carries scalar fields along.
--   fields    names of float fields; default {"density"}
--   velocity  the staggered field that carries them, scene units per second; default "velocity"
--   scheme    "maccormack" (default), or "semilagrangian": one lookup, cheap and blurry
--   clamp     keep what MacCormack gives between the values around; default true
--   trace     1: the way by the flow at its end; 2: by the flow half-way, for long steps and tight vortices
--   lookup    between voxels "linear" (default), or "cubic": thin sheets and sharp edges last far longer, at eight times
--             the reads; halo 2 (docs/validation.md, V6)
--   active    in a sparse domain, which leaves are awake (sim:activate): {above, below, margin}; default above = 1e-3, for
--             fields of which the script says nothing itself; false: the fields wake nothing
function advection.advect(sim, given)
    local options = values.options(given, "gas.advect", {"fields", "velocity", "scheme", "clamp", "trace", "lookup", "active"})
    local fields = options.fields or {"density"}
    if type(fields) == "string" then fields = {fields} end
    local scheme = values.choice(options.scheme, "maccormack", "scheme", SCHEMES)
    local trace = values.choice(options.trace, 1, "trace", TRACES)
    local lookup = values.choice(options.lookup, "linear", "lookup", LOOKUPS)
    values.follow(sim, fields, options.active)
    for i = 1, #fields, 2 do
        carry(sim, {fields[i], fields[i + 1]}, options.velocity or "velocity", scheme, options.clamp ~= false, trace, lookup)
    end
end

-- ===== Velocity, each component on its own faces

local AXES = {"x", "y", "z"}

local function offset(along, steps)
    local parts = {}
    for i, axis in ipairs(AXES) do parts[i] = tostring(steps[axis] or 0) end
    return "ReadField($velocity, coord + ivec3(" .. table.concat(parts, ", ") .. "))." .. along
end

-- The flow at the voxel's low face along an axis: its own component there, and the means of four of the others'.
local function face_flow(axis)
    local parts = {}
    for i, other in ipairs(AXES) do
        parts[i] = other == axis and offset(axis, {}) or "0.25 * (" .. table.concat({
            offset(other, {}), offset(other, {[other] = 1}),
            offset(other, {[axis] = -1}), offset(other, {[axis] = -1, [other] = 1}),
        }, " + ") .. ")"
    end
    return "    vec3 flow = vec3(\n        " .. table.concat(parts, ",\n        ") .. ");\n"
end

-- `code` for each of the three low faces of a voxel; it leaves its outcome in result.$axis.
local function at_each_face(code, names)
    local text = {"vec3 result;\n"}
    for i, axis in ipairs(AXES) do
        local shift = {"0.0", "0.0", "0.0"}
        shift[i] = "0.5"
        names.axis, names.part = axis, "." .. axis
        names.at = "(vec3(coord) - vec3(" .. table.concat(shift, ", ") .. "))"
        text[#text + 1] = filled("{\n" .. face_flow(axis) .. WAY .. code .. "}\n", names)
    end
    return table.concat(text)
end

-- `field`, carried by `velocity` for a share of the step, becomes the new `velocity`.
local function carry_velocity(sim, field, velocity, scheme, clamp, trace, share)
    local names = {velocity = velocity, field = field, share = share, value = "value", whole = "vec3(value)"}
    local inputs, output = values.list({velocity}, {field}), velocity .. "_new"
    local look_up = at_each_face(FROM[trace] .. "    result.$axis = SampleField($field, from).$axis;\n", names)
    if scheme == "semilagrangian" then
        local code = look_up .. "WriteField(" .. output .. ", idx, result);"
        sim:add_stencil(values.name(sim, "advect_velocity"), {inputs = inputs, outputs = {output}, code = code})
        return
    end
    scratch(sim, "carried_velocity", Format.R32G32B32F, {0, 0, 0}, {staggered = true})
    sim:add_stencil(values.name(sim, "carry_velocity"), {
        inputs = inputs, outputs = {"carried_velocity"}, code = look_up .. "WriteField(carried_velocity, idx, result);",
    })
    local correct = at_each_face(TO[trace] .. [[
    float value = ReadField(carried_velocity, idx).$axis
        + 0.5 * (ReadField($field, idx).$axis - SampleField(carried_velocity, to).$axis);
]] .. (clamp and FROM[trace] .. CLAMP or "") .. "    result.$axis = value;\n", names)
    sim:add_stencil(values.name(sim, "correct_velocity"), {
        inputs = values.list(inputs, {"carried_velocity"}), outputs = {output},
        code = correct .. "WriteField(" .. output .. ", idx, result);",
    })
end

-- gas.advect_velocity(sim, {velocity, scheme, clamp, trace, reflection}): the flow carries itself.
--   velocity    the staggered field; default "velocity"
--   scheme, clamp, trace   as for gas.advect
--   reflection  true, or options for gas.project: advection-reflection, which keeps far more of the flow's energy for a
--               second projection (J. Zehnder, R. Narain, B. Thomaszewski, "An Advection-Reflection Solver for
--               Detail-Preserving Fluid Simulation", ACM TOG 37, 2018)
function advection.advect_velocity(sim, given)
    local options = values.options(given, "gas.advect_velocity", {"velocity", "scheme", "clamp", "trace", "reflection"})
    local velocity = options.velocity or "velocity"
    local scheme = values.choice(options.scheme, "maccormack", "scheme", SCHEMES)
    local trace = values.choice(options.trace, 1, "trace", TRACES)
    local clamp = options.clamp ~= false
    if not options.reflection then
        carry_velocity(sim, velocity, velocity, scheme, clamp, trace, "1.0")
        return
    end
    -- Half a step; project; what the projection took away is taken away once more; the other half by the flow between.
    local project = require("fluid.pressure").project
    local mirrored = scratch(sim, "mirrored_velocity", Format.R32G32B32F, {0, 0, 0}, {staggered = true})
    carry_velocity(sim, velocity, velocity, scheme, clamp, trace, "0.5")
    sim:add_stencil(values.name(sim, "keep_velocity"), {
        inputs = {velocity}, outputs = {mirrored},
        code = filled("WriteField($mirrored, idx, ReadField($velocity, idx));", {mirrored = mirrored, velocity = velocity}),
    })
    project(sim, options.reflection ~= true and options.reflection or nil)
    sim:add_stencil(values.name(sim, "reflect_velocity"), {
        inputs = {velocity, mirrored}, outputs = {mirrored},
        code = filled("WriteField($mirrored, idx, 2.0 * ReadField($velocity, idx) - ReadField($mirrored, idx));",
            {mirrored = mirrored, velocity = velocity}),
    })
    carry_velocity(sim, mirrored, velocity, scheme, clamp, trace, "0.5")
end

return advection
