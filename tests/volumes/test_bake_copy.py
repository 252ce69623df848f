# SPDX-License-Identifier: GPL-3.0-or-later
"""A copy of a bake in which another run goes on: it is there whole, or not at all."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fluid_addon.diagnostics import FluidError
from fluid_addon.faults import FAULTS_VARIABLE, fault_text, injected
from fluid_addon.volumes.atomic import DISK_FAULTS, write_bytes_atomically
from fluid_addon.volumes.bake import Bake
from fluid_addon.volumes.cache import bakes_in
from fluid_addon.volumes.checkpoint import latest_checkpoint

NAMES = ["smoke_1.vdb", "water/level_1.vdb", "smoke_2.vdb", "smoke_3.vdb"]
HEAD = {"name": "smoke", "script_hash": "new", "device": "d", "parameters": {"rate": 2}, "details": {}}


@pytest.fixture
def bake(tmp_path: Path) -> Bake:
    made = Bake.create(tmp_path, "smoke", script_hash="old", device="d")
    for number, name in enumerate(NAMES):
        write_bytes_atomically(made.frame_path(name), bytes([number]) * 1000)
        made.add_frame(name, time=number, grids={"density": "half"})
    made.add_checkpoint(2, lambda writer: writer.finish({}), 2)
    made.release()
    return made


def copy(bake: Bake) -> Bake:
    made = bake.copy_to(bake.folder.parent, NAMES[:3], HEAD, bake.checkpoints[-1])
    made.release()
    return made


def no_links(*_paths: object) -> None:
    raise OSError(errno.EPERM, os.strerror(errno.EPERM))


@pytest.mark.parametrize("links", [True, False], ids=["linked", "copied"])
def test_a_copy_has_the_files_and_the_checkpoint_and_a_time_of_its_own(
    bake: Bake, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    if not links:
        monkeypatch.setattr(os, "link", no_links)
    os.utime(bake.folder / "manifest.json", (0, 0))  # a clock may give two moments one time
    made = copy(bake)
    found = Bake.open(made.folder)
    assert [frame.path for frame in found.frames] == NAMES[:3]
    assert found.damaged(checksums=True) == []
    assert [(path / NAMES[0]).stat().st_nlink for path in (bake.folder, made.folder)] == ([2, 2] if links else [1, 1])
    assert latest_checkpoint(made.folder) == latest_checkpoint(bake.folder)
    assert [each.folder for each in bakes_in(bake.folder.parent)] == [bake.folder, made.folder]
    assert {key: found.head[key] for key in HEAD} == HEAD
    assert found.free() == [] and not made.folder.exists()
    assert Bake.open(bake.folder).damaged(checksums=True) == [] and len(bake.checkpoints) == 1


@pytest.mark.parametrize("point", sorted({*DISK_FAULTS} - {"disk.busy", "disk.delete", "disk.room"}))
def test_a_copy_that_fails_leaves_nothing_D02(bake: Bake, monkeypatch: pytest.MonkeyPatch, point: str) -> None:
    monkeypatch.setattr(os, "link", no_links)
    for passage in range(1, 100):
        made = None
        with injected(point, passage) as armed:
            try:
                made = copy(bake)
            except FluidError as error:
                assert error.code in ("disk-full", "disk-error")
        if made is not None:  # nothing failed, or nothing that matters
            assert Bake.open(made.folder).damaged(checksums=True) == []
            made.free()
        assert list(bake.folder.parent.iterdir()) == [bake.folder], passage
        if not armed.fired:
            break
    assert not armed.fired


COPY = """
import os, sys
from pathlib import Path
from fluid_addon.volumes.bake import Bake
if sys.argv[2] == "copied":
    def no_links(*_): raise OSError(1, "no links here")
    os.link = no_links
bake = Bake.open_to_go_on(Path(sys.argv[1]))
bake.copy_to(bake.folder.parent, [frame.path for frame in bake.frames], {}, bake.checkpoints[-1])
"""


@pytest.mark.parametrize("passage", [2, 4, 6])
def test_a_copy_whose_writer_is_killed_is_no_last_bake_and_can_be_freed_D01(bake: Bake, passage: int) -> None:
    environment = {**os.environ, FAULTS_VARIABLE: fault_text("disk.rename", passage, "kill")}
    words = [sys.executable, "-c", COPY, str(bake.folder), "copied"]
    assert subprocess.run(words, env=environment, check=False).returncode != 0
    found = bakes_in(bake.folder.parent)
    assert found[-1].folder == bake.folder, "a run would go on in the old one"
    for other in bake.folder.parent.iterdir():
        if other != bake.folder:
            assert Bake.open(other).free() == []
    assert list(bake.folder.parent.iterdir()) == [bake.folder]
    assert bake.damaged(checksums=True) == []
