-- SPDX-License-Identifier: GPL-3.0-or-later
-- From GLSL over the voxels to the faces, where the components of a staggered velocity live.
local values = require("fluid.values")

local faces = {}

faces.AXES = {"x", "y", "z"}
local HALF = {"vec3(0.5, 0.0, 0.0)", "vec3(0.0, 0.5, 0.0)", "vec3(0.0, 0.0, 0.5)"}
local BACK = {"ivec3(1, 0, 0)", "ivec3(0, 1, 0)", "ivec3(0, 0, 1)"}

-- The mean of a field over the two voxels beside a voxel's low face along an axis.
local function mean(field, axis)
    return '(0.5 * (ReadField("' .. field .. '", coord - ' .. BACK[axis] .. ') + ReadField("' .. field .. '", idx)))'
end

-- The field of a read at the voxel itself, from what stands between its brackets; nil for any other read.
local function own_read(arguments)
    local comma = arguments:find(",", 1, true)
    if not comma then return nil end
    local where = arguments:sub(comma + 1):match("^%s*(%a+)")
    if (where ~= "idx" and where ~= "coord") or arguments:sub(comma + 1):find("[^%s%a]") then return nil end
    return arguments:match("^[%s\"']*([%w_]+)")
end

-- A text with its reads at the voxel, but those of `velocity`, made means over the two voxels beside a face.
local function averaged(text, axis, velocity)
    local parts, from = {}, 1
    while true do
        local call, opened = text:find("ReadField(", from, true)
        local closed = opened and text:find(")", opened, true)
        if not closed then break end
        local field = own_read(text:sub(opened + 1, closed - 1))
        local kept = not field or field == velocity
        parts[#parts + 1] = text:sub(from, kept and opened or call - 1)
        if kept then
            from = opened + 1
        else
            parts[#parts + 1] = mean(field, axis)
            from = closed + 1
        end
    end
    return table.concat(parts) .. text:sub(from)
end

-- Adds a stencil that changes a staggered velocity in place.
--   name      of the stencil
--   velocity  the field
--   code      function(axis) → GLSL that changes `flow.x`, `flow.y` or `flow.z`, or nil for none; in it `p` is the position
--             of that face in scene units, and fields read at idx or coord are means over the two voxels beside it
--   before    GLSL that comes first, once for all three; `p` is the voxel's centre there
function faces.change(sim, name, velocity, code, before)
    local parts = {
        values.position(sim), "\n", before or "", 'vec3 flow = ReadField("' .. velocity .. '", idx);\nvec3 middle = p;\n',
    }
    for axis = 1, 3 do
        local change = code(axis)
        if change then
            parts[#parts + 1] = "{\nvec3 p = middle - voxel_size * " .. HALF[axis] .. ";\n" .. averaged(change, axis, velocity)
                .. "}\n"
        end
    end
    parts[#parts + 1] = 'WriteField("' .. velocity .. '", idx, flow);\n'
    local all = table.concat(parts)
    sim:add_stencil(values.name(sim, name), {inputs = values.reads(all), outputs = {velocity}, code = all})
end

return faces
