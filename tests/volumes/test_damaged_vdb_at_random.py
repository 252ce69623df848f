# SPDX-License-Identifier: GPL-3.0-or-later
"""VDB files with random damage: what our own look lets through, OpenVDB survives, in a process that may die."""

from __future__ import annotations

import contextlib
import struct
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.volumes.damage import damaged

FAST, ALL = 250, 20_000
ROOT = Path(__file__).resolve().parents[2]
MOST_KIB = 64 * 1024  # that files of a few KiB may cost beyond numpy and OpenVDB themselves; 10 MiB is usual
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="what a child took of memory is asked of POSIX")


class Reader:
    """A child that reads one file after the other, and is started anew when it died."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[str] | None = None
        self.most_kib = 0

    def read(self, path: Path) -> tuple[str, float]:
        """What came of a file, and in how many seconds."""
        if self._child is None:
            self._child = subprocess.Popen(
                [sys.executable, "-m", "tests.volumes.vdb_reading"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                cwd=ROOT,
            )
        assert self._child.stdin and self._child.stdout
        with contextlib.suppress(BrokenPipeError):
            self._child.stdin.write(f"{path}\n")
            self._child.stdin.flush()
        said = self._child.stdout.readline()
        if not said:
            with contextlib.suppress(BrokenPipeError):  # it may have died with the name of a file unread
                self._child.stdin.close()
            self._child.stdout.close()
            status, self._child = self._child.wait(), None
            return f"died with {status}", 0.0
        outcome, seconds, memory = said.rstrip("\n").split("\t")
        self.most_kib = max(self.most_kib, int(memory))
        return outcome, float(seconds)

    def close(self) -> None:
        if self._child is not None:
            assert self._child.stdin and self._child.stdout
            self._child.stdin.close()
            self._child.wait(60)
            self._child.stdout.close()


def starts(library: Any, folder: Path) -> list[bytes]:
    """Small files: every type that is read, tiles of two sizes, halves, several grids, one tree for two of them."""
    random = np.random.default_rng(5)
    floats = random.random((12, 9, 17)).astype(np.float32) * (random.random((12, 9, 17)) < 0.5)
    found = []
    made: dict[str, Any] = {}
    for name, values in (
        ("FloatGrid", floats),
        ("DoubleGrid", floats.astype(np.float64)),
        ("BoolGrid", floats > 0.5),
        ("Int32Grid", (floats * 99).astype(np.int32)),
        ("Int64Grid", (floats * 99).astype(np.int64)),
        ("Vec3SGrid", np.stack([floats] * 3, axis=-1)),
        ("Vec3DGrid", np.stack([floats] * 3, axis=-1).astype(np.float64)),
    ):
        grid = made[name] = getattr(library, name)()
        grid.copyFromArray(np.ascontiguousarray(values), (-3, 5, 100))
        grid.name = name.lower()
    half = made["FloatGrid"].deepCopy()
    half.saveFloatAsHalf, half.name = True, "half"
    tiles = library.FloatGrid(0.5)
    tiles.fill((128, 0, 0), (255, 127, 127), 4.0, active=True)
    tiles.fill((64, 0, 0), (71, 7, 7), 5.0, active=False)
    tiles.fill((0, 0, 0), (7, 7, 7), 5.0, active=True)
    tiles.name = "tiles"
    twin, alike = made["FloatGrid"].copy(), made["FloatGrid"].deepCopy()
    twin.name = "twin"
    for number, grids in enumerate([*([grid] for grid in made.values()), [half], [tiles], [made["FloatGrid"], twin]]):
        path = folder / f"{number}.vdb"
        library.write(str(path), grids, {"creator": "tests", "frame": 3})
        found.append(path.read_bytes())
    library.write(str(folder / "alike.vdb"), [made["FloatGrid"], alike, tiles])
    return [*found, (folder / "alike.vdb").read_bytes()]


def read_damaged(library: Any, folder: Path, count: int, seed: int) -> Counter[str]:
    """Outcomes of `count` damaged files. A death, an exception or a hang fails with the file's number."""
    random = np.random.default_rng(seed)
    found, path, reader = starts(library, folder), folder / "damaged.vdb", Reader()
    hot = [np.flatnonzero(np.frombuffer(data, np.uint8)) for data in found]
    outcomes: Counter[str] = Counter()
    slowest = 0.0
    try:
        for number in range(count):
            which = number % len(found)
            path.write_bytes(damaged(found[which], random, hot[which], found))
            outcome, seconds = reader.read(path)
            outcomes[outcome] += 1
            slowest = max(slowest, seconds)
            if outcome.startswith(("died", "escaped", "no hint")) or seconds > 20.0:
                path.rename(folder / f"found_{number}.vdb")
                raise AssertionError(f"file {number} of seed {seed}: {outcome} after {seconds} s; {folder}")
    finally:
        reader.close()
    outcomes["slowest ms"], outcomes["most MiB"] = int(1000 * slowest), reader.most_kib >> 10
    assert reader.most_kib < MOST_KIB
    return outcomes


def test_D15_D16_openvdb_survives_what_is_let_through(library, tmp_path):
    outcomes = read_damaged(library, tmp_path, FAST, seed=2026)
    assert outcomes["read"] > FAST // 20 and outcomes["grid-file-corrupt"] > FAST // 4, outcomes


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_D15_D16_openvdb_survives_twenty_thousand_files_that_are_let_through(library, tmp_path):
    for seed in range(ALL // 1000):
        (tmp_path / str(seed)).mkdir()
        read_damaged(library, tmp_path / str(seed), 1000, seed)


def test_a_reader_that_dies_is_seen(tmp_path):
    """The harness itself: a child that ends is no file that was read."""
    reader = Reader()
    (tmp_path / "fine.vdb").write_bytes(struct.pack("<8sII", b" BDV\0\0\0\0", 224, 12))
    assert reader.read(tmp_path / "fine.vdb")[0] == "grid-file-corrupt"
    assert reader._child is not None
    reader._child.kill()
    assert reader.read(tmp_path / "fine.vdb")[0] == "died with -9"
    reader.close()


def test_what_a_reader_took_is_not_what_its_parent_once_held(tmp_path):
    """A limit that a process of tests breaks by what it held itself before says nothing of the reader."""
    held = np.ones(1 << 25)
    (tmp_path / "fine.vdb").write_bytes(struct.pack("<8sII", b" BDV\0\0\0\0", 224, 12))
    reader = Reader()
    assert reader.read(tmp_path / "fine.vdb")[0] == "grid-file-corrupt"
    reader.close()
    assert reader.most_kib < MOST_KIB < held.nbytes >> 10
