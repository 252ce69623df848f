# SPDX-License-Identifier: GPL-3.0-or-later
"""Resume with the mouse, after the worker or Blender itself was killed; and the dialog where something was changed."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from tests.real_blender.conftest import PICTURES, Start, arrange_for_a_picture
from tests.real_blender.simulations import ENDLESS, add, run, smoke, wait_for_frames
from tests.real_blender.window import Blender, wait_for

RESUME = r"fluid_addon\.resume_simulation\("
SMOKE = "bpy.data.objects['Smoke']"
LEFT = f"part('blender.bakes').unfinished({SMOKE}).frame"


def begin(blender: Blender) -> None:
    """A run that has a checkpoint, and some frames behind it."""
    blender.tell("bpy.context.preferences.addons[EXTENSION].preferences.checkpoint_seconds = 0.3")
    run(blender)
    blender.wait_for(f"(state({SMOKE}).checkpoint or 0) >= 2", 120.0)
    wait_for_frames(blender, blender.tell(f"state({SMOKE}).checkpoint") + 1)


def resume_with_the_mouse(blender: Blender) -> int:
    """Press Resume, see the run go on, and stop it. Returns the frame that it went on from."""
    frame, files = blender.tell(f"[{LEFT}, newest({SMOKE})]")
    blender.press("VIEW_3D", "UI", RESUME)
    blender.wait_for(f"state({SMOKE}).stage.name == 'RUNNING'", 120.0)
    wait_for_frames(blender, files + 2)
    assert blender.tell(f"state({SMOKE}).resumes_from") == frame
    blender.tell("with inside('VIEW_3D'): bpy.ops.fluid_addon.stop_simulation(name='Smoke')")
    blender.wait_for(f"state({SMOKE}).stage.name == 'STOPPED'")
    return int(frame)


def test_resume_after_the_worker_was_killed(blender: Blender) -> None:
    blender.tell("bpy.data.objects.remove(bpy.data.objects['Cube'])")
    arrange_for_a_picture(blender)
    add(blender, smoke(frames=ENDLESS))
    blender.show("VIEW_3D")
    begin(blender)
    (worker,) = blender.workers
    os.kill(worker, signal.SIGKILL)
    blender.wait_for(f"state({SMOKE}).stage.name == 'FAILED'")
    blender.redraw()
    blender.screen.picture(PICTURES / "blender_resume.png", blender.box("VIEW_3D", "UI"))
    bake = blender.tell(f"state({SMOKE}).bake")
    first = resume_with_the_mouse(blender)
    assert blender.tell(f"state({SMOKE}).bake") == bake
    assert blender.tell(LEFT) >= first


def test_a_slider_was_moved_and_the_artist_is_asked(blender: Blender, tmp_path: Path) -> None:
    add(blender, smoke(frames=ENDLESS))
    blender.show("VIEW_3D")
    begin(blender)
    bake = blender.tell(f"state({SMOKE}).bake")
    blender.tell("with inside('VIEW_3D'): bpy.ops.fluid_addon.stop_simulation(name='Smoke')")
    blender.wait_for(f"state({SMOKE}).stage.name == 'STOPPED'")
    blender.tell(f"{SMOKE}['buoyancy'] = {SMOKE}['buoyancy'] + 1.0")
    blender.tell("with inside('VIEW_3D'): bpy.ops.fluid_addon.resume_simulation(name='Smoke')")
    blender.wait_for(f"[each['code'] for each in state({SMOKE}).errors] == ['checkpoint-mismatch']")
    blender.redraw()
    blender.screen.picture(tmp_path / "dialog.png")  # over the 3D View; there is no other way to see it
    blender.screen.key("Escape")
    blender.redraw()
    assert blender.tell(f"state({SMOKE}).is_over")
    blender.tell(
        "with inside('VIEW_3D'): bpy.ops.fluid_addon.resume_changed('EXEC_DEFAULT', name='Smoke', choice='GO_ON')"
    )
    blender.wait_for(f"state({SMOKE}).stage.name == 'RUNNING'", 120.0)
    assert blender.tell(f"state({SMOKE}).bake") != bake
    blender.tell("with inside('VIEW_3D'): bpy.ops.fluid_addon.stop_simulation(name='Smoke')")
    wait_for("the end of the worker", lambda: not blender.workers, 10.0)


def test_resume_after_blender_was_killed(start: Start, tmp_path: Path) -> None:
    """The file was saved before the run."""
    blender, scene = start(), tmp_path / "scene.blend"
    add(blender, smoke(frames=ENDLESS))
    blender.tell(f"bpy.ops.wm.save_as_mainfile(filepath={str(scene)!r})")
    begin(blender)
    os.kill(blender.process.pid, signal.SIGKILL)
    blender.wait_for_end()

    again = start()
    again.order(f"bpy.ops.wm.open_mainfile(filepath={str(scene)!r})")
    again.wait_for(f"bpy.data.filepath == {str(scene)!r}")
    assert again.tell(f"newest({SMOKE})") == 0
    again.tell(f"window().view_layer.objects.active = {SMOKE}")
    again.show("VIEW_3D")
    assert resume_with_the_mouse(again) >= 2
    assert again.tell(f"newest({SMOKE})") > 2
