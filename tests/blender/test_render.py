# SPDX-License-Identifier: GPL-3.0-or-later
"""A bake becomes a picture: the smoke of the frame that was asked for is in it, and nothing else is touched."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fluid_addon.diagnostics import FluidError

pytestmark = pytest.mark.usefixtures("bpy")

ROOT = Path(__file__).parents[2]
SMALL = {"resolution": (48, 48), "samples": 4}


def pixels_of(bpy, path: Path) -> np.ndarray:
    """(height, width, 3) of 0 to 1, the top row first."""
    image = bpy.data.images.load(str(path))
    width, height = image.size
    pixels = np.array(image.pixels[:]).reshape(height, width, -1)[::-1, :, :3]
    bpy.data.images.remove(image)
    return pixels


def picture(bpy, bake, path: Path, **options) -> np.ndarray:
    from fluid_addon.blender.render import render_bake

    render_bake(bake.folder, path, **{**SMALL, **options})
    return pixels_of(bpy, path)


def test_a_picture_shows_the_smoke_of_its_frame(bpy, plume_bake, tmp_path) -> None:
    late = picture(bpy, plume_bake, tmp_path / "sub" / "late.png")
    early = picture(bpy, plume_bake, tmp_path / "early.PNG", frame=19)
    assert late.shape == early.shape == (48, 48, 3)
    # The backdrop is darker than 0.15 everywhere.
    assert max(corner.max() for corner in (late[:6, :6], late[:6, -6:], late[-6:, :6], late[-6:, -6:])) < 0.1
    assert late[20:28, 20:28].mean() > 0.2
    # Both look from the same place: the young plume is missing above, and stands where the old one stands below.
    above, below = np.s_[10:16, 22:26], np.s_[34:40, 22:26]
    assert late[above].mean() > 0.2
    assert early[above].mean() < 0.15
    assert early[below].mean() > 0.2
    # Its foot burns: orange light without blue, as nothing else on the stage.
    redness = late[..., 0] - late[..., 2]
    assert redness[34:44, 18:30].max() > 0.2 > redness[:30].max()


def test_a_picture_leaves_blender_as_it_was(bpy, plume_bake, tmp_path) -> None:
    from fluid_addon.blender.render import render_bake

    scene = bpy.context.scene
    scene.frame_set(77)
    before = sorted(f"{block.id_type} {block.name}" for block in bpy.data.user_map())
    assert render_bake(plume_bake.folder, tmp_path / "a.png", frame=29, resolution=(16, 9), samples=1) == 20
    after = sorted(f"{block.id_type} {block.name}" for block in bpy.data.user_map() if block.id_type != "IMAGE")
    assert after == before
    assert (bpy.context.scene, scene.frame_current) == (scene, 77)
    assert pixels_of(bpy, tmp_path / "a.png").shape == (9, 16, 3)
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["a.png"]


def test_a_frame_far_behind_the_last_shows_the_last(new_bake, tmp_path) -> None:
    from fluid_addon.blender.render import render_bake

    bake = new_bake("a_1.vdb", "a_3.vdb")
    assert render_bake(bake.folder, tmp_path / "a.png", frame=10**12, resolution=(8, 8), samples=1) == 3
    still = new_bake("still.vdb", "a_5.vdb")
    assert render_bake(still.folder, tmp_path / "b.png", frame=-(10**12), resolution=(8, 8), samples=1) is None
    assert (tmp_path / "b.png").is_file()


def test_blender_prints_nothing_into_the_terminal(new_bake, tmp_path) -> None:
    program = (
        "import sys; from fluid_addon.blender.render import render_bake; "
        "print(render_bake(sys.argv[1], sys.argv[2], resolution=(32, 32), samples=1))"
    )
    command = [sys.executable, "-c", program, str(new_bake("a_1.vdb").folder), str(tmp_path / "a.png")]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (told.returncode, told.stdout, told.stderr) == (0, "1\n", "")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("voxel", [0.001, 100.0])
def test_a_volume_of_any_size_fills_the_picture(bpy, new_bake, tmp_path, voxel) -> None:
    from fluid_addon.volumes.openvdb_files import VdbGrid

    transform = np.diag([voxel, voxel, voxel, 1.0])
    transform[:3, 3] = 500.0 * voxel
    ball = np.indices((16, 16, 16)) - 7.5
    values = (np.sqrt((ball**2).sum(axis=0)) < 7.0).astype(np.float32)
    bake = new_bake("a_1.vdb", grids=lambda _: [VdbGrid("density", values, (0, 0, 0), transform, 0.0, "fog volume")])
    seen = picture(bpy, bake, tmp_path / "a.png", resolution=(48, 32)).mean(axis=2)
    assert seen[12:20, 20:28].mean() > 0.2
    assert max(seen[:3].max(), seen[-3:].max(), seen[:, :8].max(), seen[:, -8:].max()) < 0.15


# ===== What is wrong is said before anything is written


def problem(path: Path, output: Path, **options) -> str:
    from fluid_addon.blender.render import render_bake

    with pytest.raises(FluidError) as caught:
        render_bake(path, output, **options)
    (diagnostic,) = caught.value.diagnostics
    assert not output.exists()
    return f"{diagnostic.code}: {diagnostic.message} {diagnostic.hint}"


def test_a_bake_without_anything_to_see_is_refused(new_bake, tmp_path) -> None:
    from fluid_addon.volumes.openvdb_files import VdbGrid

    blank = np.zeros((8, 8, 8), np.float32)
    bake = new_bake("a_1.vdb", grids=lambda _: [VdbGrid("density", blank), VdbGrid("pressure", blank + 1.0)])
    assert problem(bake.folder, tmp_path / "a.png") == (
        'bake-empty: The bake "smoke" has nothing that can be seen in "density", "pressure". '
        'Export a field like "density" or "flame" that is above 0 somewhere.'
    )


def test_a_frame_before_the_first_is_refused(plume_bake, tmp_path) -> None:
    assert problem(plume_bake.folder, tmp_path / "a.png", frame=9) == (
        "usage: The bake shows nothing at frame 9: its first frame is 10. Choose a frame from 10 to 30."
    )


def test_a_broken_bake_is_refused(new_bake, tmp_path) -> None:
    assert problem(tmp_path, tmp_path / "a.png").startswith("bake-missing: ")
    bake = new_bake("a_1.vdb")
    file = bake.folder / "a_1.vdb"
    file.write_bytes(bytes(file.stat().st_size))
    assert problem(bake.folder, tmp_path / "a.png").startswith("grid-file-corrupt: ")
    file.unlink()
    assert problem(bake.folder, tmp_path / "a.png").startswith("bake-corrupt: ")
    assert problem(new_bake(title="empty").folder, tmp_path / "a.png").startswith("bake-empty: ")


def test_a_picture_that_cannot_be_written_is_a_problem_of_the_disk(new_bake, tmp_path) -> None:
    bake = new_bake("a_1.vdb")
    (tmp_path / "file").write_bytes(b"")
    assert problem(bake.folder, tmp_path / "file" / "a.png").startswith("disk-error: ")


def test_wrong_wishes_are_named(new_bake, tmp_path) -> None:
    bake = new_bake("a_1.vdb")
    assert problem(bake.folder, tmp_path / "a.jpg").startswith(f'usage: The picture "{tmp_path / "a.jpg"}" is no PNG')
    assert problem(bake.folder, tmp_path / "a.png", resolution=(0, 9)).startswith("usage: A picture of 0×9 pixels")
    assert problem(bake.folder, tmp_path / "a.png", samples=0).startswith("usage: ")


def test_without_blender_the_way_to_get_it_is_told(new_bake, tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "bpy", None)  # what Python itself does for a module that must not be found
    assert problem(new_bake("a_1.vdb").folder, tmp_path / "a.png") == (
        'package-missing: A picture is made by Blender, and its module "bpy" is not installed. '
        'Install it into a Python 3.11 or 3.13: pip install "bpy", or import the bake in Blender itself.'
    )
