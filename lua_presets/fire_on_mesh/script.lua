-- SPDX-License-Identifier: GPL-3.0-or-later
-- Fire on a mesh: fuel seeps out of the surface of a mesh of the scene, burns, and lifts itself. Outside Blender the mesh
-- is Emitter.obj beside this script. It is an obstacle, too: flames run up along it instead of through it.
local gas = require("fluid.gas")

local n = param("resolution", {default = 64, min = 16, max = 512, help = "Voxels along the short sides"})
local frames = param("frames", {default = 72, min = 1, max = 1000, help = "Frames to compute"})
param("fuel", {default = 1.2, min = 0, max = 3, help = "How rich the fuel is: more of it makes taller flames"})
param("rate", {default = 1.6, min = 0.2, max = 10, help = "Fuel that burns in a second"})
param("buoyancy", {default = 8.0, min = 0, max = 30, help = "How strongly heat rises"})
param("cooling", {default = 2.5, min = 0, max = 10, help = "How fast hot gas loses its heat, per second"})

sim = FluidEngine.new{domain_size = {n, n, n * 3 // 2}, voxel_size = 2 / n, origin = {-1, -1, 0}}
gas.fields(sim, {"smoke", "temperature"})
sim:add_field("density", Format.R32F, 0)               -- what a picture shows: the smoke, and the charred mesh
sim:add_field("color", Format.R32G32B32F, {0, 0, 0})
gas.combustion.fields(sim, {expansion = false})

local emitter = gas.object(sim, scene.object("Emitter"))
gas.obstacle(sim, {shape = emitter, moving = true})
gas.faces(sim)
-- Fuel in a thin layer on the surface, in patches that wander.
gas.emit(sim, {
    shape = gas.subtraction(gas.grown(emitter, 0.06), emitter),
    fields = {fuel = "params.fuel", temperature = 0.6},
    noise = {scale = 0.2, amount = 0.9, speed = 2},
    inherit = 0.7,
})
gas.burn(sim, {rate = "params.rate", smoke = 0.05, density = "smoke"})
gas.extend(sim, {fields = {"smoke", "temperature", "fuel"}})
gas.advect(sim, {fields = {"smoke", "temperature", "fuel"}})
gas.advect_velocity(sim)
gas.buoyancy(sim, {temperature = "params.buoyancy"})
gas.confinement(sim, {strength = 0.5})
gas.turbulence(sim, {
    strength = 3, scale = 0.25, speed = 1, octaves = 2,
    where = 'min(ReadField("temperature", idx), 1.0)',
})
gas.project(sim, {obstacles = true})
gas.cool(sim, {rate = "params.cooling"})
gas.dissipate(sim, {fields = {smoke = 0.4}})
gas.kelvin(sim, {per_unit = 660})  -- what glows: black bodies by their temperature
sim:add_stencil("show", {inputs = {"smoke", "solid"}, outputs = {"density", "color"}, code = [[
    float coal = clamp(0.5 - ReadField("solid", idx) / voxel_size, 0.0, 1.0), smoke = ReadField("smoke", idx);
    WriteField("density", idx, mix(smoke, 1.5, coal));
    WriteField("color", idx, smoke + coal > 0.002 ? mix(vec3(0.5), vec3(0.04, 0.03, 0.03), coal) : vec3(0.0));
]]})

sim:run{frames = frames, fps = 24, export = "fire_####.vdb",
        fields = {"density", "color", "kelvin", "velocity"}, half = true}
