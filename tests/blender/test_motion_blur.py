# SPDX-License-Identifier: GPL-3.0-or-later
"""One switch blurs a moving volume in Cycles, and says why where it cannot."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fluid_addon.volumes.openvdb_files import VdbGrid
from tests.blender.conftest import lattice, smoke

SIDE = 32  # pixels


@pytest.fixture
def simulation(bpy, extension):
    return extension("blender.simulation").new_simulation(bpy.context.scene, None, "Smoke")


@pytest.fixture
def show(extension, simulation, new_bake):
    """Lets the simulation show a bake of these files and grids."""

    def show_bake(*names, grids):
        extension("blender.volume_object").show_bake(simulation, new_bake(*names, grids=lambda _: grids).folder)

    return show_bake


def slab(speed: float) -> list[VdbGrid]:
    """A slab of smoke in the middle of 2 by 2 by 2 units, that moves along x with everything around it."""
    density = np.zeros((20, 20, 20), np.float32)
    density[7:13] = 1.0
    velocity = np.zeros((20, 20, 20, 3), np.float32)
    velocity[..., 0] = speed
    placed = lattice(0.1, (-1.0, -1.0, -1.0))
    return [smoke(density, placed), VdbGrid("velocity", velocity, transform=placed, background=(0.0, 0.0, 0.0))]


def row_of_pixels(bpy, path: Path) -> np.ndarray:
    """How much of the world behind is covered, along the middle of a picture of 4 units seen from above."""
    scene = bpy.context.scene
    if scene.camera is None:
        camera = bpy.data.cameras.new("Camera")
        camera.type, camera.ortho_scale = "ORTHO", 4.0
        scene.camera = bpy.data.objects.new("Camera", camera)
        scene.camera.location.z = 10.0
        scene.collection.objects.link(scene.camera)
        scene.world = bpy.data.worlds.new("World")  # without one, Cycles of 5.2 leaves the smoke out
    render, cycles = scene.render, scene.cycles
    render.engine, render.film_transparent, render.fps = "CYCLES", True, 24
    render.resolution_x = render.resolution_y = SIDE
    render.image_settings.file_format, render.filepath = "PNG", str(path)
    render.image_settings.color_mode = "RGBA"
    cycles.device, cycles.samples, cycles.use_denoising, cycles.use_adaptive_sampling = "CPU", 16, False, False
    if hasattr(cycles, "volume_biased"):  # from Blender 5.0: without it a sample takes far longer
        cycles.volume_biased = True
    bpy.ops.render.render(write_still=True)
    image = bpy.data.images.load(str(path))
    pixels = np.array(image.pixels[:]).reshape(SIDE, SIDE, 4)
    bpy.data.images.remove(image)
    return pixels[SIDE // 2 - 3 : SIDE // 2 + 3, :, 3].mean(axis=0)


def test_a_moving_slab_is_smeared_along_its_way_and_only_with_the_switch(bpy, simulation, show, tmp_path) -> None:
    import addon_utils

    addon_utils.enable("cycles")
    show("a_1.vdb", grids=slab(speed=48.0))
    bpy.context.scene.frame_set(1)
    settings = simulation.fluid_addon
    still = row_of_pixels(bpy, tmp_path / "still.png")
    assert not settings.motion_blur
    settings.motion_blur = True
    assert settings.motion_blur
    moving = row_of_pixels(bpy, tmp_path / "moving.png")
    settings.motion_blur = False
    again = row_of_pixels(bpy, tmp_path / "again.png")
    # The slab covers 0.6 units, pixels 13.6 to 18.4. With half a frame's shutter it comes by 4 pixels to either side.
    beside, inside = [11, 20], slice(15, 17)
    assert still[inside].min() > 0.5
    assert still[beside].max() < 0.05
    assert moving[beside].min() > 0.1
    assert np.array_equal(still, again)


def test_the_switch_reaches_the_parts_and_each_scene(bpy, extension, simulation, show) -> None:
    show("a_1.vdb", "b_1.vdb", grids=slab(1.0))
    (part,) = extension("blender.parts").parts_of(simulation)
    other = bpy.data.scenes.new("Other")
    other.collection.objects.link(simulation)
    part.data.velocity_scale, part.data.velocity_unit = 0.0, "FRAME"
    simulation.data.velocity_scale = 0.25
    simulation.fluid_addon.motion_blur = True
    assert bpy.context.scene.render.use_motion_blur
    assert other.render.use_motion_blur
    assert (simulation.data.velocity_scale, part.data.velocity_scale, part.data.velocity_unit) == (0.25, 1.0, "SECOND")
    other.render.use_motion_blur = False
    assert not simulation.fluid_addon.motion_blur


def test_motion_blur_of_the_scene_ends_with_the_last_simulation_that_began_it(bpy, extension, simulation) -> None:
    import addon_utils

    addon_utils.enable("cycles")
    scene = bpy.context.scene
    second = extension("blender.simulation").new_simulation(scene, None, "Fire")
    simulation.fluid_addon.motion_blur = True
    assert second.fluid_addon.motion_blur
    simulation.fluid_addon.motion_blur = False
    assert scene.render.use_motion_blur
    assert (simulation.fluid_addon.motion_blur, second.fluid_addon.motion_blur) == (False, True)
    second.fluid_addon.motion_blur = False
    assert not scene.render.use_motion_blur
    scene.render.use_motion_blur = True  # by the artist, for other objects
    simulation.fluid_addon.motion_blur = True
    simulation.fluid_addon.motion_blur = False
    assert scene.render.use_motion_blur


def test_the_panel_learns_why_nothing_can_be_blurred(bpy, extension, simulation, show) -> None:
    import addon_utils

    addon_utils.enable("cycles")
    why_not = extension("blender.motion_blur").why_not
    bpy.context.scene.render.engine = "CYCLES"
    simulation.fluid_addon.motion_blur = True
    assert why_not(simulation) is None  # nothing is shown yet
    show("a_1.vdb", grids=slab(1.0)[:1])
    assert why_not(simulation) == 'No grid "velocity" is exported'
    simulation.fluid_addon.motion_blur = False
    assert why_not(simulation) is None  # nobody asked for it
    simulation.fluid_addon.motion_blur = True
    show("a_1.vdb", grids=[smoke(np.ones((8, 8, 8), np.float32), lattice(0.1), "velocity")])
    assert why_not(simulation) == 'The grid "velocity" is no vector'
    show("a_1.vdb", grids=slab(1.0))
    assert why_not(simulation) is None
    bpy.context.scene.render.engine = next(
        item.identifier for item in bpy.types.RenderSettings.bl_rna.properties["engine"].enum_items
    )
    assert why_not(simulation) == "Only Cycles blurs volumes"
    simulation.data["fluid_grids"] = "[broken"  # an artist may edit custom properties
    assert why_not(simulation) is None
