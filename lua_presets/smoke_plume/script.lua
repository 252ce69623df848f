-- SPDX-License-Identifier: GPL-3.0-or-later
-- A plume of warm smoke. Everything that makes it move stands in this file: change it and run again.
local n = param("resolution", {default = 80, min = 16, max = 512, help = "Voxels along the short sides"})
local frames = param("frames", {default = 60, min = 1, max = 1000, help = "Frames to compute"})
param("buoyancy", {default = 8.0, min = 0, max = 30, help = "How strongly warm smoke rises"})
param("curl", {default = 0.7, min = 0, max = 2, help = "Strength of small vortices"})
param("turbulence", {default = 5.0, min = 0, max = 20, help = "Random stirring of the smoke"})
param("cooling", {default = 0.6, min = 0, max = 5, help = "How fast the smoke cools, per second"})

sim = FluidEngine.new{domain_size = {n, n, n * 3 // 2}, voxel_size = 2 / n, origin = {-1, -1, 0}}
sim:add_field("density", Format.R32F, 0)
sim:add_field("temperature", Format.R32F, 0)          -- above the air around, 0 to 1
sim:add_field("velocity", Format.R32G32B32F, {0, 0, 0}) -- scene units per second
sim:add_field("carried", Format.R32G32F, {0, 0})      -- density and temperature half-way through advection
sim:add_field("vorticity", Format.R32G32B32F, {0, 0, 0})
sim:add_field("divergence", Format.R32F, 0)
sim:add_field("pressure", Format.R32F, 0)

-- Smoke and heat enter through a disc whose edge flickers.
sim:add_stencil("source", {inputs = {"density", "temperature"}, outputs = {"density", "temperature"}, code = [[
    vec3 p = (vec3(coord) + 0.5) * voxel_size - vec3(1.0, 1.0, 0.18);
    float flicker = 0.25 * Noise(vec3(p.xy * 7.0, time * 2.5));
    float inside = smoothstep(1.0, 0.6, length(p.xy) / (0.24 + 0.2 * flicker)) * smoothstep(0.12, 0.06, abs(p.z));
    WriteField("density", idx, max(ReadField("density", idx), inside * (0.75 + flicker)));
    WriteField("temperature", idx, max(ReadField("temperature", idx), inside));
]]})
-- Velocity carries itself: look up where it came from (semi-Lagrangian, traced to second order).
sim:add_stencil("advect_velocity", {inputs = {"velocity"}, outputs = {"velocity_new"}, code = [[
    float s = dt / voxel_size;
    vec3 middle = SampleField("velocity", vec3(coord) - 0.5 * s * ReadField("velocity", idx));
    WriteField("velocity_new", idx, SampleField("velocity", vec3(coord) - s * middle));
]]})
sim:add_stencil("curl", {inputs = {"velocity"}, outputs = {"vorticity"}, code = [[
    vec3 dx = ReadField("velocity", coord + ivec3(1, 0, 0)) - ReadField("velocity", coord - ivec3(1, 0, 0));
    vec3 dy = ReadField("velocity", coord + ivec3(0, 1, 0)) - ReadField("velocity", coord - ivec3(0, 1, 0));
    vec3 dz = ReadField("velocity", coord + ivec3(0, 0, 1)) - ReadField("velocity", coord - ivec3(0, 0, 1));
    WriteField("vorticity", idx, vec3(dy.z - dz.y, dz.x - dx.z, dx.y - dy.x) / (2.0 * voxel_size));
]]})
-- Heat lifts, noise stirs, and vorticity confinement gives small vortices their strength back (Fedkiw 2001).
sim:add_stencil("forces", {inputs = {"velocity", "vorticity", "density", "temperature"}, outputs = {"velocity"}, code = [[
    vec3 w = ReadField("vorticity", idx);
    vec3 slope = vec3(
        length(ReadField("vorticity", coord + ivec3(1, 0, 0))) - length(ReadField("vorticity", coord - ivec3(1, 0, 0))),
        length(ReadField("vorticity", coord + ivec3(0, 1, 0))) - length(ReadField("vorticity", coord - ivec3(0, 1, 0))),
        length(ReadField("vorticity", coord + ivec3(0, 0, 1))) - length(ReadField("vorticity", coord - ivec3(0, 0, 1))));
    vec3 force = params.curl * voxel_size * 8.0 * cross(slope / (length(slope) + 1e-4), w);
    float smoke = ReadField("density", idx);
    force.z += params.buoyancy * ReadField("temperature", idx) - 0.15 * smoke;
    force += params.turbulence * min(smoke, 1.0) * CurlNoise(vec3(coord) * voxel_size * 3.0 - vec3(0, 0, time));
    WriteField("velocity", idx, ReadField("velocity", idx) + dt * force);
]]})
sim:add_stencil("divergence", {inputs = {"velocity"}, outputs = {"divergence"}, code = [[
    float d = ReadField("velocity", coord + ivec3(1, 0, 0)).x - ReadField("velocity", coord - ivec3(1, 0, 0)).x
            + ReadField("velocity", coord + ivec3(0, 1, 0)).y - ReadField("velocity", coord - ivec3(0, 1, 0)).y
            + ReadField("velocity", coord + ivec3(0, 0, 1)).z - ReadField("velocity", coord - ivec3(0, 0, 1)).z;
    WriteField("divergence", idx, 0.5 * d);
]]})
-- Pressure pushes back wherever more flows in than out: Jacobi sweeps, starting from the last step's pressure.
sim:add_stencil("pressure", {inputs = {"pressure", "divergence"}, outputs = {"pressure_new"}, iterations = 24, code = [[
    float around = ReadField("pressure", coord + ivec3(1, 0, 0)) + ReadField("pressure", coord - ivec3(1, 0, 0))
                 + ReadField("pressure", coord + ivec3(0, 1, 0)) + ReadField("pressure", coord - ivec3(0, 1, 0))
                 + ReadField("pressure", coord + ivec3(0, 0, 1)) + ReadField("pressure", coord - ivec3(0, 0, 1));
    WriteField("pressure_new", idx, (around - ReadField("divergence", idx)) / 6.0);
]]})
sim:add_stencil("project", {inputs = {"velocity", "pressure"}, outputs = {"velocity"}, code = [[
    vec3 slope = vec3(
        ReadField("pressure", coord + ivec3(1, 0, 0)) - ReadField("pressure", coord - ivec3(1, 0, 0)),
        ReadField("pressure", coord + ivec3(0, 1, 0)) - ReadField("pressure", coord - ivec3(0, 1, 0)),
        ReadField("pressure", coord + ivec3(0, 0, 1)) - ReadField("pressure", coord - ivec3(0, 0, 1)));
    WriteField("velocity", idx, ReadField("velocity", idx) - 0.5 * slope);
]]})
-- Smoke and heat travel with the flow; going back and forth once shows the error and takes it out (MacCormack).
sim:add_stencil("carry", {inputs = {"velocity", "density", "temperature"}, outputs = {"carried"}, code = [[
    vec3 from = vec3(coord) - ReadField("velocity", idx) * dt / voxel_size;
    WriteField("carried", idx, vec2(SampleField("density", from), SampleField("temperature", from)));
]]})
sim:add_stencil("sharpen", {inputs = {"velocity", "carried", "density", "temperature"},
                            outputs = {"density_new", "temperature_new"}, code = [[
    vec3 travel = ReadField("velocity", idx) * dt / voxel_size;
    vec2 here = ReadField("carried", idx);
    vec2 now = vec2(ReadField("density", idx), ReadField("temperature", idx));
    vec2 better = here + 0.5 * (now - SampleField("carried", vec3(coord) + travel));
    ivec3 low = ivec3(floor(vec3(coord) - travel));
    vec2 least = vec2(1e9), most = vec2(-1e9);
    for (int corner = 0; corner < 8; corner++) {
        ivec3 c = low + ivec3(corner & 1, (corner >> 1) & 1, corner >> 2);
        vec2 v = vec2(ReadField("density", c), ReadField("temperature", c));
        least = min(least, v);
        most = max(most, v);
    }
    vec2 kept = clamp(better, least, most) * exp(-dt * vec2(0.12, params.cooling));
    WriteField("density_new", idx, kept.x);
    WriteField("temperature_new", idx, kept.y);
]]})

sim:run{frames = frames, fps = 24, export = "smoke_####.vdb", fields = {"density", "temperature", "velocity"}, half = true}
