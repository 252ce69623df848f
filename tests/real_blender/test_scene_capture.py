# SPDX-License-Identifier: GPL-3.0-or-later
"""Meshes are captured from Blender's timer: it stays usable meanwhile, and whatever happens to it ends the capture."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.real_blender.simulations import add, run
from tests.real_blender.window import Blender

FRAMES = 5000
SCRIPT = f"""
sim = FluidEngine.new{{domain_size = {{24, 24, 24}}, voxel_size = 0.25, origin = {{-3, -3, -3}}}}
sim:add_object("body", scene.object("Body"))
sim:run{{frames = {FRAMES}, export = "body_####.vdb"}}
"""
BODY = """
with inside('VIEW_3D'):
    bpy.ops.mesh.primitive_monkey_add()
    body = bpy.context.object
body.name = 'Body'
body.modifiers.new('Fine', 'SUBSURF').levels = 2
for frame, x in ((1, -1.0), (5000, 1.0)):
    body.location.x = x
    body.keyframe_insert('location', frame=frame)
body = None
"""


@pytest.fixture
def capturing(blender: Blender) -> Blender:
    """Blender while it captures a monkey for long, its timeline at frame 5."""
    blender.tell(BODY.strip())
    add(blender, SCRIPT)
    blender.tell("window().scene.frame_set(5)")
    run(blender)
    blender.wait_for("state(bpy.data.objects['Smoke']).frame >= 2", 120.0)
    assert blender.tell("state(bpy.data.objects['Smoke']).headline").startswith('Capturing "Body" ')
    return blender


def nothing_is_left(blender: Blender) -> None:
    blender.wait_for("not part('blender.live').RUNS.is_busy")
    assert not blender.tell("part('blender.scene_capture')._captures")
    assert not blender.workers


def test_the_timeline_stays_and_stop_ends_it(capturing: Blender) -> None:
    assert capturing.tell("window().scene.frame_current") == 5
    capturing.tell("window().scene.frame_set(9)")
    before = capturing.tell("state(bpy.data.objects['Smoke']).frame")
    capturing.wait_for(f"state(bpy.data.objects['Smoke']).frame > {before}")
    assert capturing.tell("window().scene.frame_current") == 9
    capturing.tell("with inside('VIEW_3D'): bpy.ops.fluid_addon.stop_simulation(name='Smoke')")
    assert capturing.tell("state(bpy.data.objects['Smoke']).stage.name") == "STOPPED"
    nothing_is_left(capturing)


def test_undo_deleting_and_another_file(capturing: Blender, tmp_path: Path) -> None:
    capturing.tell("with inside('VIEW_3D'): bpy.ops.ed.undo_push(message='before')")
    capturing.tell("bpy.data.objects['Body'].hide_render = True")
    capturing.tell("with inside('VIEW_3D'): bpy.ops.ed.undo_push(message='after')")
    capturing.tell("with inside('VIEW_3D'): bpy.ops.ed.undo()")
    before = capturing.tell("state(bpy.data.objects['Smoke']).frame")
    capturing.wait_for(f"state(bpy.data.objects['Smoke']).frame > {before}")
    other = tmp_path / "other.blend"
    capturing.tell(f"bpy.ops.wm.save_as_mainfile(filepath={str(other)!r}, copy=True)")
    capturing.order(f"bpy.ops.wm.open_mainfile(filepath={str(other)!r})")
    capturing.wait_for(f"bpy.data.filepath == {str(other)!r}")
    nothing_is_left(capturing)
    assert capturing.tell("window().scene.frame_current") == 5
    run(capturing)
    capturing.wait_for("state(bpy.data.objects['Smoke']).frame >= 2", 120.0)
    capturing.tell("bpy.data.objects.remove(bpy.data.objects['Body'])")
    capturing.wait_for("state(bpy.data.objects['Smoke']).stage.name == 'FAILED'")
    (said,) = capturing.tell("[each['message'] for each in state(bpy.data.objects['Smoke']).errors]")
    assert said == 'The object "Body" was deleted or renamed before it could be captured.'
    nothing_is_left(capturing)


def test_quitting_blender(capturing: Blender) -> None:
    capturing.order("bpy.ops.wm.quit_blender()")
    assert capturing.wait_for_end() == 0
