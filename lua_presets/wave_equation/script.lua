-- SPDX-License-Identifier: GPL-3.0-or-later
-- The wave equation: what sound does in a room. The acceleration of a value is the curvature of what lies around it,
--
--     d²u/dt² = c² * laplacian(u) - loss * du/dt
--
-- and two fields are enough to walk it forward in time: the value now, and the one before (leapfrog; Courant,
-- Friedrichs, Lewy 1928: a wave may not travel more than 1/sqrt(3) voxels in a step, or it explodes).
local n = param("resolution", {default = 96, min = 16, max = 400, help = "Voxels along the long sides"})
local frames = param("frames", {default = 72, min = 1, max = 2000, help = "Frames to compute"})
param("speed", {default = 0.5, min = 0.1, max = 0.57, help = "Voxels that a wave travels in a step"})
param("wavelength", {default = 0.11, min = 0.04, max = 0.5, help = "Length of a wave, as a part of the block"})
param("cut", {default = 0.5, min = 0.0, max = 1.0, help = "Share of the ball that is cut away in front"})

local steps = math.max(1, n // 24)

sim = FluidEngine.new{domain_size = {n, n, n}, voxel_size = 2 / n, origin = {-1, -1, 0}, boundary = "clamp"}
sim:add_field("u", Format.R32G32F, {0, 0})             -- the value now, and one step before
sim:add_field("density", Format.R32F, 0)               -- what a picture shows
sim:add_field("color", Format.R32G32B32F, {0, 0, 0})

-- Near the walls the motion is lost little by little, so that waves leave the block instead of coming back.
-- A step of the run holds several of the equation, so that waves cross the block in about two seconds.
sim:add_stencil("travel", {inputs = {"u"}, outputs = {"u_new"}, iterations = steps, code = [[
    vec2 here = ReadField("u", idx);
    float around = ReadField("u", coord + ivec3(1, 0, 0)).x + ReadField("u", coord - ivec3(1, 0, 0)).x
                 + ReadField("u", coord + ivec3(0, 1, 0)).x + ReadField("u", coord - ivec3(0, 1, 0)).x
                 + ReadField("u", coord + ivec3(0, 0, 1)).x + ReadField("u", coord - ivec3(0, 0, 1)).x;
    vec3 to_wall = 0.5 - abs((vec3(coord) + 0.5) / vec3(domain_size) - 0.5);
    float loss = 0.3 * pow(smoothstep(0.1, 0.0, min(to_wall.x, min(to_wall.y, to_wall.z))), 2.0);
    float next = here.x + (1.0 - loss) * (here.x - here.y) + params.speed * params.speed * (around - 6.0 * here.x);
    WriteField("u_new", idx, vec2(next, here.x));
]]})

-- Two sources in the middle plane swing, one after the other.
sim:add_stencil("swing", {inputs = {"u"}, outputs = {"u"}, code = [[
    vec3 p = (vec3(coord) + 0.5) / vec3(domain_size) - 0.5;
    vec2 here = ReadField("u", idx);
    float beat = 6.2831853 * params.speed * ]] .. steps .. [[.0 * float(frame) / (params.wavelength * float(domain_size.x));
    float first = exp(-dot(p - vec3(-0.16, 0.0, -0.1), p - vec3(-0.16, 0.0, -0.1)) / 0.0012);
    float second = exp(-dot(p - vec3(0.16, 0.0, 0.12), p - vec3(0.16, 0.0, 0.12)) / 0.0012);
    WriteField("u", idx, mix(here, vec2(sin(beat)), min(first + second, 1.0)));
]]})

-- Crests are amber, troughs blue. A ball is shown, its front cut away, so that the shells show their inside. A wave
-- grows weaker as its shell grows: seen by what it carries over the whole shell, it stays as strong.
sim:add_stencil("show", {inputs = {"u"}, outputs = {"density", "color"}, code = [[
    vec3 p = (vec3(coord) + 0.5) / vec3(domain_size) - 0.5;
    float r = min(length(p - vec3(-0.16, 0.0, -0.1)), length(p - vec3(0.16, 0.0, 0.12)));
    float u = ReadField("u", idx).x * (0.03 + r) * 60.0;
    float thick = length(p) < 0.44 && p.y > params.cut - 0.5 ? smoothstep(0.25, 0.75, abs(u)) : 0.0;
    WriteField("density", idx, thick);
    WriteField("color", idx, thick <= 0.0 ? vec3(0.0) : u > 0.0 ? vec3(1.0, 0.5, 0.1) : vec3(0.06, 0.3, 0.9));
]]})

sim:run{frames = frames, fps = 24, export = "wave_####.vdb", fields = {"density", "color"}, half = true}
