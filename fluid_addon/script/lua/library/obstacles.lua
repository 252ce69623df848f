-- SPDX-License-Identifier: GPL-3.0-or-later
-- Solid obstacles: where they are, how they move, and what part of each face they leave open.
--
-- `solid` is the signed distance to the nearest obstacle at centres of voxels (scene units, negative inside),
-- `solid_velocity` how that obstacle moves there, `faces` what the projection needs: the open part of the three low faces of
-- each voxel. The flow passes through the open part and the rest moves with the obstacle, so nothing leaks, also where an
-- obstacle cuts voxels (C. Batty, F. Bertails, R. Bridson, SIGGRAPH 2007; Y. Ng, C. Min, F. Gibou, J. Comput. Phys. 228, 2009).
local domain_sides = require("fluid.domain_sides")
local values = require("fluid.values")
local filled = values.filled

local obstacles = {}

-- engine -> {stencils = names in order, moving = whether steps run them, faces = the stencil of the faces}
local states = setmetatable({}, {__mode = "k"})

local function state_of(sim)
    local state = states[sim]
    if not state then
        state = {stencils = {}, moving = false}
        states[sim] = state
        local far = 0
        for axis = 1, 3 do far = far + sim.domain_size[axis] * sim.voxel_size end
        sim:add_field("solid", Format.R32F, far)
        sim:add_field("solid_velocity", Format.R32G32B32F, {0, 0, 0})
    end
    return state
end

-- Whether a shape changes by itself: its GLSL names what changes, or fields.
local function changes(shape, velocity)
    local code = shape.distance .. " " .. velocity
    if #values.reads(code) > 0 then return true end
    for word in code:gmatch("[%a_][%w_]*") do
        if word == "time" or word == "frame" or word == "params" or word == "dt" then return true end
    end
    return false
end

