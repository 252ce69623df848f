# SPDX-License-Identifier: GPL-3.0-or-later
"""NanoVDB files with random damage: each is read or refused by name, at once, in memory that follows the file."""

from __future__ import annotations

import struct
import time
import tracemalloc
import warnings
import zlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from fluid_addon.diagnostics import FluidError
from fluid_addon.engine.address import Boundary
from fluid_addon.engine.grid_source import GridSource
from fluid_addon.volumes import nanovdb_writer
from fluid_addon.volumes.grid import Grid, Tiles
from fluid_addon.volumes.nanovdb_layout import FILE_GRID, FILE_HEADER, GRID, LAYOUTS, NONE, TREE, ZIP
from fluid_addon.volumes.nanovdb_reader import read_nvdb
from fluid_addon.volumes.nanovdb_writer import write_nvdb
from tests.volumes.conftest import SHARED
from tests.volumes.damage import damaged

FAST, ALL = 1_000, 100_000
#: Beside twice the file, in bytes: mostly tiles, which take a few times as much as in the file. MAX_TILES ends that.
CONSTANT = 32 << 20
SECONDS = 20.0  # a busy machine takes its time; what hangs takes for ever


@dataclass(frozen=True)
class Start:
    """A file to be damaged: its segment's head, as it lies there, and its grid, not compressed."""

    head: bytes
    block: bytes
    hot: np.ndarray


def a_grid(kind: str, *, tiles: bool, name: str = "density") -> Grid:
    random = np.random.default_rng(7)
    vector = (3,) if kind == "vec3f" else ()
    masks = random.random((2, 8, 8, 8)) < 0.5
    dtype = np.int32 if kind == "int32" else np.float32
    values = random.integers(1, 90, (*masks.shape, *vector)).astype(dtype)
    constant = Tiles.none()
    if tiles:
        origins = np.array([[64, 0, 0], [128, 0, 0], [4096, 0, 0]], np.int32)
        numbers = np.ones((3, *vector), dtype)
        constant = Tiles(origins, np.array([8, 128, 4096], np.int32), numbers, np.array([True, False, True]))
    background = (0.0, 0.0, 0.0) if vector else 0
    leaves = np.array([[0, 0, 0], [8, 0, 8]], np.int32)
    return Grid(name, kind, "unknown", np.eye(4), background, leaves, values, masks, constant)  # type: ignore[arg-type]


def only_tiles() -> Grid:
    grid = a_grid("float", tiles=True)
    grid.leaf_origins, grid.leaf_values = grid.leaf_origins[:0], grid.leaf_values[:0]
    grid.leaf_masks, grid.tiles = grid.leaf_masks[:0], Tiles.none()
    return grid


def starts(folder: Path) -> list[Start]:
    """Files of ours of every type that is read, and those of others where they are at hand."""
    paths = []
    for number, layout in LAYOUTS.items():
        path = folder / f"{number}.nvdb"
        was = dict(nanovdb_writer._TYPES)
        nanovdb_writer._TYPES[layout.kind] = number  # types 2 and 7 are read and never written
        try:
            write_nvdb(path, [a_grid(layout.kind, tiles=number != 15)], "none")
        finally:
            nanovdb_writer._TYPES.update(was)
        paths.append(path)
    write_nvdb(folder / "empty.nvdb", [only_tiles()], "none")
    paths += [folder / "empty.nvdb", *sorted(SHARED.glob("*.nvdb"))]
    return [_start(path.read_bytes()) for path in paths]


