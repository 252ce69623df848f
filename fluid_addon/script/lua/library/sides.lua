-- SPDX-License-Identifier: GPL-3.0-or-later
-- What happens at the ends of the domain: gas that leaves for good, waves and vortices that die away before they come back,
-- wind that blows in.
local domain_sides = require("fluid.domain_sides")
local values = require("fluid.values")
local filled = values.filled

local sides = {}

local function field_values(fields, operator)
    if type(fields) ~= "table" or next(fields) == nil then
        error('"fields" of ' .. operator .. ' must be a list such as {"density"}, or a table such as {temperature = 0}.', 0)
    end
    if #fields == 0 then return fields end
    local zero = {}
    for _, name in ipairs(fields) do zero[name] = 0 end
    return zero
end

-- WriteField of each field's value, and the fields' names.
local function writes(fields)
    local names, code = values.sorted(fields), {}
    for i, name in ipairs(names) do
        code[i] = string.format('WriteField("%s", idx, %s);', name, values.float(fields[name], "fields." .. name))
    end
    return table.concat(code, "\n"), names
end

-- GLSL condition: the voxel lies in the outermost `layers` of one of the sides.
local function within(chosen, layers)
    local parts = {}
    for i, side in ipairs(chosen) do parts[i] = domain_sides.depth(side) .. " < " .. layers end
    return table.concat(parts, " || ")
end

local function layers_of(value, default)
    if value == nil then return default end
    if math.type(value) ~= "integer" or value < 1 then
        error('"layers" must be a whole number above 0, not ' .. values.shown(value) .. ".", 0)
    end
    return value
end

-- Empties the outermost voxels of open sides, so that what has left does not come back with the next whirl.
--   fields   scalar fields, a list or {field = value of the air outside, a number or GLSL}; a list clears to 0
--   sides    "all" (default), one side such as "z high", or a list of sides
--   layers   how many layers of voxels (default 1)
-- Mantaflow's resetOutflow. Halo 0.
function sides.clear(sim, given)
    local o = values.options(given, "gas.clear", {"fields", "sides", "layers"})
    local chosen = domain_sides.chosen(sim, o.sides, "sides")
    local code, names = writes(field_values(o.fields, "gas.clear"))
    if #chosen == 0 then return end -- periodic all around
    code = "if (" .. within(chosen, layers_of(o.layers, 1)) .. ") {\n" .. code .. "\n}"
    sim:add_stencil(values.name(sim, "clear"), {inputs = values.reads(code), outputs = names, code = code})
end

-- Calms the flow towards the ends of the domain, so that little is reflected by them.
--   thickness   of the sponge, scene units (default: 6 voxels)
--   strength    damping per second at the very end, a number or GLSL (default 10)
--   sides       "all" (default), one side, or a list of sides
--   flow        the velocity to which the flow calms down, {x, y, z} or GLSL (default still air)
--   velocity    the staggered field (default "velocity")
-- du/dt = -strength s^2 (u - flow), where s runs from 0 at the sponge's inner end to 1 at the domain's; exact in dt. After
-- M. Israeli, S. Orszag, "Approximation of radiation boundary conditions", J. Comput. Phys. 41, 1981. Halo 0.
function sides.sponge(sim, given)
    local o = values.options(given, "gas.sponge", {"thickness", "strength", "sides", "flow", "velocity"})
    local velocity = o.velocity or "velocity"
    local chosen = domain_sides.chosen(sim, o.sides, "sides")
    if #chosen == 0 then return end
    local thickness = values.float(o.thickness or 6 * sim.voxel_size, "thickness")
    local parts = {}
    for _, side in ipairs(chosen) do
        local axis = (side + 1) // 2
        -- From the domain's end to the places of the three components, in voxels: one's own lies on the low face.
        local place = {"0.5", "0.5", "0.5"}
        place[axis] = side % 2 == 1 and "0.0" or "1.0"
        parts[#parts + 1] = filled("s = max(s, 1.0 - (float($depth) + vec3($place)) * voxel_size / $thickness);\n", {
            depth = domain_sides.depth(side), place = table.concat(place, ", "), thickness = thickness,
        })
    end
    local code = "vec3 s = vec3(0.0);\n" .. table.concat(parts) .. filled([[
if (s == vec3(0.0)) return;
vec3 calm = $flow;
vec3 left = exp(-$strength * dt * s * s);
WriteField("$velocity", idx, calm + (ReadField("$velocity", idx) - calm) * left);
]], {
        flow = values.vec3(o.flow or {0, 0, 0}, "flow"), strength = values.float(o.strength or 10, "strength"),
        velocity = velocity,
    })
    sim:add_stencil(values.name(sim, "sponge"), {inputs = values.reads(code), outputs = {velocity}, code = code})
end

-- Lets wind blow in at a side, as into a wind tunnel. The side's outermost voxels become an obstacle that moves with the wind:
-- what the projection lets an obstacle push is what blows in, to the last digit.
--   side       such as "x low"
--   velocity   of the wind, {x, y, z} or GLSL over `vec3 p`, scene units per second
--   fields     what the wind carries, {density = "Noise(4.0 * p) > 0.3 ? 1.0 : 0.0"}: numbers or GLSL over `p` (default none)
--   layers     how many layers of voxels (default 4); the flow may cross as many in a step
-- Call it among the obstacles, before gas.faces, and project with obstacles = true; the far side is open. Halo 0.
function sides.inflow(sim, given)
    local o = values.options(given, "gas.inflow", {"side", "velocity", "fields", "layers"})
    local chosen = type(o.side) == "string" and domain_sides.chosen(sim, o.side, "side")
    if not chosen then error('"side" of gas.inflow must be a side such as "x low", not ' .. values.shown(o.side) .. ".", 0) end
    local side = chosen[1]
    if not side then error("The domain is periodic along " .. o.side:sub(1, 1) .. ", so no wind can blow in there.", 0) end
    local axis, layers = (side + 1) // 2, layers_of(o.layers, 4)
    local letter = domain_sides.AXES[axis]
    local low = sim.origin[axis] + layers * sim.voxel_size
    local high = sim.origin[axis] + (sim.domain_size[axis] - layers) * sim.voxel_size
    local distance = side % 2 == 1 and "(p." .. letter .. " - " .. values.float(low, "side") .. ")"
        or "(" .. values.float(high, "side") .. " - p." .. letter .. ")"
    require("fluid.obstacles").obstacle(sim, {shape = {distance = distance}, velocity = o.velocity})
    if sim.sparse then -- what blows in is there from the start, and so are the leaves that it crosses in a step
        local box = {low = sim.origin, high = {}}
        for i = 1, 3 do box.high[i] = sim.origin[i] + sim.domain_size[i] * sim.voxel_size end
        local reach = (layers + 8) * sim.voxel_size
        if side % 2 == 1 then box.high[axis] = box.low[axis] + reach else box.low[axis] = box.high[axis] - reach end
        sim:activate(box)
    end
    if o.fields then
        local code, names = writes(o.fields)
        code = "if (" .. within({side}, layers) .. ") {\n" .. values.position(sim) .. "\n" .. code .. "\n}"
        sim:add_stencil(values.name(sim, "inflow"), {inputs = values.reads(code), outputs = names, code = code})
    end
end

return sides
