-- SPDX-License-Identifier: GPL-3.0-or-later
-- Sources: smoke, heat, fuel and motion that enter through a shape.
local values = require("fluid.values")

local sources = {}

local function complain(text)
    error(text, 0)
end

local function point(position)
    local x, y, z = position[1] + 0.0, position[2] + 0.0, position[3] + 0.0 -- no -0
    return string.format("{%.4g, %.4g, %.4g}", x, y, z)
end

-- An emitter that nothing can come from is a mistake; where the bounds are not known, nothing can be said.
local function check_place(sim, shape)
    if not shape.low then return end
    local low, size = sim.origin, sim.domain_size
    local high = {}
    for i = 1, 3 do high[i] = low[i] + size[i] * sim.voxel_size end
    for i = 1, 3 do
        if shape.high[i] <= low[i] or shape.low[i] >= high[i] then
            complain('The "shape" lies outside the domain: it reaches from ' .. point(shape.low) .. " to " .. point(shape.high)
                .. ", the domain from " .. point(low) .. " to " .. point(high) .. ".")
        end
    end
end

-- GLSL of `inside`, the share of the emitter at p: 1 within, 0 without, a straight ramp of `softness` voxels between,
-- half of it on each side of the surface.
local function share(shape, softness)
    if softness == 0 then return "float inside = " .. shape.distance .. " <= 0.0 ? 1.0 : 0.0;\n" end
    return "float inside = clamp(0.5 - " .. shape.distance .. " / (" .. values.float(softness, "softness")
        .. " * voxel_size), 0.0, 1.0);\n"
end

-- GLSL that lets noise eat into `inside`.
local function eaten(given)
    if given == nil then return "" end
    local o = values.options(given, "gas.emit: noise", {"scale", "amount", "speed", "seed"})
    local scale, amount = values.float(o.scale or 0.1, "noise.scale"), values.float(o.amount or 1, "noise.amount")
    local speed, seed = values.float(o.speed or 0, "noise.speed"), values.float(o.seed or 0, "noise.seed")
    -- It drifts along a direction that is no axis' own.
    return "vec3 cell = p / " .. scale .. " + time * " .. speed .. " * vec3(0.56, 0.64, -0.53) + " .. values.offset(seed)
        .. ";\n"
        .. "inside *= mix(1.0, clamp(0.5 + Noise(cell), 0.0, 1.0), clamp(" .. amount .. ", 0.0, 1.0));\n"
end

local function between(from, to)
    local code = ""
    if from ~= nil then code = "if (float(frame) < " .. values.float(from, "from") .. ") return;\n" end
    if to ~= nil then code = code .. "if (float(frame) > " .. values.float(to, "to") .. ") return;\n" end
    return code
end

-- GLSL that puts a value into a field by the share `inside`.
local function put(field, value, mode, what)
    local here = 'ReadField("' .. field .. '", idx)'
    local vector = type(value) == "table"
    local code = vector and "{\nvec3 amount = " .. values.vec3(value, what) or "{\nfloat amount = " .. values.float(value, what)
    code = code .. ';\nWriteField("' .. field .. '", idx, '
    if mode == "add" then return code .. here .. " + dt * inside * amount);\n}\n" end
    if mode == "set" then return code .. "mix(" .. here .. ", amount, inside));\n}\n" end
    if vector then return code .. "max(" .. here .. ", inside * amount));\n}\n" end
    return code .. "amount < 0.0 ? min(" .. here .. ", inside * amount) : max(" .. here .. ", inside * amount));\n}\n"
end

