-- SPDX-License-Identifier: GPL-3.0-or-later
-- Diffusion of scalars and viscosity of the flow: what differs from its neighbours becomes like them.
--
-- Explicit steps are stable up to coefficient dt / h^2 = 1/6. Longer ones are done in n sweeps that are no short steps but the
-- stages of a Runge-Kutta-Legendre method, which reach n (n + 1) / 2 times as far: 15 sweeps for 120 times the limit
-- (RKL1: C. Meyer, D. Balsara, T. Aslam, "A second-order accurate super time-stepping formulation for anisotropic thermal
-- conduction", Mon. Not. R. Astron. Soc. 422, 2012). First order in time, as one short step is.
local domain_sides = require("fluid.domain_sides")
local values = require("fluid.values")
local filled = values.filled

local diffusion = {}

local AXES = domain_sides.AXES

local function offset(axis, sign)
    return "coord " .. sign .. " ivec3(" .. (axis == 1 and 1 or 0) .. ", " .. (axis == 2 and 1 or 0) .. ", "
        .. (axis == 3 and 1 or 0) .. ")"
end

-- How far one explicit step may go, as coefficient dt / h^2: 1/2 divided by the number of axes along which there is more than
-- one voxel, or a wall. 1/6 in space, 1/4 in a plane that is periodic across.
local function limit(sim)
    local axes = 0
    for axis = 1, 3 do
        if sim.domain_size[axis] > 1 or domain_sides.exists(sim, axis) then axes = axes + 1 end
    end
    return 0.5 / math.max(axes, 1)
end

-- GLSL of `r`, coefficient dt / voxel_size^2 divided by how much farther the sweeps reach than one; kept where that is stable.
local function ratio(sim, coefficient, sweeps)
    return filled("float r = clamp($coefficient * dt / ($reach * voxel_size * voxel_size), 0.0, $limit);\n", {
        coefficient = coefficient, reach = values.float(sweeps * (sweeps + 1) / 2, "sweeps"),
        limit = values.float(limit(sim), "limit"),
    })
end

-- How many sweeps a step of `step` seconds takes, or nil for a coefficient that only the device knows. At the very limit a
-- checkerboard would stay and change its sign in each step, so they reach a tenth beyond it.
local function sweeps_for(sim, coefficient, step)
    if type(coefficient) ~= "number" then return nil end
    local reach = 1.1 * coefficient * step / (sim.voxel_size ^ 2 * limit(sim))
    return math.max(1, math.ceil(0.5 * math.sqrt(1 + 8 * math.max(reach, 0)) - 0.5 - 1e-9))
end

local MOST_SWEEPS = 8 -- beyond it a solve is cheaper

-- The fields that remember the stage before the last one, and in their last component how many stages are done.
local remembering = setmetatable({}, {__mode = "k"})

local function remember(sim, name, format, init)
    remembering[sim] = remembering[sim] or {}
    if not remembering[sim][name] then
        remembering[sim][name] = true
        sim:add_field(name, format, init)
    end
    return name
end

-- GLSL of stage j of an RKL1 step: Y_j = mu (Y_{j-1} + r laplacian Y_{j-1}) + (1 - mu) Y_{j-2}, mu = (2 j - 1) / j.
local STAGE = [[
$all before = ReadField($field, idx);
float stage = before.$last + 1.0;
$result = mix(before.$parts, $result, (2.0 * stage - 1.0) / stage);
WriteField($field, idx, $all($here, stage > $sweeps - 0.5 ? 0.0 : stage));
]]

local function whole(value, what)
    if value ~= nil and (math.type(value) ~= "integer" or value < 1) then
        error('"' .. what .. '" must be a whole number above 0, not ' .. values.shown(value) .. ".", 0)
    end
    return value
end

-- ===== Scalars

-- x = old + change, where  sum(change_n - change) - s change = -(sum of old_n - old),  s = h^2 / (coefficient dt): backward Euler,
-- solved for the change, so that the tolerance is of what a step does and not of what is there.
local changes = setmetatable({}, {__mode = "k"}) -- engines that have the fields of implicit diffusion

local function implicit(sim, field, coefficient, tolerance)
    if not changes[sim] then
        changes[sim] = true
        sim:add_field("diffusion_change", Format.R32F, 0)
        sim:add_field("diffusion_rhs", Format.R32F, 0)
    end
    local code = {filled("float here = ReadField($field, idx), sum = 0.0;\n", {field = field})}
    for axis = 1, 3 do
        for side = 2 * axis - 1, 2 * axis do
            local beyond = domain_sides.exists(sim, axis) and domain_sides.depth(side) .. " == 0 ? 0.0 : " or ""
            code[#code + 1] = filled("sum += $beyond" .. "ReadField($field, $there) - here;\n", {
                beyond = beyond, field = field, there = offset(axis, side % 2 == 1 and "-" or "+"),
            })
        end
    end
    code[#code + 1] = "WriteField(diffusion_rhs, idx, -sum);"
    sim:add_stencil(values.name(sim, "measure_" .. field), {
        inputs = {field}, outputs = {"diffusion_rhs"}, code = table.concat(code),
    })
    sim:add_solver(values.name(sim, "diffuse_" .. field), {
        unknown = "diffusion_change", rhs = "diffusion_rhs", sides = "closed", tolerance = tolerance,
        shift_per_dt = sim.voxel_size ^ 2 / coefficient,
    })
    sim:add_stencil(values.name(sim, "change_" .. field), {
        inputs = {field, "diffusion_change"}, outputs = {field},
        code = filled("WriteField($field, idx, ReadField($field, idx) + ReadField(diffusion_change, idx));", {field = field}),
    })
end

local function explicit(sim, field, coefficient, sweeps, fixed)
    local parts = {ratio(sim, coefficient, sweeps), filled("float here = ReadField($field, idx), sum = 0.0;\n", {field = field})}
    for axis, letter in ipairs(AXES) do
        for side = 2 * axis - 1, 2 * axis do
            local names = {field = field, there = offset(axis, side % 2 == 1 and "-" or "+"), letter = letter,
                depth = domain_sides.depth(side)}
            if not domain_sides.exists(sim, axis) then
                parts[#parts + 1] = filled("sum += ReadField($field, $there) - here;\n", names)
            else
                names.beyond = fixed[side] and "2.0 * (" .. values.float(fixed[side], "fixed") .. " - here)" or "0.0"
                parts[#parts + 1] = filled("sum += $depth == 0 ? $beyond : ReadField($field, $there) - here;\n", names)
            end
        end
    end
    parts[#parts + 1] = "float result = here + r * sum;\n"
    local outputs = {field .. "_new"}
    if sweeps > 1 then
        outputs[2] = remember(sim, "diffusion_before", Format.R32G32F, {0, 0})
        parts[#parts + 1] = filled(STAGE, {
            all = "vec2", field = outputs[2], last = "y", parts = "x", result = "result", here = "here",
            sweeps = values.float(sweeps, "sweeps"),
        })
    end
    parts[#parts + 1] = filled("WriteField($output, idx, result);", {output = outputs[1]})
    local code = table.concat(parts)
    sim:add_stencil(values.name(sim, "diffuse_" .. field), {
        inputs = values.reads(code), outputs = outputs, iterations = sweeps, code = code,
    })
end

-- Viscosity of one component along one axis: adds the differences to the neighbours to `sum`.
local function neighbours(sim, component, axis, walls, wall_velocity, velocity)
    local c, parts = AXES[component], {}
    for side = 2 * axis - 1, 2 * axis do
        local names = {velocity = velocity, there = offset(axis, side % 2 == 1 and "-" or "+"), c = c,
            depth = domain_sides.depth(side)}
        if axis == component or not domain_sides.exists(sim, axis) then
            -- Along its own axis a component lies on the walls themselves: its neighbours are all faces, and the reads
            -- beyond the high end give the wall's.
            parts[#parts + 1] = filled("sum += ReadField($velocity, $there).$c - u;\n", names)
        else
            names.wall = wall_velocity[side] and "(" .. wall_velocity[side] .. ")." .. c or "0.0"
            names.beyond = walls[side] == "no-slip" and filled("2.0 * ($wall - u)", names) or "0.0"
            parts[#parts + 1] = filled("sum += $depth == 0 ? $beyond : ReadField($velocity, $there).$c - u;\n", names)
        end
    end
    return table.concat(parts)
end

-- Lets the flow be viscous: du/dt = coefficient * laplacian(u), each component on its own faces.
--   coefficient     kinematic viscosity, scene units^2 per second, a number or GLSL
--   walls           what the ends of the domain do to the flow along them: "free" (default) or "no-slip"; one, {x, y, z},
--                   or {x low, x high, y low, y high, z low, z high}. Axes on which the domain is periodic have none
--   wall_velocity   how no-slip walls move along themselves: {["y high"] = {1, 0, 0}}, each {x, y, z} or GLSL
--   sweeps          stages of a step (default: as many as `step` needs, 1 for a coefficient in GLSL)
--   step            the longest step that is meant, seconds (default 1/24)
--   obstacles       true: faces that `faces` says are closed keep the velocity that they have
--   velocity        the staggered field (default "velocity")
-- Explicit, see above: with one sweep u += r (sum of the six neighbours - 6 u), r = coefficient dt / h^2. Where a step is longer
-- than its sweeps reach, the flow is less viscous than asked, but it never blows up. Halo 1 per sweep. More than one sweep
-- takes 16 bytes per voxel to remember. A no-slip wall lies half a voxel from the velocities along it, so the value beyond it is 2 u_wall - u; the
-- component across a wall lies on it and keeps its value (F. Harlow, J. Welch, Phys. Fluids 8, 1965).
function diffusion.viscosity(sim, given)
    local o = values.options(given, "gas.viscosity", {
        "coefficient", "walls", "wall_velocity", "sweeps", "step", "obstacles", "velocity",
    })
    local velocity = o.velocity or "velocity"
    local walls = domain_sides.words(o.walls, "free", "walls", {"free", "no-slip"})
    local wall_velocity = domain_sides.by_name(o.wall_velocity, "wall_velocity")
    for side, moving in pairs(wall_velocity) do wall_velocity[side] = values.vec3(moving, "wall_velocity") end
    local coefficient = values.float(o.coefficient, "coefficient")
    local sweeps = whole(o.sweeps, "sweeps") or sweeps_for(sim, o.coefficient, o.step or 1 / 24) or 1
    local parts = {ratio(sim, coefficient, sweeps), filled("vec3 result = ReadField($velocity, idx);\n", {velocity = velocity})}
    for component, c in ipairs(AXES) do
        local on_wall = domain_sides.exists(sim, component) and "if (coord." .. c .. " > 0) " or ""
        parts[#parts + 1] = on_wall .. filled("{\nfloat u = ReadField($velocity, idx).$c, sum = 0.0;\n", {velocity = velocity, c = c})
        for axis = 1, 3 do parts[#parts + 1] = neighbours(sim, component, axis, walls, wall_velocity, velocity) end
        parts[#parts + 1] = "result." .. c .. " = u + r * sum;\n}\n"
    end
    if o.obstacles then
        parts[#parts + 1] = filled("result = mix(result, ReadField($velocity, idx), "
            .. 'equal(FaceOpenness(ReadField("faces", idx)), vec3(0.0)));\n', {velocity = velocity})
    end
    local outputs = {velocity .. "_new"}
    if sweeps > 1 then
        outputs[2] = remember(sim, "viscosity_before", Format.R32G32B32A32F, {0, 0, 0, 0})
        parts[#parts + 1] = filled(STAGE, {
            all = "vec4", field = outputs[2], last = "w", parts = "xyz", result = "result",
            here = filled("ReadField($velocity, idx)", {velocity = velocity}), sweeps = values.float(sweeps, "sweeps"),
        })
    end
    parts[#parts + 1] = filled("WriteField($output, idx, result);", {output = outputs[1]})
    local code = table.concat(parts)
    sim:add_stencil(values.name(sim, "viscosity"), {
        inputs = values.reads(code), outputs = outputs, iterations = sweeps, code = code,
    })
end

-- Lets a scalar diffuse: df/dt = coefficient * laplacian(f).
--   field         default "temperature"
--   coefficient   scene units^2 per second, a number; explicit: or GLSL
--   method        "explicit"; "implicit"; "auto" (default): explicit where that takes up to 8 sweeps (36 times the limit), or
--                 must be, else implicit
--   fixed         explicit: values at ends of the domain, {["x low"] = 1, ["x high"] = "params.cold"}; all other ends are
--                 insulated
--   sweeps        explicit: stages of a step (default: as many as `step` needs, 1 for GLSL)
--   step          the longest step that is meant, seconds (default 1/24)
--   tolerance     implicit: how much of the change that a step makes may be missing (default 1e-4)
-- Explicit, see above: with one sweep f += r (sum of the six neighbours - 6 f), r = coefficient dt / h^2. Where a step is longer
-- than its sweeps reach, f diffuses less than asked, but it never blows up. Halo 1 per sweep. More than one sweep takes 8 bytes
-- per voxel to remember.
-- Implicit: backward Euler, stable for steps of any length, its error in proportion to dt. Halo 1; the solver's reach is the
-- whole domain. Working memory: 8 bytes per voxel and the solver's coarse grids.
function diffusion.diffuse(sim, given)
    local o = values.options(given, "gas.diffuse", {
        "field", "coefficient", "method", "fixed", "sweeps", "step", "tolerance",
    })
    local method = values.choice(o.method, "auto", "method", {"auto", "explicit", "implicit"})
    local coefficient, field = values.float(o.coefficient, "coefficient"), o.field or "temperature"
    local fixed = domain_sides.by_name(o.fixed, "fixed")
    local must_be_explicit = type(o.coefficient) ~= "number" or next(fixed) ~= nil
    local needed = sweeps_for(sim, o.coefficient, o.step or 1 / 24)
    local sweeps = whole(o.sweeps, "sweeps") or needed or 1
    if method == "auto" then method = (must_be_explicit or sweeps <= MOST_SWEEPS) and "explicit" or "implicit" end
    if method == "explicit" then
        explicit(sim, field, coefficient, sweeps, fixed)
        return
    end
    if must_be_explicit then
        error('gas.diffuse with method = "implicit" takes a coefficient that is a number, and no "fixed" ends.', 0)
    end
    if o.coefficient < 0 then error('"coefficient" is ' .. o.coefficient .. "; it lies at 0 or above.", 0) end
    if o.coefficient > 0 then implicit(sim, field, o.coefficient, o.tolerance or 1e-4) end
end

return diffusion
