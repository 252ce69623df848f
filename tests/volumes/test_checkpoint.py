# SPDX-License-Identifier: GPL-3.0-or-later
"""Checkpoint files: they come back as they went, and a damaged or hostile one is refused before it takes memory."""

from __future__ import annotations

import json
import random
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fluid_addon.diagnostics import FluidError
from fluid_addon.faults import injected
from fluid_addon.volumes.bake import Bake
from fluid_addon.volumes.checkpoint import (
    CheckpointWriter,
    latest_checkpoint,
    listed_checkpoints,
    open_checkpoint,
    write_checkpoint,
)

ARRAYS = {
    "0/density": np.linspace(0, 1, 60, dtype=np.float32).reshape(3, 4, 5),
    "0/half": np.arange(8, dtype=np.float16).reshape(2, 2, 2),
    "0/counts": np.array([[[2**32 - 1]]], np.uint32),
    "0//active": np.empty(0, np.int32),
    "0/nan": np.array([np.nan, np.inf, -0.0, 1e-45], np.float32),
}
RUN = {"frame": 3, "journal": [["step 1 0.1", None, None], ["reduce density sum", [0.1, float("inf")], None]]}


def write(path: Path) -> Path:
    with write_checkpoint(path) as writer:
        for name, values in ARRAYS.items():
            writer.put(name, values)
        writer.finish(RUN)
    return path


def read(path: Path) -> tuple[dict[str, Any], dict[str, bytes]]:
    with open_checkpoint(path) as found:
        return found.run, {name: found.array(name).tobytes() for name in ARRAYS}


def test_arrays_and_numbers_come_back_as_they_went(tmp_path: Path) -> None:
    run, arrays = read(write(tmp_path / "a.checkpoint"))
    assert run == RUN
    assert arrays == {name: values.tobytes() for name, values in ARRAYS.items()}
    with open_checkpoint(tmp_path / "a.checkpoint") as found:
        assert (found.array("0/density").shape, found.array("0/half").dtype) == ((3, 4, 5), np.float16)
        assert "0/density" in found and "nothing" not in found
        with pytest.raises(FluidError, match='"nothing" cannot be read'):
            found.array("nothing")


