# SPDX-License-Identifier: GPL-3.0-or-later
"""A bake that is looked at again and again says at each time what opening it would say."""

from __future__ import annotations

import json
import os
import shutil

import pytest

from fluid_addon.diagnostics import FluidError
from fluid_addon.volumes.atomic import write_bytes_atomically
from fluid_addon.volumes.bake import Bake
from fluid_addon.volumes.growing_bake import GrowingBake


@pytest.fixture
def bake(tmp_path):
    return Bake.create(tmp_path / "cache", "smoke", script_hash="abc", device="none")


def export(bake: Bake, *paths: str, content: bytes = b"frame") -> None:
    for path in paths:
        write_bytes_atomically(bake.frame_path(path), content)
        bake.add_frame(path, time=0.5, grids={"density": "half"})


def looked_at(growing: GrowingBake) -> list[tuple[str, list[int | None]]]:
    """Its sequences; checks that a bake that is opened now has the very same ones."""
    growing.look()
    opened = Bake.open(growing.folder)
    assert growing.frames == opened.frames
    assert growing.damaged == {frame.path: why for frame, why in opened.damaged()}
    return [(found.first_path, [frame.frame for frame in found.frames]) for found in growing.sequences]


def test_frames_arrive(bake):
    growing = GrowingBake(bake.folder)
    assert looked_at(growing) == []
    assert growing.name == "smoke"
    export(bake, "s_2.vdb")
    assert looked_at(growing) == looked_at(growing) == [("s_2.vdb", [2])]
    export(bake, "s_3.vdb", "s_1.vdb")
    assert looked_at(growing) == [("s_1.vdb", [1, 2, 3])]


def test_D11_a_manifest_that_seems_older_is_looked_at(bake):
    growing = GrowingBake(bake.folder)
    export(bake, "s_1.vdb")
    assert looked_at(growing) == [("s_1.vdb", [1])]
    export(bake, "s_2.vdb")
    os.utime(bake.folder / "manifest.json", (0, 0))  # the clock was put back
    assert looked_at(growing) == [("s_1.vdb", [1, 2])]


def test_D01_part_files_are_not_counted(bake):
    growing = GrowingBake(bake.folder)
    export(bake, "s_1.vdb")
    (bake.folder / ".s_2.vdb.1.0123456789abcdef.part").write_bytes(b"half")
    assert looked_at(growing) == [("s_1.vdb", [1])]


def test_the_sequence_that_was_begun_first_stays_the_first(bake):
    growing = GrowingBake(bake.folder)
    export(bake, "z_5.vdb")
    assert looked_at(growing) == [("z_5.vdb", [5])]
    export(bake, "m_1.vdb", "a_1.vdb", "z_1.vdb")
    assert looked_at(growing) == [("z_1.vdb", [1, 5]), ("m_1.vdb", [1]), ("a_1.vdb", [1])]


def test_a_file_that_is_missing_is_named_until_it_is_back(bake):
    export(bake, "s_1.vdb", "s_2.vdb")
    (bake.folder / "s_1.vdb").rename(bake.folder / "away")
    growing = GrowingBake(bake.folder)
    assert looked_at(growing) == [("s_2.vdb", [2])]
    assert growing.damaged == {"s_1.vdb": "No such file or directory"}
    (bake.folder / "away").rename(bake.folder / "s_1.vdb")
    assert looked_at(growing) == [("s_1.vdb", [1, 2])]


def test_a_file_that_is_exported_again_is_checked_again(bake):
    export(bake, "s_1.vdb", "s_2.vdb")
    growing = GrowingBake(bake.folder)
    looked_at(growing)
    before = growing.frames[0].crc32
    export(bake, "s_1.vdb", content=b"other")
    (bake.folder / "s_1.vdb").write_bytes(b"cut")
    assert looked_at(growing) == [("s_2.vdb", [2])]
    assert growing.frames[0].crc32 != before


def test_a_bake_that_goes_or_breaks_is_not_remembered(bake):
    export(bake, "s_1.vdb")
    growing = GrowingBake(bake.folder)
    looked_at(growing)
    content = json.loads((bake.folder / "manifest.json").read_bytes())
    content["frames"][0]["size"] = -1
    (bake.folder / "manifest.json").write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(FluidError) as broken:
        growing.look()
    shutil.rmtree(bake.folder)
    with pytest.raises(FluidError) as gone:
        growing.look()
    assert (broken.value.code, gone.value.code) == ("bake-corrupt", "bake-missing")
