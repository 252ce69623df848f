-- SPDX-License-Identifier: GPL-3.0-or-later
-- The Kelvin-Helmholtz instability: where two layers slide over each other, a small wave of their border grows, and
-- curls up (W. Thomson 1871). The clouds over a hill do it, and the bands of Jupiter. The domain is a thin slab, periodic
-- along x and y, so that the layers may slide on for ever.
local gas = require("fluid.gas")

local n = param("resolution", {default = 128, min = 16, max = 1024, help = "Voxels along the layer"})
local frames = param("frames", {default = 96, min = 1, max = 1000, help = "Frames to compute"})
param("speed", {default = 1.0, min = 0, max = 5, help = "How fast each layer slides, scene units per second"})
param("waves", {default = 3, min = 1, max = 16, help = "Waves along the layer at the start"})
param("ripple", {default = 0.1, min = 0, max = 1, help = "How strong the first wave is, as a part of the speed"})
param("thickness", {default = 0.04, min = 0.005, max = 0.3, help = "Thickness of the border, scene units"})

sim = FluidEngine.new{
    domain_size = {n, math.max(4, n // 12), n * 3 // 8}, voxel_size = 4 / n, origin = {-2, 0, -0.75},
    boundary = {"periodic", "periodic", "clamp"},
}
gas.fields(sim, {"upper"})                             -- 1 above the border, 0 below
sim:add_field("density", Format.R32F, 0)               -- what a picture shows: both layers, each in its colour
sim:add_field("color", Format.R32G32B32F, {0, 0, 0})

-- The start. Velocity lies on the low faces of the voxels: its x component half a voxel to the left of the centre.
sim:add_stencil("layers", {outputs = {"velocity", "upper"}, enabled = false, code = [[
    vec3 p = vec3(-2.0, 0.0, -0.75) + (vec3(coord) + 0.5) * voxel_size;
    float along = 6.2831853 * params.waves * p.x / 4.0;
    float low = p.z - 0.5 * voxel_size;
    float rise = sin(along) + 0.3 * sin(2.0 * along + 1.0) + 0.5 * sin(0.5 * along + 2.0);
    WriteField("velocity", idx, params.speed * vec3(
        tanh(p.z / params.thickness), 0.0, params.ripple * rise * exp(-low * low / 0.02)));
    WriteField("upper", idx, 0.5 + 0.5 * tanh(p.z / params.thickness));
]]})
sim:run_stencil("layers")
sim:fill("density", 1)

gas.advect(sim, {fields = {"upper"}})
gas.advect_velocity(sim, {reflection = {sides = "closed"}}) -- loses little of the flow's energy: the curls stay sharp
gas.project(sim, {sides = "closed"})

sim:add_stencil("paint", {inputs = {"upper"}, outputs = {"color"}, code = [[
    float upper = ReadField("upper", idx);
    vec3 tint = mix(vec3(0.04, 0.13, 0.45), vec3(0.95, 0.80, 0.55), smoothstep(0.1, 0.9, upper));
    WriteField("color", idx, mix(tint, vec3(0.85, 0.18, 0.08), 1.0 - smoothstep(0.1, 0.5, abs(upper - 0.5))));
]]})

sim:run{frames = frames, fps = 24, export = "layer_####.vdb", fields = {"density", "color"}, half = true}
