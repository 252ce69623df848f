-- SPDX-License-Identifier: GPL-3.0-or-later
-- Shapes: where an emitter, a force or an obstacle is.
--
-- A shape is a table {distance = GLSL of the signed distance from `vec3 p` to its surface in scene units, negative
-- inside, low = {x, y, z}, high = {x, y, z}, velocity = GLSL of a vec3 or nil}. `low` and `high` bound the shape where
-- all its numbers are constants, and `boxes` is a list of such bounds, empty where the engine itself knows where the shape
-- is, as it does of objects and fields; nil: it may be anywhere. Positions and lengths are scene units; each is a number, or a text of GLSL that may
-- use time, frame, dt and params, so every shape can move and grow. What a shape may say besides where it is:
--   velocity   how it moves, {x, y, z} or GLSL over p, scene units per second, for emitters that inherit it
-- Distances: I. Quilez, "Distance functions" (iquilezles.org/articles/distfunctions), written anew.
local values = require("fluid.values")

local shapes = {}

local function complain(text)
    error(text, 0)
end

-- ===== Numbers that may be texts

local function is_vector(value)
    if type(value) ~= "table" or #value ~= 3 then return false end
    for i = 1, 3 do
        if type(value[i]) ~= "number" then return false end
    end
    return true
end

-- GLSL of a length above 0.
local function length_of(value, what)
    local glsl = values.float(value, what)
    if type(value) == "number" and value <= 0 then
        complain('"' .. what .. '" is ' .. values.shown(value) .. "; it lies above 0.")
    end
    return glsl
end

-- A direction of length 1: its GLSL, and its numbers where they are constants.
local function direction_of(value, default, what)
    if value == nil then value = default end
    if not is_vector(value) then return "normalize(" .. values.vec3(value, what) .. ")", nil end
    local length = math.sqrt(value[1] ^ 2 + value[2] ^ 2 + value[3] ^ 2)
    if length == 0 then complain('"' .. what .. '" has no direction: all its numbers are 0.') end
    local unit = {value[1] / length, value[2] / length, value[3] / length}
    return values.vec3(unit, what), unit
end

-- ===== Making shapes

-- A shape whose box of bounds reaches `reach` (three numbers, or nil) from a centre.
local function around(distance, center, reach, options)
    local shape = {distance = distance}
    if reach and is_vector(center) then
        shape.low, shape.high = {}, {}
        for i = 1, 3 do
            shape.low[i], shape.high[i] = center[i] - reach[i], center[i] + reach[i]
        end
        shape.boxes = {{low = shape.low, high = shape.high}}
    end
    if options.velocity ~= nil then shape.velocity = values.vec3(options.velocity, "velocity") end
    return shape
end

local function all_numbers(...)
    for i = 1, select("#", ...) do
        if type((select(i, ...))) ~= "number" then return false end
    end
    return true
end

-- A ball: |p - center| - radius.
function shapes.sphere(given)
    local o = values.options(given, "gas.sphere", {"center", "radius", "velocity"})
    local distance = "(length(p - " .. values.vec3(o.center, "center") .. ") - " .. length_of(o.radius, "radius") .. ")"
    return around(distance, o.center, all_numbers(o.radius) and {o.radius, o.radius, o.radius}, o)
end

-- A box along the axes. `size` is its whole extent; `rounding` the radius of its edges (default 0), inside that extent.
function shapes.box(given)
    local o = values.options(given, "gas.box", {"center", "size", "rounding", "velocity"})
    local rounding = values.float(o.rounding or 0, "rounding")
    local q = "(abs(p - " .. values.vec3(o.center, "center") .. ") - 0.5 * " .. values.vec3(o.size, "size")
        .. " + " .. rounding .. ")"
    local distance = "(length(max(" .. q .. ", 0.0)) + min(max(max(" .. q .. ".x, " .. q .. ".y), " .. q .. ".z), 0.0) - "
        .. rounding .. ")"
    local reach
    if is_vector(o.size) then
        for i = 1, 3 do length_of(o.size[i], "size[" .. i .. "]") end
        reach = {o.size[1] / 2, o.size[2] / 2, o.size[3] / 2}
        local most = math.min(reach[1], reach[2], reach[3])
        if type(o.rounding) == "number" and not (o.rounding >= 0 and o.rounding <= most) then
            complain('"rounding" is ' .. values.shown(o.rounding) .. "; it lies between 0 and half the shortest side, "
                .. values.shown(most) .. ".")
        end
    end
    return around(distance, o.center, reach, o)
end

