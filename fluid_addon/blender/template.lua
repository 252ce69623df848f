-- SPDX-License-Identifier: GPL-3.0-or-later
-- A fluid simulation that runs as it stands: press Run Simulation, and its frames appear in the scene.

-- A parameter is a slider in the sidebar. In Lua and in GLSL its value is params.swirl.
param("swirl", {default = 0.6, min = 0, max = 3, help = "How much the smoke curls while it rises"})

-- A domain is a box of voxels. voxel_size and origin say how large it is, and where in the scene.
sim = FluidEngine.new{domain_size = {48, 48, 72}, voxel_size = 1 / 24, origin = {-1, -1, 0}}

-- A field holds a number or a vector per voxel. The last value is what it starts with.
sim:add_field("density", Format.R32F, 0)

-- A stencil is GLSL that runs once per voxel and step, in the order in which stencils are added. Smoke moves by asking
-- where it came from; density_new becomes density when the stencil has run.
sim:add_stencil("rise", {inputs = {"density"}, outputs = {"density_new"}, code = [[
    vec3 here = vec3(coord) * voxel_size;
    vec3 velocity = vec3(0, 0, 0.9) + params.swirl * CurlNoise(here * 2.0 - vec3(0, 0, time));
    float smoke = SampleField("density", vec3(coord) - velocity * dt / voxel_size);
    float source = smoothstep(8.0, 5.0, distance(vec3(coord), vec3(24, 24, 10)));
    WriteField("density_new", idx, max(0.98 * smoke, source));
]]})

-- 60 frames, each exported: the #### becomes the frame's number.
sim:run{frames = 60, fps = 24, export = "fluid_####.vdb"}
