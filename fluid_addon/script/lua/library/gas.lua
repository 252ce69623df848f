-- SPDX-License-Identifier: GPL-3.0-or-later
-- A gas solver in parts: every operator under one name.
--
-- Operators add stencils and solvers to an engine, and a step runs them in the order of the calls. The usual order is
-- Mantaflow's: sources, combustion, advection of what the flow carries, advection of the flow, forces, projection.
local gas = {}

for _, part in ipairs{
    require("fluid.advection"), require("fluid.pressure"), require("fluid.sources"), require("fluid.forces"), require("fluid.turbulence"),
} do
    for name, operator in pairs(part) do gas[name] = operator end
end

-- gas.fields(sim, {"density", "temperature", …}): the fields of a gas.
-- Declares the named scalars with a background of 0, and `velocity` (staggered: each component on the low face of its
-- voxel; scene units per second), `pressure` (in units of velocity) and `divergence` (what the projection takes out).
function gas.fields(sim, scalars)
    for _, name in ipairs(scalars or {"density"}) do sim:add_field(name, Format.R32F, 0) end
    sim:add_field("velocity", Format.R32G32B32F, {0, 0, 0}, {staggered = true})
    sim:add_field("pressure", Format.R32F, 0)
    sim:add_field("divergence", Format.R32F, 0)
end

return gas
