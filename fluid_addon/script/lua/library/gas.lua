-- SPDX-License-Identifier: GPL-3.0-or-later
-- A gas solver in parts: every operator under one name.
--
-- Operators add stencils and solvers to an engine, and a step runs them in the order of the calls. The usual order is
-- Mantaflow's: sources, combustion, advection of what the flow carries, advection of the flow, forces, projection.
local gas = {}

-- The modules by their own names, and what they hold under `gas` itself: gas.emit is gas.sources.emit.
gas.shapes, gas.sources, gas.forces = require("fluid.shapes"), require("fluid.sources"), require("fluid.forces")
gas.advection, gas.pressure = require("fluid.advection"), require("fluid.pressure")
gas.combustion, gas.decay, gas.diffusion = require("fluid.combustion"), require("fluid.decay"), require("fluid.diffusion")
gas.obstacles, gas.sides, gas.detail = require("fluid.obstacles"), require("fluid.sides"), require("fluid.detail")
for _, part in ipairs{
    gas.shapes, gas.sources, gas.forces, gas.advection, gas.pressure, gas.combustion, gas.decay, gas.diffusion,
    gas.obstacles, gas.sides, gas.detail,
} do
    for name, operator in pairs(part) do
        if name ~= "fields" then gas[name] = operator end -- a module's own fields: gas.combustion.fields(sim)
    end
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