-- A line of the length |to - from| with a radius, round at both ends.
function shapes.capsule(given)
    local o = values.options(given, "gas.capsule", {"from", "to", "radius", "velocity"})
    local from, to = values.vec3(o.from, "from"), values.vec3(o.to, "to")
    local radius = length_of(o.radius, "radius")
    local along = "(" .. to .. " - " .. from .. ")"
    local part = "clamp(dot(p - " .. from .. ", " .. along .. ") / max(dot(" .. along .. ", " .. along
        .. "), 1e-20), 0.0, 1.0)"
    local distance = "(length(p - " .. from .. " - " .. along .. " * " .. part .. ") - " .. radius .. ")"
    local center, reach
    if is_vector(o.from) and is_vector(o.to) and all_numbers(o.radius) then
        center, reach = {}, {}
        for i = 1, 3 do
            center[i] = (o.from[i] + o.to[i]) / 2
            reach[i] = math.abs(o.to[i] - o.from[i]) / 2 + o.radius
        end
    end
    return around(distance, center, reach, o)
end

-- A cylinder of radius and height around its centre, flat at both ends; a low one is a disc. `axis`: default {0, 0, 1}.
function shapes.cylinder(given)
    local o = values.options(given, "gas.cylinder", {"center", "radius", "height", "axis", "velocity"})
    local axis, unit = direction_of(o.axis, {0, 0, 1}, "axis")
    local from_center = "p - " .. values.vec3(o.center, "center")
    local d = "vec2(length(cross(" .. from_center .. ", " .. axis .. ")) - " .. length_of(o.radius, "radius")
        .. ", abs(dot(" .. from_center .. ", " .. axis .. ")) - 0.5 * " .. length_of(o.height, "height") .. ")"
    local distance = "(length(max(" .. d .. ", 0.0)) + min(max(" .. d .. ".x, " .. d .. ".y), 0.0))"
    local reach
    if unit and all_numbers(o.radius, o.height) then
        reach = {}
        for i = 1, 3 do
            reach[i] = o.height / 2 * math.abs(unit[i]) + o.radius * math.sqrt(math.max(0, 1 - unit[i] ^ 2))
        end
    end
    return around(distance, o.center, reach, o)
end

-- A ring: a circle of `radius` around `axis` (default {0, 0, 1}), `thickness` the radius of its tube.
function shapes.torus(given)
    local o = values.options(given, "gas.torus", {"center", "radius", "thickness", "axis", "velocity"})
    local axis, unit = direction_of(o.axis, {0, 0, 1}, "axis")
    local from_center = "p - " .. values.vec3(o.center, "center")
    local distance = "(length(vec2(length(cross(" .. from_center .. ", " .. axis .. ")) - "
        .. length_of(o.radius, "radius") .. ", dot(" .. from_center .. ", " .. axis .. "))) - "
        .. length_of(o.thickness, "thickness") .. ")"
    local reach
    if unit and all_numbers(o.radius, o.thickness) then
        reach = {}
        for i = 1, 3 do reach[i] = o.radius * math.sqrt(math.max(0, 1 - unit[i] ^ 2)) + o.thickness end
    end
    return around(distance, o.center, reach, o)
end

-- All that lies behind a plane through `point`: inside is the side that `normal` (default {0, 0, 1}) points away from.
function shapes.plane(given)
    local o = values.options(given, "gas.plane", {"point", "normal", "velocity"})
    local normal = direction_of(o.normal, {0, 0, 1}, "normal")
    return around("dot(p - " .. values.vec3(o.point, "point") .. ", " .. normal .. ")", nil, nil, o)
end

-- ===== Shapes of shapes

local function parts_of(operator, ...)
    local parts = {...}
    if #parts == 0 then complain(operator .. " takes shapes: " .. operator .. "(a, b).") end
    for i = 1, select("#", ...) do values.shape(parts[i], operator .. "[" .. i .. "]") end
    return parts
end

local function joined(distance, velocity, low, high, boxes)
    return {distance = distance, velocity = velocity, low = low, high = high, boxes = boxes}
end

