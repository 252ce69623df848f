-- SPDX-License-Identifier: GPL-3.0-or-later
-- Smoke from a mesh. `scene.object` gives a mesh of the Blender scene by its name, as it moves and deforms; outside
-- Blender it is Emitter.obj beside this script. A shape can be made of it, and whatever takes a shape takes a mesh.
local gas = require("fluid.gas")

local n = param("resolution", {default = 64, min = 16, max = 512, help = "Voxels along the short sides"})
local frames = param("frames", {default = 72, min = 1, max = 1000, help = "Frames to compute"})
param("heat", {default = 3.0, min = -10, max = 20, help = "How strongly the smoke rises; below 0 it sinks"})
param("skin", {default = 0.03, min = 0.01, max = 0.3, help = "Thickness of the layer that smokes, scene units"})
param("inherit", {default = 0.7, min = 0, max = 2, help = "How much of the mesh's own motion the smoke takes on"})
param("turbulence", {default = 2.0, min = 0, max = 20, help = "Random stirring of the smoke"})

sim = FluidEngine.new{domain_size = {n, n, n * 3 // 2}, voxel_size = 2 / n, origin = {-1, -1, 0}}
gas.fields(sim, {"density", "temperature"})

-- The skin of the mesh: what lies within a distance of its surface, on either side.
local emitter = gas.object(sim, scene.object("Emitter"))
local skin = {distance = "(abs(" .. emitter.distance .. ") - params.skin)", velocity = emitter.velocity}
gas.emit(sim, {
    shape = skin,
    fields = {density = 1, temperature = 1},
    noise = {scale = 0.15, amount = 1, speed = 2},
    inherit = "params.inherit",
})
gas.advect(sim, {fields = {"density", "temperature"}})
gas.advect_velocity(sim)
gas.buoyancy(sim, {temperature = "params.heat"})
gas.confinement(sim, {strength = 0.4})
gas.turbulence(sim, {
    strength = "params.turbulence", scale = 0.3, speed = 1, octaves = 2,
    where = 'min(ReadField("density", idx), 1.0)',
})
gas.project(sim)
gas.dissipate(sim, {fields = {density = 1.3, temperature = 1.0}})

sim:run{frames = frames, fps = 24, export = "smoke_####.vdb",
        fields = {"density", "temperature", "velocity"}, half = true}