-- Velocity inside the shape: what is asked for, and a share of how the shape itself moves.
local function velocity_of(options, shape)
    local parts = {}
    if options.velocity ~= nil then parts[1] = values.vec3(options.velocity, "velocity") end
    if options.inherit ~= nil and options.inherit ~= 0 then
        if not shape.velocity then
            complain('"inherit" needs a shape that says how it moves: give the shape velocity = {x, y, z}.')
        end
        parts[#parts + 1] = values.float(options.inherit, "inherit") .. " * " .. shape.velocity
    end
    return parts[1] and table.concat(parts, " + ")
end

-- Keeps the leaves of a sparse domain awake in which something may enter, and those around: what enters with a velocity
-- leaves its leaf in the same step.
local function keep_awake(sim, shape, softness, within)
    if within ~= nil and (type(within) ~= "table" or within.low == nil or within.high == nil) then
        complain('"within" must be a box: within = {low = {x, y, z}, high = {x, y, z}}, not ' .. values.shown(within) .. ".")
    end
    if not sim.sparse then return end
    local known = shape.boxes or (shape.low and {{low = shape.low, high = shape.high}})
    local boxes = within and {within} or type(softness) == "number" and known
    if not boxes then
        warn("gas.emit: nothing says where this shape can be, so the whole domain stays awake; "
            .. "give the emitter within = {low = {x, y, z}, high = {x, y, z}}.")
        boxes = {{low = sim.origin, high = sim.origin}}
        for i = 1, 3 do boxes[1].high[i] = sim.origin[i] + sim.domain_size[i] * sim.voxel_size end
    end
    local around = ((type(softness) == "number" and softness or 0) / 2 + 8) * sim.voxel_size
    for _, box in ipairs(boxes) do
        local low, high = {}, {}
        for i = 1, 3 do low[i], high[i] = box.low[i] - around, box.high[i] + around end
        sim:activate{low = low, high = high}
    end
end

local AXES = {{"x", "vec3(0.5, 0.0, 0.0)"}, {"y", "vec3(0.0, 0.5, 0.0)"}, {"z", "vec3(0.0, 0.0, 0.5)"}}

-- Lets something enter through a shape.
--   shape      where (fluid.shapes)
--   fields     what: {density = 1, temperature = "params.heat"}; numbers, GLSL over p, or {x, y, z} for vector fields
--   mode       "max" (default): the field is raised to the value, or lowered to it where it is below 0; "set": the field
--              is blended with the value by the shape's share of the voxel; "add": so much enters per second, whatever
--              the length of the steps
--   softness   voxels over which the edge fades (default 1; 0 is a hard edge)
--   noise      {scale, amount, speed, seed}: noise eats into the source. `scale`: size of its features, scene units (0.1);
--              `amount` 0 … 1: how deep (1); `speed`: features that pass per second (0); `seed`: another pattern (0)
--   velocity   {x, y, z} or GLSL over p: the flow inside the shape, scene units per second; set in every mode
--   inherit    share of the shape's own velocity that the flow takes on (0)
--   from, to   first and last frame (default all)
--   probability  chance that a voxel emits at all; drawn anew in each frame, so that its substeps agree
--   velocity_field  default "velocity", which is staggered: each component at its own face
--   within     {low = {x, y, z}, high = {x, y, z}}: a box that the shape never leaves. In a sparse domain the leaves of its
--              bounds, and those around, are awake throughout; where its numbers are texts, only this says where it is
-- A source that lies wholly outside the domain is an error. Halo 0, or that of the shape; in place.
function sources.emit(sim, given)
    local o = values.options(given, "gas.emit", {
        "shape", "fields", "mode", "softness", "noise", "velocity", "inherit", "from", "to", "probability", "velocity_field",
        "within",
    })
    local shape = values.shape(o.shape, "shape")
    check_place(sim, shape)
    local mode = values.choice(o.mode, "max", "mode", {"max", "set", "add"})
    local softness = o.softness == nil and 1 or o.softness
    if type(softness) == "number" and softness < 0 then complain('"softness" is ' .. softness .. "; it lies at 0 or above.") end
    local fields = o.fields or {}
    if type(fields) ~= "table" or #fields > 0 then
        complain('"fields" must say how much of each field: fields = {density = 1}, not ' .. values.shown(fields) .. ".")
    end
    local names = values.sorted(fields)
    local motion = velocity_of(o, shape)
    if #names == 0 and not motion then complain('This emitter has nothing to emit: give it fields = {density = 1}.') end
    keep_awake(sim, shape, softness, o.within)
    local when = between(o.from, o.to)
    if #names > 0 then
        local code = {when, values.position(sim), "\n", share(shape, softness), eaten(o.noise)}
        if o.probability ~= nil then
            code[#code + 1] = "if (Random(coord, frame) >= " .. values.float(o.probability, "probability") .. ") return;\n"
        end
        code[#code + 1] = "if (inside <= 0.0) return;\n"
        local velocity = o.velocity_field or "velocity"
        for _, name in ipairs(names) do
            if name == velocity then
                complain('"' .. name .. '" lies on the faces of voxels: write velocity = … beside fields, not inside.')
            end
            code[#code + 1] = put(name, fields[name], mode, "fields." .. name)
        end
        code = table.concat(code)
        sim:add_stencil(values.name(sim, "emit"), {inputs = values.reads(code), outputs = names, code = code})
    end
    if motion then
        local field = o.velocity_field or "velocity"
        local code = {when, values.position(sim), '\nvec3 flow = ReadField("' .. field .. '", idx);\nvec3 middle = p;\n'}
        for _, axis in ipairs(AXES) do
            local part = "flow." .. axis[1]
            code[#code + 1] = "{\nvec3 p = middle - voxel_size * " .. axis[2] .. ";\n" .. share(shape, softness)
                .. part .. " = mix(" .. part .. ", (" .. motion .. ")." .. axis[1] .. ", inside);\n}\n"
        end
        code[#code + 1] = 'WriteField("' .. field .. '", idx, flow);\n'
        code = table.concat(code)
        sim:add_stencil(values.name(sim, "emit_velocity"), {inputs = values.reads(code), outputs = {field}, code = code})
    end
end

return sources
