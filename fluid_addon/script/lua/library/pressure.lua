-- SPDX-License-Identifier: GPL-3.0-or-later
-- Projection: the pressure that makes the flow end nowhere and begin nowhere.
--
-- Velocity lies on faces, pressure at centres, so that the divergence that is left is the solver's residual and nothing
-- else (F. Harlow, J. Welch, Phys. Fluids 8, 1965; A. Chorin, Math. Comp. 22, 1968). Pressure is held in units of
-- velocity: pressure * density * voxel_size / dt is the physical one.
--
-- Obstacles fill part of a face: the flow passes through what is open, the rest moves with the obstacle
-- (C. Batty, F. Bertails, R. Bridson, SIGGRAPH 2007; Y. Ng, C. Min, F. Gibou, J. Comput. Phys. 228, 2009).
--
-- Halo: 1 voxel; the solver's reach is the whole domain.
local values = require("fluid.values")
local filled = values.filled

local pressure = {}

-- The outermost faces of an axis that is not periodic let nothing through: on an open side the outermost voxels are
-- open air, and the flow ends in them. The high ones are not stored; reads there give the background, 0.
local function walls(sim)
    local text = {}
    for i, axis in ipairs{"x", "y", "z"} do
        if sim.boundary[i] ~= "periodic" then
            text[#text + 1] = filled("    low.$axis = coord.$axis == 0 ? 0.0 : low.$axis;\n", {axis = axis})
        end
    end
    return table.concat(text)
end

local BOTH_SIDES = [[
    vec3 low = ReadField($velocity, idx);
    vec3 high = vec3(ReadField($velocity, coord + ivec3(1, 0, 0)).x,
                     ReadField($velocity, coord + ivec3(0, 1, 0)).y,
                     ReadField($velocity, coord + ivec3(0, 0, 1)).z);
]]

local COVERED = [[
    vec3 open_low = FaceOpenness(ReadField($faces, idx));
    vec3 open_high = vec3(FaceOpenness(ReadField($faces, coord + ivec3(1, 0, 0))).x,
                          FaceOpenness(ReadField($faces, coord + ivec3(0, 1, 0))).y,
                          FaceOpenness(ReadField($faces, coord + ivec3(0, 0, 1))).z);
    vec3 solid = ReadField($solid, idx);
    low = mix(0.5 * (solid + vec3(ReadField($solid, coord - ivec3(1, 0, 0)).x,
                                  ReadField($solid, coord - ivec3(0, 1, 0)).y,
                                  ReadField($solid, coord - ivec3(0, 0, 1)).z)), low, open_low);
    high = mix(0.5 * (solid + vec3(ReadField($solid, coord + ivec3(1, 0, 0)).x,
                                   ReadField($solid, coord + ivec3(0, 1, 0)).y,
                                   ReadField($solid, coord + ivec3(0, 0, 1)).z)), high, open_high);
]]

local SUBTRACT = [[
    float here = ReadField($pressure, idx);
    vec3 low = ReadField($velocity, idx) - (here - vec3(ReadField($pressure, coord - ivec3(1, 0, 0)),
                                                        ReadField($pressure, coord - ivec3(0, 1, 0)),
                                                        ReadField($pressure, coord - ivec3(0, 0, 1))));
]]

local WITH_SOLID = [[
    vec3 solid = ReadField($solid, idx);
    vec3 moved = 0.5 * (solid + vec3(ReadField($solid, coord - ivec3(1, 0, 0)).x,
                                     ReadField($solid, coord - ivec3(0, 1, 0)).y,
                                     ReadField($solid, coord - ivec3(0, 0, 1)).z));
    low = mix(low, moved, equal(FaceOpenness(ReadField($faces, idx)), vec3(0.0)));
]]

-- gas.project(sim, {sides, tolerance, most, method, divergence, obstacles, velocity, pressure, into})
--   sides       "open" (default) or "closed"; one, {x, y, z}, or {x low, x high, y low, y high, z low, z high}; axes on
--               which the domain is periodic are so here, whatever this says
--   tolerance   how much of the divergence may be left, as a part of what there was (root of the sum of squares);
--               default 1e-3
--   most        the most cycles of the solver; a note says so when they do not suffice; default 30
--   method      "multigrid" (default); "conjugate": conjugate gradients, a multigrid cycle as preconditioner;
--               "sweeps": red-black Gauss-Seidel, for previews
--   divergence  GLSL: the divergence that the flow shall have, per second (hot gas expands)
--   obstacles   true: `faces` and `solid_velocity` say where obstacles are; gas.obstacle and gas.faces make them
--   velocity, pressure, into   the fields; default "velocity", "pressure", "divergence"
function pressure.project(sim, given)
    local options = values.options(given, "gas.project", {"sides", "tolerance", "most", "method", "divergence",
        "obstacles", "velocity", "pressure", "into"})
    local names = {velocity = options.velocity or "velocity", pressure = options.pressure or "pressure",
        faces = "faces", solid = "solid_velocity"}
    local into = options.into or "divergence"
    local solids = options.obstacles and {names.faces, names.solid} or {}
    local wanted = options.divergence and " - voxel_size * " .. values.float(options.divergence, "divergence") or ""
    sim:add_stencil(values.name(sim, "measure_divergence"), {
        inputs = values.list({names.velocity}, solids, values.reads(wanted)), outputs = {into},
        code = filled(BOTH_SIDES, names) .. walls(sim) .. (options.obstacles and filled(COVERED, names) or "")
            .. "    vec3 gain = high - low;\n"
            .. "    WriteField(" .. into .. ", idx, gain.x + gain.y + gain.z" .. wanted .. ");\n",
    })
    sim:add_solver(values.name(sim, "solve_pressure"), {
        unknown = names.pressure, rhs = into, faces = options.obstacles and names.faces or nil,
        sides = options.sides or "open", tolerance = options.tolerance or 1e-3, most = options.most or 30,
        method = options.method or "multigrid",
    })
    sim:add_stencil(values.name(sim, "subtract_gradient"), {
        inputs = values.list({names.velocity, names.pressure}, solids), outputs = {names.velocity},
        code = filled(SUBTRACT .. (options.obstacles and WITH_SOLID or ""), names) .. walls(sim)
            .. "    WriteField(" .. names.velocity .. ", idx, low);\n",
    })
end

return pressure
