# SPDX-License-Identifier: GPL-3.0-or-later
"""Mantaflow's plume, run inside a real Blender: `blender -b --python benchmarks/mantaflow_plume.py -- 128 dense 10`.

A cube of 2 units, a sphere source of density and heat, Mantaflow's defaults, one step a frame, nothing but the bake of
the data timed. Prints one line of JSON. The `bpy` wheel cannot bake fluids.
"""

import json
import sys
import tempfile
import time

import bpy

resolution, kind, frames = sys.argv[sys.argv.index("--") + 1 :][:3]
bpy.ops.wm.read_factory_settings(use_empty=True)
bpy.ops.mesh.primitive_uv_sphere_add(radius=0.3, location=(0, 0, -0.6))
flow = bpy.context.object.modifiers.new("Fluid", "FLUID")
flow.fluid_type = "FLOW"
flow.flow_settings.flow_type = "SMOKE"
flow.flow_settings.flow_behavior = "INFLOW"
bpy.ops.mesh.primitive_cube_add(size=2)
domain_object = bpy.context.object
modifier = domain_object.modifiers.new("Fluid", "FLUID")
modifier.fluid_type = "DOMAIN"
domain = modifier.domain_settings
domain.domain_type = "GAS"
domain.resolution_max = int(resolution)
domain.use_adaptive_domain = kind == "adaptive"
domain.use_adaptive_timesteps = False
domain.timesteps_max = domain.timesteps_min = 1
domain.cache_type = "MODULAR"
domain.cache_data_format = "OPENVDB"
domain.cache_frame_start, domain.cache_frame_end = 1, int(frames)
domain.cache_directory = tempfile.mkdtemp()
bpy.context.scene.frame_end = int(frames)
begin = time.perf_counter()
bpy.ops.fluid.bake_data()
seconds = time.perf_counter() - begin
print(json.dumps({"resolution": int(resolution), "kind": kind, "ms_per_frame": 1000 * seconds / int(frames)}))