def test_a_damaged_checkpoint_is_refused_with_little_memory_D08(tmp_path: Path) -> None:
    content = write(tmp_path / "a.checkpoint").read_bytes()
    chance, path = random.Random(6), tmp_path / "b.checkpoint"
    refused = 0
    tracemalloc.start()
    for _ in range(400):
        damaged = bytearray(content)
        for _ in range(chance.randint(1, 4)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        path.write_bytes(damaged[: chance.randint(0, len(damaged))] if chance.random() < 0.2 else damaged)
        try:
            found = read(path)
        except FluidError as error:
            assert error.code == "checkpoint-corrupt"
            refused += 1
        else:  # a date or an attribute was changed
            assert found == (RUN, {name: values.tobytes() for name, values in ARRAYS.items()})
    assert tracemalloc.get_traced_memory()[1] < 8 << 20
    tracemalloc.stop()
    assert refused > 100


def rewritten(path: Path, change: dict[str, Any], compression: int = zipfile.ZIP_STORED) -> Path:
    """The checkpoint with another head."""
    with zipfile.ZipFile(write(path)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    head = json.loads(members["head.json"]) | change
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in (members | {"head.json": json.dumps(head).encode()}).items():
            archive.writestr(name, content)
    return path


@pytest.mark.parametrize(
    "change",
    [
        {"format": "another"},
        {"version": 2},
        {"run": []},
        {"arrays": {"0/density": {"member": "0.bin", "shape": [1 << 40], "dtype": "float32"}}},
        {"arrays": {"0/density": {"member": "0.bin", "shape": [-1, -60], "dtype": "float32"}}},
        {"arrays": {"0/density": {"member": "0.bin", "shape": [60], "dtype": "object"}}},
        {"arrays": {"0/density": {"member": "../0.bin", "shape": [60], "dtype": "float32"}}},
        {"arrays": {"0/density": 7}},
    ],
    ids=lambda change: json.dumps(change)[:60],
)
def test_a_head_that_lies_is_refused_D10(tmp_path: Path, change: dict[str, Any]) -> None:
    with pytest.raises(FluidError) as caught, open_checkpoint(rewritten(tmp_path / "a.checkpoint", change)):
        pass
    assert caught.value.code == "checkpoint-corrupt"


def test_a_compressed_member_could_be_a_bomb_and_is_refused_D16(tmp_path: Path) -> None:
    path = rewritten(tmp_path / "a.checkpoint", {}, zipfile.ZIP_DEFLATED)
    with pytest.raises(FluidError, match="not those of a checkpoint"), open_checkpoint(path):
        pass


def bake(folder: Path) -> Bake:
    return Bake.create(folder, "smoke", script_hash="0", device="none")


def add(to: Bake, frame: int) -> None:
    def content(writer: CheckpointWriter) -> None:
        writer.put("0/density", ARRAYS["0/density"])
        writer.finish({"frame": frame})

    to.add_checkpoint(frame, content, keep=2)


def test_a_fault_at_any_point_leaves_the_checkpoint_before_D02(tmp_path: Path) -> None:
    made = bake(tmp_path)
    add(made, 1)
    for point in ("disk.create", "disk.write", "disk.flush", "disk.rename", "disk.folder"):
        passage = 0
        while True:
            passage += 1
            with injected(point, passage) as armed:
                try:
                    add(made, 2)
                except FluidError as error:
                    assert error.code in ("disk-full", "disk-error")
            found = latest_checkpoint(made.folder)
            assert found is not None
            with open_checkpoint(made.folder / found.path) as whole:
                assert whole.run["frame"] == found.frame
            assert list(made.folder.glob(".*.part")) == []
            if not armed.fired:
                break
    made.release()


def test_only_files_that_the_manifest_lists_as_checkpoints_count(tmp_path: Path) -> None:
    made = bake(tmp_path / "bakes")
    add(made, 1)
    stranger = tmp_path / "mine.checkpoint"
    stranger.write_bytes(b"mine")
    (made.folder / "notes.txt").write_bytes(b"mine")
    lies = [
        {"path": "../mine.checkpoint", "frame": 9, "size": 4},
        {"path": "notes.txt", "frame": 9, "size": 4},
        {"path": "manifest.json", "frame": 9, "size": 4},
        {"path": 7, "frame": 9, "size": 4},
        "nothing",
    ]
    assert listed_checkpoints(made.folder, {"checkpoints": lies}) == []
    manifest = made.folder / "manifest.json"
    content = json.loads(manifest.read_text("utf-8"))
    content["checkpoints"] += lies
    manifest.write_text(json.dumps(content), "utf-8")
    made.release()
    left = Bake.open(made.folder).free()
    assert [path.name for path in left] == ["notes.txt"] and stranger.read_bytes() == b"mine"


def test_a_finished_bake_is_not_gone_on_with_where_its_checkpoint_could_not_be_deleted(tmp_path):
    bake = Bake.create(tmp_path, "smoke", script_hash="", device="")
    bake.add_checkpoint(3, lambda writer: writer.finish({}), keep=2)
    checkpoint = bake.folder / bake.checkpoints[0].path
    content = checkpoint.read_bytes()
    bake.finish()
    bake.release()
    checkpoint.write_bytes(content)
    manifest = bake.folder / "manifest.json"
    head = json.loads(manifest.read_bytes())
    head["checkpoints"] = [{"path": checkpoint.name, "frame": 3, "size": len(content)}]
    manifest.write_text(json.dumps(head))
    assert head["finished"] is True and Bake.open(bake.folder).checkpoints != []
    assert latest_checkpoint(bake.folder) is None
