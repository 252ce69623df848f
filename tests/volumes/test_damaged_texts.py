# SPDX-License-Identifier: GPL-3.0-or-later
"""Meshes, captures and manifests with random damage are read, or refused by name; nothing else comes out of them."""

from __future__ import annotations

import json
import shutil
import tracemalloc
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fluid_addon.diagnostics import FluidError
from fluid_addon.volumes.manifest import MANIFEST, read_manifest
from fluid_addon.volumes.mesh_capture import INDEX, MeshCapture, MeshCaptureWriter
from fluid_addon.volumes.obj_reader import read_obj
from tests.volumes.damage import damaged
from tests.volumes.meshes import box, write_obj

MOST = 24 << 20  # bytes of memory for files of some kilobytes
WORDS = (b"1e999", b"nan", b"-1", b"99999999999999999999", b"1" * 5000, b"NaN", b"Infinity", b"[" * 3000, b"\xff\xfe")
WORDS += (b"null", b'"\\ud800"', b"{}", b"../../x", b"\0", b"\n", b"f 1 2 3\n", b"v 1 2\n", b'"path"', b"true")


def mended(data: bytes, random: np.random.Generator) -> bytes:
    """Random damage, and words where numbers and names stand."""
    result = bytearray(damaged(data, random, np.arange(len(data))) if random.random() < 0.5 else data)
    for _ in range(int(random.integers(0, 4))):
        place = int(random.integers(len(result) + 1))
        result[place : place + int(random.integers(0, 12))] = WORDS[int(random.integers(len(WORDS)))]
    return bytes(result)


def outcomes(
    count: int, seed: int, path: Path, read: Callable[[], object], codes: set[str], *, data: bytes
) -> Counter[str]:
    random = np.random.default_rng(seed)
    found: Counter[str] = Counter()
    for number in range(count):
        path.write_bytes(mended(data, random))
        measured = number % 10 == 0
        if measured:
            tracemalloc.start()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                read()
            found["read"] += 1
        except FluidError as error:
            assert error.code in codes and error.diagnostics[0].hint and len(str(error)) < 2000, number
            found[error.code] += 1
        except Exception as error:
            shutil.copy(path, path.with_name(f"found_{number}"))
            raise AssertionError(f"file {number} of seed {seed}: {error!r}; {path.parent}") from error
        finally:
            if measured:
                peak = tracemalloc.get_traced_memory()[1]
                tracemalloc.stop()
        assert not measured or peak < MOST, number
    return found


def meshes(folder: Path, count: int, seed: int) -> Counter[str]:
    path = write_obj(folder / "ball.obj", box((0, 0, 0), (1, 2, 3)))
    data = path.read_bytes() + b"vn 0 0 1\no Other\nf 1/1/1 2//2 3\nf -1 -2 -3 -4\n"
    return outcomes(count, seed, path, lambda: read_obj(path), {"mesh-broken"}, data=data)


def captures(folder: Path, count: int, seed: int) -> Counter[str]:
    writer = MeshCaptureWriter(folder / "capture")
    mesh = box((0, 0, 0), (1, 2, 3))
    for frame in (1, 2):
        writer.add("Ball", frame, (mesh.points + frame).astype(np.float32), mesh.triangles)
    writer.finish()

    def read() -> None:
        source = MeshCapture(writer.folder).source("Ball")
        for frame in (0, 1, 9):
            source.mesh(frame)

    found: Counter[str] = Counter()
    for path in sorted(writer.folder.iterdir()):
        data = path.read_bytes()
        share = count // 2 if path.name == INDEX else count // 6
        found += outcomes(share, seed, path, read, {"mesh-broken", "unknown-object"}, data=data)
        path.write_bytes(data)
    return found


def manifests(folder: Path, count: int, seed: int) -> Counter[str]:
    frame = {
        "path": "smoke_0001.vdb",
        "frame": 1,
        "time": 0.04,
        "size": 48211,
        "crc32": 305419896,
        "grids": {"density": "half", "velocity": "vec3f"},
        "measured": {"peaks": {"density": 1.02}, "level_sets": [], "box": [[-1.0, -1.0, 0.0], [1.0, 1.0, 3.0]]},
    }
    head = {"format": "fluid-script-bake", "version": 1, "name": "smoke", "created": "x", "creator": "y"}
    head |= {"script_hash": "h", "device": "d", "parameters": {"wind": 1.5, "on": True}, "details": {"frames": 3}}
    data = json.dumps({**head, "frames": [frame, {**frame, "path": "smoke_0002.vdb", "frame": 2}]}).encode()

    def read() -> None:
        found, frames = read_manifest(folder)
        assert all(isinstance(found[key], str) and len(found[key]) <= 1024 for key in ("name", "device"))
        assert all(len(name) <= 1024 for frame in frames for name in frame.grids)

    return outcomes(count, seed, folder / MANIFEST, read, {"bake-corrupt", "bake-missing"}, data=data)


@pytest.mark.parametrize("read_damaged", [meshes, captures, manifests])
def test_damaged_files_are_read_or_refused(tmp_path, read_damaged):
    found = read_damaged(tmp_path, 300, seed=2026)
    assert found["read"] and found.total() - found["read"] > 60, found


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("read_damaged", [meshes, captures, manifests])
def test_twenty_thousand_damaged_files_are_read_or_refused(tmp_path, read_damaged):
    read_damaged(tmp_path, 20_000, seed=6)


def test_texts_of_a_manifest_are_cut_and_made_printable(tmp_path):
    frame = {"path": "a_0001.vdb", "frame": 1, "time": 0, "size": 1, "crc32": 1, "grids": {"density": "half"}}
    head = {"format": "fluid-script-bake", "version": 1, "name": "a\x1b[2J\u202e", "device": "d" * 5000}
    head |= {"script_hash": "h", "parameters": {}, "details": {}, "created": "x", "creator": "y"}
    without = {key: value for key, value in frame.items() if key != "frame"} | {"path": "still.vdb"}
    (tmp_path / MANIFEST).write_text(json.dumps({**head, "frames": [frame, without]}))
    found, frames = read_manifest(tmp_path)
    assert [frame.frame for frame in frames] == [1, None]
    assert found["name"] == "a\\x1b[2J\\u202e" and found["device"] == "d" * 1024
    for name in ("a\nb", "\u202edensity", "x" * 1025, "\ud800"):
        frames = [{**frame, "grids": {name: "half"}}]
        (tmp_path / MANIFEST).write_text(json.dumps({**head, "frames": frames}))
        with pytest.raises(FluidError, match="a grid whose name cannot be shown") as caught:
            read_manifest(tmp_path)
        assert caught.value.code == "bake-corrupt"
