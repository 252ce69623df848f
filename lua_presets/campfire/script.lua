-- SPDX-License-Identifier: GPL-3.0-or-later
-- A campfire. Fuel enters at the ground, burns at a rate of its own, and what burns is hot: heat lifts it, and in
-- degrees Kelvin it glows in the colour of a black body. The white core, the yellow body and the red tips follow from
-- nothing but temperature.
local gas = require("fluid.gas")

local n = param("resolution", {default = 64, min = 16, max = 512, help = "Voxels along the short sides"})
local frames = param("frames", {default = 96, min = 1, max = 1000, help = "Frames to compute"})
param("fuel", {default = 1.0, min = 0, max = 3, help = "How rich the fuel is: more of it makes taller flames"})
param("rate", {default = 1.6, min = 0.2, max = 10, help = "Fuel that burns in a second"})
param("buoyancy", {default = 6.0, min = 0, max = 30, help = "How strongly heat rises"})
param("cooling", {default = 3.0, min = 0, max = 10, help = "How fast hot gas loses its heat, per second"})
param("flicker", {default = 3.0, min = 0, max = 20, help = "Random stirring of the flames"})

sim = FluidEngine.new{domain_size = {n, n, n * 3 // 2}, voxel_size = 2 / n, origin = {-1, -1, 0}}
gas.fields(sim, {"density", "temperature"})
gas.combustion.fields(sim, {expansion = false})

-- Embers: a flat heap, eaten by noise into single tongues.
gas.emit(sim, {
    shape = gas.cylinder{center = {0, 0, 0.1}, radius = 0.42, height = 0.12},
    fields = {fuel = "params.fuel", temperature = 0.6},
    noise = {scale = 0.16, amount = 1, speed = 2.5},
})
gas.burn(sim, {rate = "params.rate", smoke = 0.02})
gas.advect(sim, {fields = {"density", "temperature", "fuel"}})
gas.advect_velocity(sim)
gas.buoyancy(sim, {temperature = "params.buoyancy"})
gas.confinement(sim, {strength = 0.5})
gas.turbulence(sim, {
    strength = "params.flicker", scale = 0.25, speed = 1, octaves = 2,
    where = 'min(ReadField("temperature", idx), 1.0)',
})
gas.project(sim, {sides = {"open", "open", "open", "open", "closed", "open"}})
gas.cool(sim, {rate = "params.cooling"})
gas.dissipate(sim, {fields = {density = 0.8}})
-- What a picture shows: 293 K of still air, and 660 K more for each unit of heat.
gas.kelvin(sim, {per_unit = 660})

sim:run{frames = frames, fps = 24, export = "fire_####.vdb", fields = {"density", "kelvin", "velocity"}, half = true}
