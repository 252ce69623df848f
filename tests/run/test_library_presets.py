# SPDX-License-Identifier: GPL-3.0-or-later
"""Every preset of the library is short, says what it is, runs at any size, and shows something that moves."""

from __future__ import annotations

import struct
import threading
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fluid_addon.run import RunRequest
from fluid_addon.run.presets import ABOUT, LIBRARY, Preset, list_presets
from fluid_addon.run.session import check_script, run_script
from fluid_addon.volumes.openvdb_files import read_vdb

PRESETS = list_presets()
ROOT = LIBRARY.parent
LONGEST, SIDE, SIZE, FRAMES = 80, 256, 16, 3

each_preset = pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.name)


def test_there_are_enough() -> None:
    assert len(PRESETS) >= 12


@each_preset
def test_it_says_what_it_is(preset: Preset) -> None:
    assert preset.problem is None
    assert preset.tags
    lines = preset.source().splitlines()
    assert len(lines) <= LONGEST
    assert lines[0] == "-- SPDX-License-Identifier: GPL-3.0-or-later"
    assert lines[1].startswith("-- "), "a preset begins by saying what it shows"
    about = tomllib.loads((preset.script.parent / ABOUT).read_text("utf-8"))
    assert about["thumbnail"]["frame"] >= 1
    assert preset.thumbnail is not None, "make thumbnails"
    assert struct.unpack(">II", preset.thumbnail.read_bytes()[16:24]) == (SIDE, SIDE)


@each_preset
def test_the_gallery_shows_it(preset: Preset) -> None:
    picture = f"images/gallery_{preset.name}.png"
    gallery = (ROOT / "docs/gallery.md").read_text("utf-8")
    assert f"]({picture})" in gallery
    assert f"## {preset.title}\n" in gallery
    assert (ROOT / "docs" / picture).stat().st_size < 250_000


def values_of(file: Path) -> dict[str, np.ndarray[Any, Any]]:
    """Every value that the grids of a file hold, in an order that two files of the same run share."""
    return {
        grid.name: np.concatenate([grid.leaf_values[grid.leaf_masks].ravel(), grid.tiles.values.ravel()])
        for grid in read_vdb(file)
    }


@each_preset
def test_it_runs_small(preset: Preset, tmp_path: Path) -> None:
    events: list[dict[str, Any]] = []
    small = RunRequest(str(preset.script), str(tmp_path), parameters={"resolution": SIZE, "frames": FRAMES})
    status = run_script(small, events.append, threading.Event())
    assert status == 0, [event for event in events if event["event"] == "error"]
    assert [event for event in events if event["event"] == "note"] == []
    declared = [item for event in events if event["event"] == "parameters" for item in event["parameters"]]
    assert {"resolution", "frames"} <= {item["name"] for item in declared}
    assert all(item["help"] for item in declared)
    files = [path for path in sorted(tmp_path.rglob("*.vdb")) if path.parent.parent == tmp_path]
    assert len(files) == FRAMES
    first, last = values_of(files[0]), values_of(files[-1])
    for name, values in last.items():
        assert np.isfinite(values).all(), f"{name} is not finite"
    shown = next(name for name in ("density", "flame", "kelvin") if name in last)
    assert last[shown].size > 0 and last[shown].max() > 0.0, "there is nothing to see"
    assert any(not np.array_equal(first[name], last[name]) for name in last), "nothing moves"


@pytest.mark.long
@each_preset
def test_it_has_no_problem(preset: Preset) -> None:
    assert check_script(RunRequest(str(preset.script))) == []
