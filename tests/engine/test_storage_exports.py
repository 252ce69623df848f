# SPDX-License-Identifier: GPL-3.0-or-later
"""Files are the same however a domain is stored; where only a part of it is active, they hold that part."""

from __future__ import annotations

import numpy as np
import pytest

from fluid_addon.engine import EngineEnvironment, Format
from fluid_addon.volumes.bake import Bake
from fluid_addon.volumes.nanovdb_reader import read_nvdb
from fluid_addon.volumes.openvdb_files import read_vdb

SIZE = (28, 13, 20)
READERS = {".vdb": read_vdb, ".nvdb": read_nvdb}
STORAGES = {
    "sparse": {"sparse": True},
    "two": {"gpu_count": 2},
    "three": {"gpu_count": 3},
    "sparse two": {"sparse": True, "gpu_count": 2},
}
KINDS = {
    "density": (Format.R32F, 1, False),
    "velocity": (Format.R32G32B32F, 1, True),
    "heat": (Format.R16F, 0.5, False),
    "fine": (Format.R32F, 2, False),
    "flow": (Format.R16G16B16F, 1, False),
    "count": (Format.R32I, 1, False),
}


@pytest.fixture
def exported(make_engine, define, set_field, tmp_path):
    """Runs a simulation stored in some way, exports it twice, and gives the grids of the files."""

    def run(suffix, box=None, filled=None, **storage):
        folder = tmp_path / "-".join([*map(str, storage), *map(str, storage.values()), suffix, str(filled)])
        folder.mkdir()
        bakes = []

        def open_bake(device):
            bakes.append(Bake.create(folder, "test", script_hash="0", device=device))
            return bakes[0]

        engine = make_engine(SIZE, environment=EngineEnvironment(open_bake=open_bake, folder=folder), **storage)
        for name, (kind, resolution, staggered) in KINDS.items():
            engine.add_field(name, kind, 0, staggered=staggered, resolution=resolution)
            field = engine.fields[name]
            shape = engine.domain.at(field.resolution).address.shape(field.format.components)
            set_field(engine, name, np.random.default_rng([*name.encode()]).random(shape) * 9 + 1)
        if box:
            engine.activate(low=(0, 0, 0), high=box)
        blur = 'WriteField("density_new", idx, 0.5 * (ReadField("density", coord + ivec3(1, 0, 0)) + 1.0));'
        engine.add_stencil(define("blur", blur, "density", "density_new"))
        engine.step(0.1)
        if filled is not None:
            for name in ("heat", "density"):
                engine.fill(name, filled)
            engine.step(0.1)
        export = engine.export_vdb if suffix == ".vdb" else engine.export_nvdb
        for number in (1, 2):
            export(f"smoke_{number:03d}{suffix}")
        engine.finish()
        files = [bakes[0].folder / f"smoke_{number:03d}{suffix}" for number in (1, 2)]
        peaks = [frame.measured for frame in bakes[0].frames]
        return {grid.name: grid for grid in READERS[suffix](files[1])}, engine, peaks

    return run


def extent(engine, name) -> tuple[int, int, int]:
    return engine.domain.at(engine.fields[name].resolution).size


def active(grid, size) -> np.ndarray:
    """Which voxels of the domain the leaves of a file say are active."""
    mask = np.zeros([-(-n // 8) * 8 for n in size], np.bool_)
    for origin, leaf in zip(grid.leaf_origins, grid.leaf_masks, strict=True):
        x, y, z = origin
        mask[x : x + 8, y : y + 8, z : z + 8] = leaf.reshape(8, 8, 8)
    return mask[: size[0], : size[1], : size[2]]


@pytest.mark.parametrize(("suffix", "filled"), [(".vdb", None), (".nvdb", 2.5)])
def test_files_are_the_same_in_every_storage(exported, suffix, filled):
    expected, engine, peaks = exported(suffix, filled=filled)
    assert set(expected) == set(KINDS)
    for name, storage in STORAGES.items():
        found, _, measured = exported(suffix, filled=filled, **storage)
        assert measured == peaks
        for field, grid in expected.items():
            size, other = extent(engine, field), found[field]
            assert other.dense((0, 0, 0), size).tobytes() == grid.dense((0, 0, 0), size).tobytes(), (name, field)
            if filled is None:  # what is not active holds what was filled in, and so is the background of the file
                np.testing.assert_array_equal(active(other, size), active(grid, size))
                assert other.background == grid.background
            np.testing.assert_array_equal(other.transform, grid.transform)
            assert (other.grid_class, other.kind) == (grid.grid_class, grid.kind)


@pytest.mark.parametrize("suffix", READERS)
def test_leaves_that_are_not_active_are_the_background(exported, suffix):
    """After a fill they have its value, and on any number of devices the file says the same."""
    found, engine, peaks = exported(suffix, box=(1.5, 0.7, 0.7), filled=2.5, sparse=True)
    other, _, measured = exported(suffix, box=(1.5, 0.7, 0.7), filled=2.5, sparse=True, gpu_count=2)
    assert peaks == measured
    for name, outside in (("density", 2.5), ("heat", 2.5), ("fine", 0.0), ("velocity", 0.0), ("count", 0)):
        size = extent(engine, name)
        values = found[name].dense((0, 0, 0), size)
        assert values.tobytes() == other[name].dense((0, 0, 0), size).tobytes()
        inside = [int(n * engine.fields[name].resolution) for n in (16, 8, 8)]
        assert (values[inside[0] :] == outside).all() and (values[:, :, inside[2] :] == outside).all(), name
        assert np.all(np.asarray(found[name].background) == outside)
    assert (found["fine"].dense((0, 0, 0), extent(engine, "fine"))[:32, :16, :16] != 0).all()
