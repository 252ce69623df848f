-- SPDX-License-Identifier: GPL-3.0-or-later
-- What every operator of the library takes: options that are numbers, or texts of GLSL.
--
-- A number goes into the code of a stencil as it is. A text is GLSL that is worked out for each voxel, so it may change
-- with the voxel, with time and with parameters: "params.heat * (1.0 + 0.5 * sin(3.0 * time))".
local values = {}

local function complain(text)
    error(text, 0)
end

-- GLSL of a float: a number or a text.
function values.float(value, what)
    if math.type(value) == "integer" then return value .. ".0" end
    if type(value) == "number" then
        if value ~= value or value == math.huge or value == -math.huge then
            complain('"' .. what .. '" is not a finite number.')
        end
        local text = string.format("%.9g", value)
        return text:find("[.e]") and text or text .. ".0"
    end
    if type(value) == "string" and value:find("%S") then return "(" .. value .. ")" end
    complain('"' .. what .. '" must be a number or a text of GLSL, not ' .. values.shown(value) .. ".")
end

-- GLSL of a vec3: three numbers or texts, or one text.
function values.vec3(value, what)
    if type(value) == "string" then return "vec3(" .. value .. ")" end
    if type(value) ~= "table" or #value ~= 3 then
        complain('"' .. what .. '" must be {x, y, z} or a text of GLSL, not ' .. values.shown(value) .. ".")
    end
    local parts = {}
    for i = 1, 3 do parts[i] = values.float(value[i], what .. "[" .. i .. "]") end
    return "vec3(" .. table.concat(parts, ", ") .. ")"
end

-- A value for messages.
function values.shown(value)
    if type(value) == "string" then return '"' .. value .. '"' end
    if type(value) == "table" then return "a table" end
    return tostring(value)
end

-- How many letters have to be put in, taken out or changed to make one word of another (Levenshtein).
local function letters_apart(a, b)
    local row = {}
    for j = 0, #b do row[j] = j end
    for i = 1, #a do
        local diagonal = row[0]
        row[0] = i
        for j = 1, #b do
            local changed = diagonal + (a:byte(i) == b:byte(j) and 0 or 1)
            diagonal = row[j]
            row[j] = math.min(changed, row[j] + 1, row[j - 1] + 1)
        end
    end
    return row[#b]
end

-- The nearest of some names, for "Did you mean": a third of its letters may be wrong.
local function nearest(name, known)
    local best, fewest = nil, #name // 3 + 1
    for _, candidate in ipairs(known) do
        local apart = letters_apart(name:sub(1, 40), candidate)
        if apart < fewest then best, fewest = candidate, apart end
    end
    return best
end

-- Checks a table of options and returns it (an empty one for nil): every name is known.
function values.options(given, operator, known)
    if given == nil then return {} end
    if type(given) ~= "table" then
        complain(operator .. " takes a table of options, not " .. values.shown(given) .. ".")
    end
    local is_known = {}
    for _, name in ipairs(known) do is_known[name] = true end
    local unknown = {}
    for name in pairs(given) do
        if not is_known[name] then unknown[#unknown + 1] = tostring(name) end
    end
    if #unknown > 0 then
        table.sort(unknown)
        local near = nearest(unknown[1], known)
        complain('"' .. unknown[1] .. '" is no option of ' .. operator .. "."
            .. (near and (' Did you mean "' .. near .. '"?') or (" It takes " .. table.concat(known, ", ") .. ".")))
    end
    return given
end

-- One of some words.
function values.choice(value, default, what, words)
    if value == nil then return default end
    for _, word in ipairs(words) do
        if value == word then return value end
    end
    complain('"' .. what .. '" must be "' .. table.concat(words, '", "') .. '", not ' .. values.shown(value) .. ".")
end

-- A shape as it was given, or an error that names the option or the number of the argument.
function values.shape(shape, what)
    if type(shape) ~= "table" or type(shape.distance) ~= "string" then
        complain('"' .. what .. '" must be a shape, such as gas.sphere{center = {0, 0, 1}, radius = 0.2}, not '
            .. values.shown(shape) .. ".")
    end
    return shape
end

-- Code with $names filled in: values.filled("$a + 1", {a = "x"}) is "x + 1".
function values.filled(code, names)
    return (code:gsub("%$([%l_]+)", names))
end

-- The names of a table in order, so that a script makes the same stencils each time.
function values.sorted(t)
    local names = {}
    for name in pairs(t) do names[#names + 1] = name end
    table.sort(names)
    return names
end

-- Lists without repetition: values.list({"a", "b"}, {"b", "c"}) is {"a", "b", "c"}.
function values.list(...)
    local joined, seen = {}, {}
    for _, part in ipairs({...}) do
        for _, item in ipairs(part) do
            if not seen[item] then
                seen[item] = true
                joined[#joined + 1] = item
            end
        end
    end
    return joined
end

-- The fields that a piece of GLSL reads, in the order of their names: values.reads('ReadField("fuel", idx)') is {"fuel"}.
-- A stencil whose inputs are those of its code takes texts of GLSL that read any field.
function values.reads(code)
    local found = {}
    for _, call in ipairs({"ReadField", "SampleField"}) do
        local at = code:find(call, 1, true)
        while at do
            at = at + #call
            local field = code:sub(at, at + 100):match("^%s*%(%s*[\"']?([%a_][%w_]*)")
            if field then found[field] = true end
            at = code:find(call, at, true)
        end
    end
    return values.sorted(found)
end

-- GLSL of a vec3 that takes noise to another place for each seed (M. Roberts' R3 sequence), given the seed's GLSL.
function values.offset(seed)
    return "256.0 * fract(" .. seed .. " * vec3(0.81917251, 0.67104361, 0.54970048))"
end

-- Lets the leaves of a sparse domain follow fields. `active`: {above, below, margin}, as sim:activate takes them; nil for what
-- it takes by itself, of fields of which nothing else is said; false for nothing.
function values.follow(sim, fields, active)
    if active == false or (active == nil and not sim.sparse) then return end
    local o = values.options(active, "active", {"above", "below", "margin"})
    for _, field in ipairs(fields) do
        sim:activate{field = field, above = o.above, below = o.below, margin = o.margin, default = active == nil}
    end
end

local counts = setmetatable({}, {__mode = "k"}) -- engine -> base name -> how many stencils have it

-- A name for a stencil that no other operator of this engine took: "emit", "emit_2", "emit_3"…
function values.name(sim, base)
    local of_engine = counts[sim]
    if not of_engine then
        of_engine = {}
        counts[sim] = of_engine
    end
    of_engine[base] = (of_engine[base] or 0) + 1
    return of_engine[base] == 1 and base or base .. "_" .. of_engine[base]
end

-- GLSL that declares `p`, the position of the voxel's centre in scene units along the domain's axes.
function values.position(sim)
    return "vec3 p = " .. values.vec3(sim.origin, "origin") .. " + (vec3(coord) + 0.5) * voxel_size;"
end

return values