def _start(data: bytes) -> Start:
    entry = np.frombuffer(data, FILE_GRID, 1, FILE_HEADER.itemsize)[0]
    end = FILE_HEADER.itemsize + FILE_GRID.itemsize + int(entry["name_size"])
    packed = data[end:]
    block = bytearray(zlib.decompress(packed[8:]) if int(entry["codec"]) == ZIP else packed)
    struct.pack_into("<II", block, 8, 0xFFFFFFFF, 0xFFFFFFFF)  # no checksum, so that what is behind it gets read
    where = np.flatnonzero(np.frombuffer(block, np.uint8))
    structure = [where[where < GRID.itemsize + TREE.itemsize + 256]] * 3
    return Start(data[:end], bytes(block), np.concatenate([*structure, where[:: max(1, len(where) // 400)]]))


def a_file(start: Start, random: np.random.Generator, others: list[bytes]) -> bytes:
    """A damaged file: plain, zipped after the damage, zipped and then damaged, bare, or twice in one file."""
    if random.random() < 0.15:  # the list of grids
        whole = _segment(start, start.block, bool(random.integers(2)))
        return damaged(whole, random, np.arange(len(start.head) + 16), others)
    block = damaged(start.block, random, start.hot, others)
    form = int(random.integers(9))  # packing takes longer than all else
    if form < 2:
        return block
    if form == 2:
        return _segment(start, start.block, False) + _segment(start, block, False)
    return _segment(start, block, form == 3)


def _segment(start: Start, block: bytes, zipped: bool) -> bytes:
    stored = block
    if zipped:
        packed = zlib.compress(block, 1)
        stored = len(packed).to_bytes(8, "little") + packed
    header = np.frombuffer(start.head, FILE_HEADER, 1).copy()
    entry = np.frombuffer(start.head, FILE_GRID, 1, FILE_HEADER.itemsize).copy()
    header["codec"] = entry["codec"] = ZIP if zipped else NONE
    entry["grid_size"], entry["file_size"] = len(block), len(stored)
    return header.tobytes() + entry.tobytes() + start.head[FILE_HEADER.itemsize + FILE_GRID.itemsize :] + stored


def check_leaves(grids: list[Grid]) -> None:
    """What comes out is whole, whatever offsets the file had: no kernel ever gets to see one of them."""
    for grid in grids:
        grid.__post_init__()
        places = {tuple(origin) for origin in grid.leaf_origins.tolist()}
        assert len(places) == len(grid.leaf_origins)
        assert grid.transform.shape == (4, 4) and np.isfinite(grid.transform).all()
        assert len(grid.name) <= 1024 and all(c.isprintable() or c in "\t " for c in grid.name)


def check_domain(path: Path) -> None:
    """The leaves of a sparse domain that the file wakes are leaves of the domain."""
    source = GridSource(path)
    with np.errstate(under="ignore"):
        _check_domain(source)


def _check_domain(source: GridSource) -> None:
    domain = source.domain((40, 24, 16), (Boundary.OPEN, Boundary.OPEN, Boundary.OPEN))
    linear = source.leaves(domain)
    assert ((linear >= 0) & (linear < 5 * 3 * 2)).all() and len(set(linear.tolist())) == len(linear)


def read_damaged(folder: Path, count: int, seed: int, measured_every: int, largest: int = 1 << 30) -> Counter[str]:
    """Outcomes of `count` damaged files of at most `largest` bytes before. Anything but grids or a FluidError fails
    with the file's number."""
    random = np.random.default_rng(seed)
    found, path = [start for start in starts(folder) if len(start.block) <= largest], folder / "damaged.nvdb"
    others = [start.block for start in found]
    outcomes: Counter[str] = Counter()
    for number in range(count):
        start = found[number % len(found)]
        data = a_file(start, random, others)
        path.write_bytes(data)
        measured = number % measured_every == 0
        begun = time.perf_counter()
        if measured:
            tracemalloc.start()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                grids = read_nvdb(path)
                peak = tracemalloc.get_traced_memory()[1] if measured else 0
                check_leaves(grids)
                if number % 7 == 0:
                    check_domain(path)
            outcomes["read"] += 1
        except FluidError as error:
            peak = tracemalloc.get_traced_memory()[1] if measured else 0
            assert error.diagnostics[0].hint and len(str(error)) < 3000, number
            outcomes[error.code] += 1
        except Exception as error:
            path.rename(folder / f"found_{number}.nvdb")
            raise AssertionError(f"file {number} of seed {seed}: {error!r}") from error
        finally:
            if measured:
                tracemalloc.stop()
        seconds = time.perf_counter() - begun
        outcomes["slowest ms"] = max(outcomes["slowest ms"], int(1000 * seconds))
        outcomes["beyond twice the file"] = max(
            outcomes["beyond twice the file"], peak - 2 * max(len(data), len(start.block))
        )
        assert seconds < SECONDS and peak <= 2 * max(len(data), len(start.block)) + CONSTANT, number
    return outcomes


def test_D15_N02_N03_N05_damaged_files_are_read_or_refused(tmp_path):
    outcomes = read_damaged(tmp_path, FAST, seed=2026, measured_every=15, largest=1 << 20)
    assert outcomes["read"] > FAST // 20 and outcomes["grid-file-corrupt"] > FAST // 4, outcomes


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_D15_N02_N03_N05_a_hundred_thousand_damaged_files_are_read_or_refused(tmp_path):
    total: Counter[str] = Counter()
    for seed in range(ALL // 1000):
        (tmp_path / str(seed)).mkdir()
        total += read_damaged(tmp_path / str(seed), 1000, seed, measured_every=20)
    assert sum(total[code] for code in ("read", "grid-file-corrupt", "grid-file-kind")) == ALL, total