-- What lies in any of the shapes. Each part moves as its own shape does.
function shapes.union(...)
    local parts = parts_of("gas.union", ...)
    local whole = parts[1]
    for i = 2, #parts do
        local part, velocity, low, high = parts[i], nil, nil, nil
        if whole.velocity or part.velocity then
            velocity = "(" .. part.distance .. " < " .. whole.distance .. " ? " .. (part.velocity or "vec3(0.0)")
                .. " : " .. (whole.velocity or "vec3(0.0)") .. ")"
        end
        if whole.low and part.low then
            low, high = {}, {}
            for k = 1, 3 do
                low[k], high[k] = math.min(whole.low[k], part.low[k]), math.max(whole.high[k], part.high[k])
            end
        end
        local boxes = whole.boxes and part.boxes and table.move(whole.boxes, 1, #whole.boxes, #part.boxes + 1, {table.unpack(part.boxes)})
        whole = joined("min(" .. whole.distance .. ", " .. part.distance .. ")", velocity, low, high, boxes)
    end
    return whole
end

-- What lies in all of the shapes. It moves as the first.
function shapes.intersection(...)
    local parts = parts_of("gas.intersection", ...)
    local whole = parts[1]
    for i = 2, #parts do
        local part = parts[i]
        local low, high = whole.low or part.low, whole.high or part.high
        if whole.low and part.low then
            low, high = {}, {}
            for k = 1, 3 do
                low[k], high[k] = math.max(whole.low[k], part.low[k]), math.min(whole.high[k], part.high[k])
                if low[k] > high[k] then complain("The shapes of gas.intersection do not meet, so nothing lies in all of them.") end
            end
        end
        local boxes = whole.boxes or part.boxes
        if low then boxes = {{low = low, high = high}} end
        whole = joined("max(" .. whole.distance .. ", " .. part.distance .. ")", whole.velocity, low, high, boxes)
    end
    return whole
end

-- What lies in the first shape and in none of the others. It moves as the first.
function shapes.subtraction(...)
    local parts = parts_of("gas.subtraction", ...)
    local whole = parts[1]
    for i = 2, #parts do
        whole = joined("max(" .. whole.distance .. ", -(" .. parts[i].distance .. "))", whole.velocity, whole.low, whole.high,
            whole.boxes)
    end
    return whole
end

-- A shape made thicker by a length, or thinner by one below 0.
function shapes.grown(shape, by)
    values.shape(shape, "shape")
    local low, high, boxes
    if shape.boxes and type(by) == "number" then
        boxes = {}
        for i, box in ipairs(shape.boxes) do
            boxes[i] = {low = {}, high = {}}
            for k = 1, 3 do boxes[i].low[k], boxes[i].high[k] = box.low[k] - by, box.high[k] + by end
        end
    end
    if shape.low and type(by) == "number" then
        low, high = {}, {}
        for k = 1, 3 do
            low[k], high[k] = shape.low[k] - by, shape.high[k] + by
            if low[k] > high[k] then complain('"by" is ' .. values.shown(by) .. ", which leaves nothing of the shape.") end
        end
    end
    return joined("(" .. shape.distance .. " - " .. values.float(by, "by") .. ")", shape.velocity, low, high, boxes)
end

-- The skin of a shape: what lies within half the thickness of its surface, on either side.
function shapes.shell(shape, thickness)
    values.shape(shape, "shape")
    local half = "0.5 * " .. length_of(thickness, "thickness")
    local outer = type(thickness) == "number" and shapes.grown(shape, thickness / 2) or {}
    return joined("(abs(" .. shape.distance .. ") - " .. half .. ")", shape.velocity, outer.low, outer.high, outer.boxes)
end

-- ===== Shapes from fields

-- GLSL of the place of p in voxels, for SampleField.
local function in_voxels(sim)
    return "((p - " .. values.vec3(sim.origin, "origin") .. ") / voxel_size - 0.5)"
end

local made = setmetatable({}, {__mode = "k"}) -- engine -> the shapes of its objects: a list, and by object

-- An object of the scene: its mesh, as it moves and deforms; it moves as the mesh does. Declares the fields NAME_distance
-- and NAME_velocity (see sim:add_object); `name` is "object_1", "object_2"… unless it is given. Halo 1.
function shapes.object(sim, object, name)
    made[sim] = made[sim] or {}
    local known = made[sim]
    if object ~= nil and known[object] then return known[object] end
    name = name or "object_" .. #known + 1
    sim:add_object(name, object)
    local at = in_voxels(sim)
    local shape = {
        distance = 'SampleField("' .. name .. '_distance", ' .. at .. ")",
        velocity = 'SampleField("' .. name .. '_velocity", ' .. at .. ")",
        boxes = {},
    }
    known[#known + 1], known[object] = shape, shape
    return shape
end

-- A field as a shape, such as one that sim:load filled from a VDB.
--   holds      "density": inside is where the value lies above `threshold` (default 0.5), and the distance is that to
--              first order, (threshold - value) / |gradient|, up to 3 voxels; "distance": the field holds signed
--              distances in scene units itself, as a level set does
-- Halo 2 for "density", 1 for "distance".
function shapes.grid(sim, field, given)
    local o = values.options(given, "gas.grid", {"holds", "threshold", "velocity"})
    if type(field) ~= "string" then complain('"field" must be the name of a field, not ' .. values.shown(field) .. ".") end
    local holds = values.choice(o.holds, "density", "holds", {"density", "distance"})
    local at = in_voxels(sim)
    local function sample(offset)
        return 'SampleField("' .. field .. '", ' .. at .. offset .. ")"
    end
    local function shape(distance)
        local made = around(distance, nil, nil, o)
        made.boxes = {}
        return made
    end
    if holds == "distance" then return shape(sample("")) end
    local slope = {}
    for i, axis in ipairs({"vec3(1.0, 0.0, 0.0)", "vec3(0.0, 1.0, 0.0)", "vec3(0.0, 0.0, 1.0)"}) do
        slope[i] = sample(" + " .. axis) .. " - " .. sample(" - " .. axis)
    end
    local distance = "clamp((" .. values.float(o.threshold or 0.5, "threshold") .. " - " .. sample("")
        .. ") / max(0.5 * length(vec3(" .. table.concat(slope, ", ") .. ")), 1e-6), -3.0, 3.0) * voxel_size"
    return shape("(" .. distance .. ")")
end

return shapes
