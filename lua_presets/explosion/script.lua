-- SPDX-License-Identifier: GPL-3.0-or-later
-- An explosion: much fuel, burning fast, and a gas that needs far more room than the fuel did. The projection is asked
-- for that room: instead of a flow without divergence, one that grows where something burns.
local gas = require("fluid.gas")

local n = param("resolution", {default = 64, min = 16, max = 512, help = "Voxels along a side"})
local frames = param("frames", {default = 60, min = 1, max = 1000, help = "Frames to compute"})
param("power", {default = 4.0, min = 0, max = 20, help = "Volumes of gas that a unit of fuel becomes"})
param("rate", {default = 1.8, min = 0.2, max = 20, help = "Fuel that burns in a second"})
param("smoke", {default = 1.5, min = 0, max = 10, help = "Smoke that a unit of fuel leaves"})
param("buoyancy", {default = 4.0, min = 0, max = 30, help = "How strongly heat rises"})
param("cooling", {default = 0.9, min = 0, max = 10, help = "How fast the fire ball loses its heat, per second"})

sim = FluidEngine.new{domain_size = {n, n, n}, voxel_size = 2 / n, origin = {-1, -1, 0}}
gas.fields(sim, {"density", "temperature"})
gas.combustion.fields(sim)

-- The charge: a ball with a torn surface, there for the first three frames.
gas.emit(sim, {
    shape = gas.sphere{center = {0, 0, 0.45}, radius = 0.26},
    fields = {fuel = 1.5, temperature = 1.2},
    noise = {scale = 0.16, amount = 1, speed = 4},
    to = 2,
})
gas.burn(sim, {rate = "params.rate", smoke = "params.smoke", expansion = "params.power", maximum = 2.5})
gas.advect(sim, {fields = {"density", "temperature", "fuel"}})
gas.advect_velocity(sim)
gas.buoyancy(sim, {temperature = "params.buoyancy", density = 0.1})
gas.confinement(sim, {strength = 0.8})
gas.turbulence(sim, {
    strength = 6, scale = 0.3, speed = 1, octaves = 2,
    where = 'min(ReadField("temperature", idx), 1.0)',
})
gas.project(sim, {
    divergence = 'ReadField("expansion", idx)',
    sides = {"open", "open", "open", "open", "closed", "open"},
})
gas.cool(sim, {rate = "params.cooling", mode = "radiative"})
gas.dissipate(sim, {fields = {density = 0.1}})

-- What a picture shows: soot, and gas that glows by its degrees Kelvin.
gas.kelvin(sim, {per_unit = 620})
sim:add_field("color", Format.R32G32B32F, {0, 0, 0})
sim:add_stencil("soot", {inputs = {"density"}, outputs = {"color"}, code = [[
    WriteField("color", idx, ReadField("density", idx) > 0.001 ? vec3(0.20, 0.17, 0.15) : vec3(0.0));
]]})

sim:run{frames = frames, fps = 24, substeps = "auto", cfl = 4, export = "boom_####.vdb",
        fields = {"density", "color", "kelvin", "velocity"}, half = true}
