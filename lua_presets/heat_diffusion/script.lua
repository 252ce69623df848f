-- SPDX-License-Identifier: GPL-3.0-or-later
-- The heat equation in a body of any shape. Heat flows from a voxel to its colder neighbours (Fourier's law):
--
--     dT/dt = D * laplacian(T)      inside the steel; no flux into the air
--
-- and the surface loses heat to the air around. The steel is a gyroid, a lattice that one formula describes. In degrees
-- Kelvin a field named "temperature" glows in the colour of its black body.
local n = param("resolution", {default = 80, min = 16, max = 400, help = "Voxels along a side"})
local frames = param("frames", {default = 80, min = 1, max = 2000, help = "Frames to compute"})
local steps = param("steps", {default = 24, min = 1, max = 200, help = "Small steps in a frame: how fast heat spreads"})
param("diffusion", {default = 0.16, min = 0.0, max = 0.166, help = "Share that neighbours exchange; above 1/6 it explodes"})
param("forge", {default = 1700, min = 300, max = 3000, help = "Kelvin of the fire that heats the middle"})
param("cooling", {default = 0.0005, min = 0.0, max = 0.05, help = "Share of its warmth that a surface loses in a small step"})
param("cells", {default = 2.5, min = 1.0, max = 6.0, help = "Cells of the lattice along a side"})

sim = FluidEngine.new{domain_size = {n, n, n}, voxel_size = 2 / n, origin = {-1, -1, 0}}
sim:add_field("temperature", Format.R32F, 300)         -- Kelvin
sim:add_field("density", Format.R32F, 0)               -- 1 where there is steel
sim:add_field("color", Format.R32G32B32F, {0, 0, 0})

-- The body: a gyroid, where sin(x) cos(y) + sin(y) cos(z) + sin(z) cos(x) is near 0, in the shape of a ball.
sim:add_stencil("steel", {outputs = {"density", "color"}, enabled = false, code = [[
    vec3 p = (vec3(coord) + 0.5) / vec3(domain_size) - 0.5;
    vec3 a = 6.2831853 * params.cells * p;
    float gyroid = sin(a.x) * cos(a.y) + sin(a.y) * cos(a.z) + sin(a.z) * cos(a.x);
    bool is_steel = abs(gyroid) < 0.42 && length(p) < 0.47;
    WriteField("density", idx, is_steel ? 1.0 : 0.0);
    WriteField("color", idx, is_steel ? vec3(0.28, 0.29, 0.31) : vec3(0.0));
]]})
sim:run_stencil("steel")

-- Only steel exchanges heat with steel. A voxel with a side to the air cools; the fire holds the middle at its heat.
sim:add_stencil("conduct", {inputs = {"temperature", "density"}, outputs = {"temperature_new"}, iterations = steps, code = [[
    if (ReadField("density", idx) < 0.5) return;
    float here = ReadField("temperature", idx), gained = 0.0, air = 0.0;
    for (int side = 0; side < 6; side++) {
        ivec3 c = coord + (1 - 2 * (side & 1)) * ivec3(side < 2, side >> 1 == 1, side > 3);
        float steel = ReadField("density", c);
        gained += steel * (ReadField("temperature", c) - here);
        air += 1.0 - steel;
    }
    float next = here + params.diffusion * gained - params.cooling * min(air, 1.0) * (here - 300.0);
    float fire = length((vec3(coord) + 0.5) / vec3(domain_size) - vec3(0.45, 0.3, 0.3));
    WriteField("temperature_new", idx, fire < 0.2 ? params.forge : next);
]]})

sim:run{frames = frames, fps = 24, export = "heat_####.vdb",
        fields = {"density", "temperature", "color"}, half = true}
