# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of the blender room share: an empty Blender, the add-on in it, and bakes as a run writes them."""

from __future__ import annotations

import atexit
import importlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from fluid_addon.volumes.bake import Bake
from fluid_addon.volumes.export_path import timeline_frame
from fluid_addon.volumes.openvdb_files import VdbFrame, VdbGrid, write_vdb
from tests.blender.studio import Studio
from tests.processes import children

ROOT = Path(__file__).parents[2]
EXTENSION = "bl_ext.user_default.fluid_addon"

# Before Blender starts: it must neither find nor change what is installed for whoever runs the tests.
RESOURCES = Path(tempfile.mkdtemp(prefix="fluid-script-blender-"))
os.environ["BLENDER_USER_RESOURCES"] = str(RESOURCES)
atexit.register(shutil.rmtree, RESOURCES, ignore_errors=True)

IN_CI = os.environ.get("CI", "").lower() in ("true", "1")

#: Makes the grids of a file, given its place among the files that are written.
MakeGrids = Callable[[int], Sequence[VdbGrid]]


def left_over(before: set[int]) -> set[int]:
    """The processes that this one has started since, and that do not end within seconds."""
    end = time.monotonic() + 20.0
    while (found := children() - before) and time.monotonic() < end:
        time.sleep(0.01)
    return found


@pytest.fixture
def bpy() -> Iterator[Any]:
    """Blender with nothing in it."""
    if IN_CI:
        import bpy
    else:
        bpy = pytest.importorskip("bpy", reason='Blender is not installed as a module: pip install "bpy"')
    with np.errstate(all="warn"):
        bpy.ops.wm.read_factory_settings(use_empty=True)
        yield bpy


@pytest.fixture
def extension(bpy: Any, tmp_path: Path) -> Iterator[Callable[[str], ModuleType]]:
    """The add-on, enabled as Blender does it with an installed extension; bakes go to a folder of the test.

    It is called with the name of a module, such as "blender.live", and gives that of the enabled add-on.
    """
    installed = RESOURCES / "extensions/user_default/fluid_addon"
    installed.parent.mkdir(parents=True, exist_ok=True)
    if not installed.is_symlink():
        installed.symlink_to(ROOT, target_is_directory=True)
    shutil.rmtree(RESOURCES / "extensions/.user", ignore_errors=True)
    assert bpy.ops.preferences.addon_enable(module=EXTENSION) == {"FINISHED"}
    assert EXTENSION in bpy.context.preferences.addons, "the add-on could not be enabled"
    bpy.context.preferences.addons[EXTENSION].preferences.cache_folder = str(tmp_path / "cache")
    try:
        yield lambda name: importlib.import_module(f"{EXTENSION}.fluid_addon.{name}")
    finally:
        bpy.ops.wm.read_factory_settings(use_empty=True)  # disables it
        assert EXTENSION not in bpy.context.preferences.addons


@pytest.fixture
def studio(bpy: Any, extension: Callable[[str], ModuleType]) -> Studio:
    return Studio(bpy, extension)


def lattice(voxel: float, low: Sequence[float] = (0.0, 0.0, 0.0)) -> np.ndarray:
    """The transform of cubic voxels whose first has its low corner at `low`."""
    transform = np.diag([voxel, voxel, voxel, 1.0])
    transform[:3, 3] = np.asarray(low) + voxel / 2.0
    return transform


def smoke(values: np.ndarray, transform: np.ndarray, name: str = "density", **options: Any) -> VdbGrid:
    return VdbGrid(name, values, transform=transform, grid_class="fog volume", **options)


@pytest.fixture
def add_frames() -> Callable[..., None]:
    """Writes files into a bake; by default each holds a bar of smoke of 8 voxels for every frame of its number."""

    def add(bake: Bake, *names: str, grids: MakeGrids | None = None) -> None:
        for place, name in enumerate(names):
            frame = timeline_frame(name) or 1
            made = grids(place) if grids else [smoke(np.ones((8 * frame, 1, 1), np.float32), lattice(0.1))]
            kinds = write_vdb(bake.frame_path(name), VdbFrame(made, frame))
            bake.add_frame(name, time=frame / 24.0, grids=kinds)
        bake.release()  # as at the end of a run

    return add


@pytest.fixture
def new_bake(tmp_path: Path, add_frames: Callable[..., None]) -> Callable[..., Bake]:
    """Makes a bake with files of these names, as `add_frames` does."""

    def make(*names: str, grids: MakeGrids | None = None, title: str = "smoke") -> Bake:
        bake = Bake.create(tmp_path / "cache", title, script_hash="abc", device="none")
        add_frames(bake, *names, grids=grids)
        return bake

    return make


def plume(height: float) -> list[VdbGrid]:
    """A column of smoke over 2 by 2 by 3 units, up to `height`, that burns at its foot."""
    shape, voxel = (32, 32, 48), 1.0 / 16.0
    x, y, z = (axis * voxel for axis in np.meshgrid(*(np.arange(n) + 0.5 for n in shape), indexing="ij"))
    inside = np.clip((0.45 + 0.1 * z - np.hypot(x - 1.0, y - 1.0)) / 0.2, 0.0, 1.0) * np.clip((height - z) / 0.2, 0, 1)
    kelvin = 300.0 + 1300.0 * np.clip(2.0 * inside - 1.0, 0.0, 1.0) * np.clip(1.0 - z / 0.8, 0.0, 1.0)
    up = np.zeros((*shape, 3), np.float32)
    up[..., 2] = inside
    placed = lattice(voxel, (-1.0, -1.0, 0.0))
    return [
        smoke(inside.astype(np.float32), placed, half=True),
        smoke(kelvin.astype(np.float32), placed, "temperature", background=300.0, half=True),
        VdbGrid("velocity", up, transform=placed, background=(0.0, 0.0, 0.0), half=True),
    ]


@pytest.fixture
def plume_bake(new_bake: Callable[..., Bake]) -> Bake:
    """Frames 10, 20 and 30 of a growing plume."""
    return new_bake(
        "plume_0010.vdb", "plume_0020.vdb", "plume_0030.vdb", grids=lambda place: plume(1.0 + place), title="plume"
    )
