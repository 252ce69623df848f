-- SPDX-License-Identifier: GPL-3.0-or-later
-- Reaction and diffusion (Gray and Scott 1984; Pearson, "Complex Patterns in a Simple System", Science 1993).
--
-- Two chemicals fill a box: U is fed everywhere, V eats it (U + 2 V -> 3 V) and is taken away. Both diffuse, U twice as
-- fast as V. Nothing else is needed for patterns that grow, branch and split:
--
--     dU/dt = Du * laplacian(U) - U * V * V + feed * (1 - U)
--     dV/dt = Dv * laplacian(V) + U * V * V - (feed + kill) * V
--
-- Try feed 0.025, kill 0.060 for cells that divide; 0.037, 0.0615 for folded sheets; 0.046, 0.064 for branches.
local n = param("resolution", {default = 80, min = 16, max = 400, help = "Voxels along a side of the box"})
local frames = param("frames", {default = 80, min = 1, max = 2000, help = "Frames to compute"})
local steps = param("steps", {default = 60, min = 1, max = 200, help = "Reactions in a frame: how fast it grows"})
param("feed", {default = 0.030, min = 0.0, max = 0.1, help = "How fast U comes in, per reaction"})
param("kill", {default = 0.062, min = 0.0, max = 0.1, help = "How fast V is taken away, besides the feed"})
param("diffusion", {default = 0.10, min = 0.02, max = 0.166, help = "Of U; of V half of it. Above 1/6 it explodes"})

sim = FluidEngine.new{domain_size = {n, n, n}, voxel_size = 2 / n, origin = {-1, -1, 0}, boundary = "clamp"}
sim:add_field("uv", Format.R32G32F, {1, 0})            -- the two concentrations
sim:add_field("density", Format.R32F, 0)               -- what a picture shows: V, with a crisp surface
sim:add_field("color", Format.R32G32B32F, {0, 0, 0})

-- The start: U everywhere, and a few drops of V in the middle.
sim:add_stencil("drops", {outputs = {"uv"}, enabled = false, code = [[
    vec3 p = (vec3(coord) + 0.5) / vec3(domain_size) - 0.5;
    float drop = 0.0;
    for (int i = 0; i < 7; i++) {
        vec3 middle = 0.3 * (Random3(ivec3(i, 0, 0), 5) - 0.5);
        float radius = max(0.06, 3.0 / float(domain_size.x));
        drop = max(drop, 1.0 - smoothstep(0.5 * radius, radius, length(p - middle)));
    }
    WriteField("uv", idx, vec2(1.0 - 0.5 * drop, 0.35 * drop));
]]})
sim:run_stencil("drops")

-- The whole model. The walls let nothing through: "clamp" reads the nearest voxel there, so no slope and no flux.
sim:add_stencil("react", {inputs = {"uv"}, outputs = {"uv_new"}, iterations = steps, code = [[
    vec2 here = ReadField("uv", idx);
    vec2 around = ReadField("uv", coord + ivec3(1, 0, 0)) + ReadField("uv", coord - ivec3(1, 0, 0))
                + ReadField("uv", coord + ivec3(0, 1, 0)) + ReadField("uv", coord - ivec3(0, 1, 0))
                + ReadField("uv", coord + ivec3(0, 0, 1)) + ReadField("uv", coord - ivec3(0, 0, 1));
    vec2 laplacian = around - 6.0 * here;
    float u = here.x, v = here.y, eaten = u * v * v;
    WriteField("uv_new", idx, vec2(
        u + params.diffusion * laplacian.x - eaten + params.feed * (1.0 - u),
        v + 0.5 * params.diffusion * laplacian.y + eaten - (params.feed + params.kill) * v));
]]})

-- A picture needs a surface: V is empty below a threshold, solid above, and coloured by how far out it has grown.
sim:add_stencil("show", {inputs = {"uv"}, outputs = {"density", "color"}, code = [[
    vec2 here = ReadField("uv", idx);
    float r = length((vec3(coord) + 0.5) / vec3(domain_size) - 0.5);
    vec3 coral = mix(vec3(0.95, 0.25, 0.10), vec3(0.95, 0.75, 0.35), smoothstep(0.1, 0.25, r));
    coral = mix(coral, vec3(0.15, 0.70, 0.65), smoothstep(0.25, 0.45, r));
    float solid = smoothstep(0.16, 0.24, here.y);
    WriteField("density", idx, solid);
    WriteField("color", idx, solid > 0.0 ? coral : vec3(0.0));
]]})

sim:run{frames = frames, fps = 24, export = "coral_####.vdb", fields = {"density", "color"}, half = true}
