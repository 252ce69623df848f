# SPDX-License-Identifier: GPL-3.0-or-later
"""A new user's way, with the mouse: install, add a preset, run it, watch it grow, move a slider, run again.

What is seen on the way are the pictures of docs/quickstart.md.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.real_blender.conftest import PICTURES, arrange_for_a_picture
from tests.real_blender.screen import Screen
from tests.real_blender.simulations import wait_for_frames
from tests.real_blender.window import Blender, settings_of_its_own, wait_for

RESOLUTION, FRAMES = 64, 60
SMOKE = "bpy.data.objects['Smoke plume']"
RUN, STOP = r"fluid_addon\.run_simulation\(", r"fluid_addon\.stop_simulation\("


@pytest.fixture
def new_user(program: str, screen: Screen, tmp_path: Path) -> Iterator[Blender]:
    """Blender as it comes, without the extension."""
    with Blender(program, screen, tmp_path / "home") as blender:
        yield blender


def install(blender: Blender, package: Path) -> None:
    """Edit > Preferences > Get Extensions > Install from Disk."""
    blender.tell(
        "bpy.ops.extensions.package_install_files("
        f"filepath={str(package)!r}, repo='user_default', enable_on_install=True) and None",
        patience=120.0,
    )
    blender.wait_for("EXTENSION in bpy.context.preferences.addons")


def add_smoke_plume(blender: Blender) -> None:
    """Search the presets for it, and click on it."""
    blender.press("VIEW_3D", "UI", "fluid_addon_search")
    blender.screen.type("smoke plume")
    blender.screen.key("Return")
    blender.wait_for("bpy.context.window_manager.fluid_addon_search == 'smoke plume'")
    blender.redraw()
    blender.press("VIEW_3D", "UI", r'add_preset\(name="smoke_plume"\)')


def test_B13_installed_run_and_uninstalled_without_a_trace(program: str, package: Path, tmp_path: Path) -> None:
    """The zip in a profile that is clean: what it says on the way, and what is left of it."""
    home, extension = tmp_path / "home", "blender/extensions/user_default/fluid_addon"

    def blender(*words: str) -> subprocess.CompletedProcess[str]:
        environment = settings_of_its_own(home)
        done = subprocess.run(
            [program, *words], env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=200, check=False
        )
        assert "Traceback" not in done.stdout + done.stderr, done.stdout + done.stderr
        return done

    def enabled() -> list[str]:
        asked = "import bpy; print('enabled:', *(name for name in bpy.context.preferences.addons.keys()))"
        (line,) = [line for line in blender("-b", "--python-expr", asked).stdout.splitlines() if "enabled:" in line]
        return line.split()[1:]

    before = enabled()
    done = blender("--command", "extension", "install-file", "-r", "user_default", "--enable", str(package))
    assert (done.returncode, done.stderr) == (0, "")
    assert [name for name in enabled() if name not in before] == ["bl_ext.user_default.fluid_addon"]
    command = ("--command", "fluid_addon")
    assert blender(*command, "presets", "smoke_plume", "smoke.lua").returncode == 0
    done = blender(*command, "run", "smoke.lua", "--frames", "1-2", "--param", "resolution=24")
    assert (done.returncode, "error" in done.stderr) == (0, False), done.stderr
    assert len(list(tmp_path.glob("bakes/*/*.vdb"))) == 2
    done = blender("--command", "extension", "remove", "user_default.fluid_addon")
    assert (done.returncode, done.stderr) == (0, "")
    assert enabled() == before, "the preferences are clean"
    assert not (home / extension).exists()
    assert "fluid" not in " ".join(str(file) for file in (home / "blender").rglob("*") if file.is_file())


def test_a_new_users_trip(new_user: Blender, package: Path) -> None:
    blender, screen = new_user, new_user.screen
    install(blender, package)
    blender.tell("bpy.data.objects.remove(bpy.data.objects['Cube'])")
    arrange_for_a_picture(blender)
    blender.show("VIEW_3D")
    screen.picture(PICTURES / "blender_presets.png", blender.box("VIEW_3D"))

    # One click: a text, an object, its parameters.
    add_smoke_plume(blender)
    blender.wait_for("'Smoke plume' in bpy.data.objects")
    blender.wait_for(f"'buoyancy' in {SMOKE}.keys()")
    assert blender.tell("[text.name for text in bpy.data.texts]") == ["smoke_plume.lua"]
    blender.wait_for(f"not part('blender.live').RUNS.is_busy and state({SMOKE}).stage.name == 'CHECKED'")
    assert blender.tell("window().view_layer.objects.active.name") == "Smoke plume"
    blender.tell(f"{SMOKE}['resolution'], {SMOKE}['frames'] = {RESOLUTION}, {FRAMES}")

    # The button; frames appear while the run goes on, and the timeline follows.
    blender.redraw()
    run = blender.press("VIEW_3D", "UI", RUN)
    blender.wait_for(f"state({SMOKE}) and state({SMOKE}).stage.name == 'RUNNING'")
    seen = set()
    pictured = False
    while not blender.tell(f"state({SMOKE}).is_over"):
        shown, followed = blender.tell(f"[newest({SMOKE}), window().scene.frame_current]")
        if shown > 1:
            seen.add((shown, followed))
        if shown >= FRAMES // 2 and not pictured:
            pictured = True
            screen.picture(PICTURES / "blender_running.png", blender.box("VIEW_3D"))
    assert len({shown for shown, _ in seen}) > 2, "the frames grow while the run goes on"
    assert len({followed for _, followed in seen}) > 2, "the timeline follows"
    assert pictured
    assert blender.tell(f"state({SMOKE}).stage.name") == "DONE"
    wait_for_frames(blender, FRAMES, "Smoke plume")
    assert blender.tell("[window().scene.frame_start, window().scene.frame_end]") == [1, FRAMES]
    first = what_is_shown(blender)

    # A slider, with the mouse; then again.
    before = blender.tell(f"{SMOKE}['buoyancy']")
    x, y = blender.find("VIEW_3D", "UI", r'\["buoyancy"\]', columns=(0.8, 0.6))
    screen.drag((x, y), (x + 8, y))
    after = blender.wait_for(f"{SMOKE}['buoyancy'] != {before} and {SMOKE}['buoyancy']")
    assert after > before
    blender.redraw()
    screen.picture(PICTURES / "blender_parameters.png", blender.box("VIEW_3D"))
    blender.press("VIEW_3D", "UI", RUN, near=run)
    wait_for("a worker", lambda: blender.workers)
    blender.wait_for(f"state({SMOKE}).stage.name == 'DONE'", 120.0)
    second = what_is_shown(blender)
    assert second["folder"] != first["folder"]
    assert second["frames"] == first["frames"] == FRAMES
    assert second["voxels"] != first["voxels"], "the smoke that is shown is that of the second run"
    assert second["voxels"] == second["voxels_on_disk"]


def what_is_shown(blender: Blender) -> dict[str, object]:
    """The last frame, as Blender has it and as it lies on the disk."""
    blender.tell(f"window().scene.frame_set({FRAMES})")
    return blender.tell(
        "import openvdb\n"
        "with inside('VIEW_3D'):\n"
        f"    seen = {SMOKE}.evaluated_get(bpy.context.evaluated_depsgraph_get()).data\n"
        "assert seen.grids.load(), seen.grids.error_message\n"
        "place = Path(seen.grids.frame_filepath)\n"
        f"path = Path(state({SMOKE}).bake)\n"
        f"written = openvdb.read(str(path / 'smoke_{FRAMES:04d}.vdb'), 'density')\n"
        "loaded = openvdb.read(str(place), 'density')\n"
        "{'folder': str(place.parent), 'voxels': loaded.activeVoxelCount(),\n"
        " 'voxels_on_disk': written.activeVoxelCount(),\n"
        f" 'frames': newest({SMOKE})}}"
    )


def test_stop_with_the_mouse(blender: Blender) -> None:
    blender.show("VIEW_3D")
    add_smoke_plume(blender)
    blender.wait_for(f"'Smoke plume' in bpy.data.objects and state({SMOKE}).stage.name == 'CHECKED'")
    blender.tell(f"{SMOKE}['frames'] = 1000")
    run = blender.press("VIEW_3D", "UI", RUN)
    wait_for_frames(blender, 2, "Smoke plume")
    blender.press("VIEW_3D", "UI", STOP, near=run)
    blender.wait_for(f"state({SMOKE}).stage.name == 'STOPPED'")
    wait_for("the end of the worker", lambda: not blender.workers, 10.0)


def test_preferences(blender: Blender) -> None:
    blender.show("PREFERENCES", None)
    blender.tell(
        "bpy.context.preferences.active_section = 'ADDONS'\n"
        "bpy.context.window_manager.addon_search = 'Fluid Script'\n"
        "with inside('PREFERENCES'): bpy.ops.preferences.addon_show(module=EXTENSION)"
    )
    blender.redraw()
    blender.wait_for("not part('blender.machine').KNOWN.asks_for_devices")
    blender.redraw()
    x, y, width, _ = blender.box("PREFERENCES")
    # From below the path of the file, which is one of this test.
    blender.screen.picture(PICTURES / "blender_preferences.png", (x, y + 246, width, 432))
