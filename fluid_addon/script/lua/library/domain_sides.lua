-- SPDX-License-Identifier: GPL-3.0-or-later
-- The six sides of a domain by name, as options say them.
local values = require("fluid.values")

local domain_sides = {}

domain_sides.AXES = {"x", "y", "z"}
-- In the order in which a list of six names them.
domain_sides.NAMES = {"x low", "x high", "y low", "y high", "z low", "z high"}

local function index_of(name, what)
    for i, known in ipairs(domain_sides.NAMES) do
        if name == known then return i end
    end
    error('"' .. what .. '" has no side ' .. values.shown(name) .. '; sides are "x low", "x high", "y low", … "z high".', 0)
end

-- One word per side, in the order of NAMES, from one word, {x, y, z}, or all six; nil gives `default`.
function domain_sides.words(given, default, what, known)
    if type(given) ~= "table" then
        local word = values.choice(given, default, what, known)
        return {word, word, word, word, word, word}
    end
    if #given ~= 3 and #given ~= 6 then
        error('"' .. what .. '" takes one word, one per axis {x, y, z}, or one per side, six in all, not ' .. #given .. ".", 0)
    end
    local words = {}
    for side = 1, 6 do
        words[side] = values.choice(given[#given == 6 and side or (side + 1) // 2], nil, what, known)
    end
    return words
end

-- Values by side from a table such as {["x low"] = 1}; sides that it does not name are nil.
function domain_sides.by_name(given, what)
    local found = {}
    if given == nil then return found end
    if type(given) ~= "table" then
        error('"' .. what .. '" takes a table such as {["z high"] = 1}, not ' .. values.shown(given) .. ".", 0)
    end
    for _, name in ipairs(values.sorted(given)) do found[index_of(name, what)] = given[name] end
    return found
end

-- The numbers of some sides: from "all", one name, or a list of names. Sides of an axis on which the domain is periodic do
-- not exist and are left out.
function domain_sides.chosen(sim, given, what)
    local names = given
    if given == nil or given == "all" then names = domain_sides.NAMES end
    if type(names) == "string" then names = {names} end
    if type(names) ~= "table" then
        error('"' .. what .. '" takes "all", a side such as "z high", or a list of sides, not ' .. values.shown(given) .. ".", 0)
    end
    local sides = {}
    for _, name in ipairs(names) do
        local side = index_of(name, what)
        if domain_sides.exists(sim, (side + 1) // 2) then sides[#sides + 1] = side end
    end
    return sides
end

-- Whether the domain ends along an axis (1, 2, 3), as it does unless it is periodic there.
function domain_sides.exists(sim, axis)
    return sim.boundary[axis] ~= "periodic"
end

-- GLSL: how many voxels the voxel `coord` is away from a side, 0 in the outermost layer, an int.
function domain_sides.depth(side)
    local axis = domain_sides.AXES[(side + 1) // 2]
    return side % 2 == 1 and "coord." .. axis or "(domain_size." .. axis .. " - 1 - coord." .. axis .. ")"
end

return domain_sides