-- Puts an obstacle into the domain, united with those before.
--   shape      of fluid.shapes, or any table {distance = GLSL over `vec3 p`}
--   velocity   how it moves, {x, y, z} or GLSL over `p`, scene units per second (default: the shape's own, else 0); it
--              tells the gas, the shape has to move by itself
--   moving     whether every step computes it anew (default: where the shape's GLSL names time, frame, dt, params, or it
--              reads fields). As soon as one obstacle moves, all are computed in every step, as they are in a sparse
--              domain, where leaves wake that knew nothing of them
-- Declares `solid` and `solid_velocity` on the first call. Halo 0. The distance of a union is the least of the distances.
function obstacles.obstacle(sim, given)
    local o = values.options(given, "gas.obstacle", {"shape", "velocity", "moving"})
    local shape = values.shape(o.shape, "shape")
    local velocity = o.velocity ~= nil and values.vec3(o.velocity, "velocity") or shape.velocity or "vec3(0.0)"
    local state = state_of(sim)
    local name = values.name(sim, "obstacle")
    local first = #state.stencils == 0
    local code = values.position(sim) .. "\nfloat distance_here = " .. shape.distance .. ";\n"
        .. (first and "" or 'if (distance_here >= ReadField("solid", idx)) return;\n')
        .. 'WriteField("solid", idx, distance_here);\nWriteField("solid_velocity", idx, ' .. velocity .. ");"
    sim:add_stencil(name, {
        inputs = values.reads(code), outputs = {"solid", "solid_velocity"}, enabled = false, code = code,
    })
    state.stencils[#state.stencils + 1] = name
    local moving = o.moving
    if moving == nil then moving = changes(shape, velocity) end
    moving = moving or sim.sparse
    if moving and state.faces then
        error(sim.sparse and "In a sparse domain an obstacle must come before gas.faces, which needs it in every step."
            or "An obstacle that moves must come before gas.faces, which needs it in every step.", 0)
    end
    state.moving = state.moving or moving
    if not sim.sparse then sim:run_stencil(name) end
    if state.moving then
        for _, stencil in ipairs(state.stencils) do sim:enable(stencil, true) end
    elseif state.faces then
        sim:run_stencil(state.faces)
    end
end

-- The distance at the middle of the low face along $i, and by how much it changes from there to the face's edges along its
-- two other axes: over a face, the distance is taken for linear. The open part is then the area of a square on one side of a
-- line, in closed form.
local FACE = [[
{
    float middle = $middle;
    float reach_j = $reach_j;
    float reach_k = $reach_k;
    float most = max(reach_j, reach_k), least = min(reach_j, reach_k);
    float outside = most + least - abs(middle);
    float part = outside <= 0.0 ? 0.0
        : abs(middle) <= most - least ? 0.5 - abs(middle) / max(2.0 * most, 1e-30)
        : outside * outside / max(8.0 * most * least, 1e-30);
    open_part.$i = middle > 0.0 ? 1.0 - part : part;
}
]]

-- GLSL of ReadField("solid", …) some voxels away.
local function solid_at(steps)
    return string.format("ReadField(\"solid\", coord + ivec3(%d, %d, %d))", steps[1], steps[2], steps[3])
end

local function moved(steps, axis, by)
    local result = {steps[1], steps[2], steps[3]}
    result[axis] = result[axis] + by
    return result
end

-- GLSL of the distance at the middle of the low face along `axis`, of the voxel some voxels away. On the domain's own end it
-- is that of the voxel.
local function at_face(sim, axis, steps)
    local mean = "0.5 * (" .. solid_at(steps) .. " + " .. solid_at(moved(steps, axis, -1)) .. ")"
    if not domain_sides.exists(sim, axis) then return mean end
    return "(coord." .. domain_sides.AXES[axis] .. " == 0 ? " .. solid_at(steps) .. " : " .. mean .. ")"
end

-- GLSL of half the change of the distance along `along`, over the low face along `axis`. At an end of the domain there is one
-- neighbour only.
local function reach(sim, axis, along)
    local names = {
        low = at_face(sim, axis, moved({0, 0, 0}, along, -1)), high = at_face(sim, axis, moved({0, 0, 0}, along, 1)),
        axis = domain_sides.AXES[along],
    }
    if not domain_sides.exists(sim, along) then return filled("0.25 * abs($high - $low)", names) end
    if sim.domain_size[along] == 1 then return "0.0" end
    return filled("coord.$axis == 0 ? 0.5 * abs($high - middle)"
        .. " : coord.$axis == domain_size.$axis - 1 ? 0.5 * abs(middle - $low)"
        .. " : 0.25 * abs($high - $low)", names)
end

-- Makes the field `faces` for gas.project(sim, {obstacles = true}), after all gas.obstacle.
-- Each voxel holds the open parts of its low faces along x, y, z, 0 to 1 in steps of 1/255 (PackFaces): the area of the
-- square in which the distance, linear over the face, is positive; exact for planes. Parts below 0.02 count as closed: they
-- would tie voxels to the flow by next to nothing. Ends of the domain are no obstacles: their faces are open here, and the
-- projection's `sides` close them. Halo 1.
function obstacles.faces(sim, given)
    values.options(given, "gas.faces", {})
    local state = state_of(sim)
    if state.faces then error("gas.faces is there already; one is enough for all obstacles.", 0) end
    sim:add_field("faces", Format.R32UI, 0xFFFFFF) -- open beyond the domain
    local parts = {"vec3 open_part;\n"}
    for axis, letter in ipairs(domain_sides.AXES) do
        local others = {axis % 3 + 1, (axis + 1) % 3 + 1}
        parts[#parts + 1] = (FACE:gsub("%$([%a_]+)", {
            i = letter, middle = at_face(sim, axis, {0, 0, 0}),
            reach_j = reach(sim, axis, others[1]), reach_k = reach(sim, axis, others[2]),
        }))
    end
    parts[#parts + 1] = "open_part *= step(vec3(0.02), open_part);\n"
    parts[#parts + 1] = 'WriteField("faces", idx, PackFaces(open_part, false));'
    state.faces = values.name(sim, "faces")
    sim:add_stencil(state.faces, {
        inputs = {"solid"}, outputs = {"faces"}, enabled = state.moving, code = table.concat(parts),
    })
    if not sim.sparse then sim:run_stencil(state.faces) end
end

-- Keeps scalars sensible inside obstacles, before advection: in the outermost voxels of an obstacle they are those of the gas
-- beside it, so that gas along a surface does not mix with what is inside; deeper inside they are cleared, so that nothing
-- hides in an obstacle that moves on.
--   fields   scalar fields, a list or {field = value deep inside}; a list clears to 0
--   reach    voxels of gas that an obstacle takes on, from its surface (default 2; what travels farther in a step than that
--            meets the cleared values)
-- Each voxel inside takes the mean of its neighbours that lie nearer to the surface, weighted by how much nearer: constant
-- extrapolation along the normal (T. Aslam, J. Comput. Phys. 193, 2004, in upwind form). Halo 1 per sweep, `reach` sweeps.
function obstacles.extend(sim, given)
    local o = values.options(given, "gas.extend", {"fields", "reach"})
    if not states[sim] then error("gas.extend needs obstacles: call gas.obstacle first.", 0) end
    if type(o.fields) ~= "table" or next(o.fields) == nil then
        error('"fields" of gas.extend must be a list such as {"density"}, or a table such as {temperature = 0}.', 0)
    end
    local fields = o.fields
    if #fields > 0 then
        fields = {}
        for _, name in ipairs(o.fields) do fields[name] = 0 end
    end
    local names, outputs, code = values.sorted(fields), {}, {}
    code[1] = filled([[
float here = ReadField("solid", idx);
if (here >= 0.0) return;
bool deep = here < -$reach * voxel_size;
float weight = 0.0;
]], {reach = values.float(o.reach or 2, "reach")})
    for i, field in ipairs(names) do code[#code + 1] = "float sum_" .. i .. " = 0.0;\n" end
    for axis = 1, 3 do
        for by = -1, 1, 2 do
            local there = string.format("coord + ivec3(%d, %d, %d)", table.unpack(moved({0, 0, 0}, axis, by)))
            code[#code + 1] = "{\n" .. filled("float nearer = $there_is max(ReadField(\"solid\", $there) - here, 0.0);\n", {
                there = there,
                there_is = domain_sides.exists(sim, axis) and "!InDomain(" .. there .. ") ? 0.0 :" or "",
            }) .. "weight += nearer;\n"
            for i, field in ipairs(names) do
                code[#code + 1] = filled("sum_" .. i .. ' += nearer * ReadField("$field", $there);\n', {field = field, there = there})
            end
            code[#code + 1] = "}\n"
        end
    end
    for i, field in ipairs(names) do
        outputs[i] = field .. "_new"
        code[#code + 1] = string.format('WriteField("%s", idx, deep || weight <= 0.0 ? %s : sum_%d / weight);\n', outputs[i],
            values.float(fields[field], "fields." .. field), i)
    end
    sim:add_stencil(values.name(sim, "extend"), {
        inputs = values.list({"solid"}, names),
        outputs = outputs,
        iterations = math.max(1, math.ceil(type(o.reach) == "number" and o.reach or 2)),
        code = table.concat(code),
    })
end

return obstacles
