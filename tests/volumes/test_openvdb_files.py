# SPDX-License-Identifier: GPL-3.0-or-later
"""VDB files that we write are what OpenVDB reads, and files that OpenVDB writes are read voxel by voxel."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from fluid_addon import VERSION
from fluid_addon.child_process import child_environment
from fluid_addon.diagnostics import FluidError
from fluid_addon.volumes.leaf_array import LeafArray
from fluid_addon.volumes.openvdb_files import VdbFrame, VdbGrid, read_vdb, write_vdb


def values_of(grid, low, shape):
    """What OpenVDB's own reader says."""
    array = np.zeros(shape, np.int32 if grid.valueTypeName == "int32" else np.float32)
    grid.copyToArray(array, tuple(low))
    return array


def smoke(seed=0, shape=(21, 13, 34), dtype=np.float32):
    random = np.random.default_rng(seed)
    array = random.integers(1, 99, shape).astype(dtype)
    array[random.random(shape[:3]) < 0.6] = 0
    return array


# ----- what we write


def test_D13_openvdb_reads_what_was_written(library, tmp_path, rotated):
    density, velocity, number = smoke(), smoke(1, (9, 30, 5, 3)), smoke(2, dtype=np.int32)
    frame = VdbFrame(
        [
            VdbGrid("density", density, (-5, 100, -1000), rotated, 0.0, "fog volume", half=True),
            VdbGrid("velocity", velocity, (3, -2, -9), rotated, (0.0, 0.0, 0.0), "staggered"),
            VdbGrid("id", number, (0, 0, 0), rotated, 0),
        ],
        frame=12,
        time=0.5,
        metadata={"solver": "smoke", "substeps": 4},
    )
    assert write_vdb(tmp_path / "f.vdb", frame) == {"density": "half", "velocity": "vec3f", "id": "int32"}
    grids, metadata = library.readAll(str(tmp_path / "f.vdb"))
    found = {grid.name: grid for grid in grids}
    assert metadata == {
        "creator": f"Fluid Script {VERSION}",
        "frame": 12,
        "time": 0.5,
        "solver": "smoke",
        "substeps": 4,
    }
    assert {name: grid.gridClass for name, grid in found.items()} == {
        "density": "fog volume",
        "velocity": "staggered",
        "id": "unknown",
    }
    assert [found[name].saveFloatAsHalf for name in ("density", "velocity", "id")] == [True, False, False]
    assert found["velocity"].vectorType == "invariant"
    for name, array, low in (
        ("density", density, (-5, 100, -1000)),
        ("velocity", velocity, (3, -2, -9)),
        ("id", number, (0, 0, 0)),
    ):
        grid = found[name]
        np.testing.assert_array_equal(values_of(grid, low, array.shape), array)
        active = (array != 0).any(axis=-1) if array.ndim == 4 else array != 0
        assert grid.activeVoxelCount() == np.count_nonzero(active)
        where = np.argwhere(active) + low
        first, last = grid.evalActiveVoxelBoundingBox()
        assert (first, last) == (tuple(where.min(axis=0)), tuple(where.max(axis=0)))
        for index in ((0, 0, 0), (3, -7, 11)):
            np.testing.assert_allclose(
                grid.transform.indexToWorld(index), (rotated @ (*index, 1))[:3], rtol=1e-12, atol=1e-12
            )
        assert grid.creator == f"Fluid Script {VERSION}"
    assert not metadata["creator"].startswith("Houdini")


@pytest.mark.parametrize("change", ["fortran", "strided", "read only", "double", "half", "negative strides"])
def test_arrays_of_any_make_are_stored_as_they_index(library, tmp_path, change):
    array = smoke(3, (16, 9, 10))
    given = {
        "fortran": lambda: np.asfortranarray(array),
        "strided": lambda: np.repeat(array, 2, axis=2)[:, :, ::2],
        "read only": lambda: _read_only(array),
        "double": lambda: array.astype(np.float64),
        "half": lambda: array.astype(np.float16),
        "negative strides": lambda: array[::-1, ::-1, ::-1].copy()[::-1, ::-1, ::-1],
    }[change]()
    write_vdb(tmp_path / "f.vdb", VdbFrame([VdbGrid("density", given)]))
    np.testing.assert_array_equal(
        values_of(library.read(str(tmp_path / "f.vdb"), "density"), (0, 0, 0), array.shape), array
    )


def _read_only(array):
    copy = array.copy()
    copy.flags.writeable = False
    return copy


def test_two_components_become_three_and_one_becomes_none(library, tmp_path):
    flow, single = smoke(4, (5, 6, 7, 2)), smoke(5, (5, 6, 7, 1))
    kinds = write_vdb(
        tmp_path / "f.vdb", VdbFrame([VdbGrid("uv", flow, background=(1.0, 2.0)), VdbGrid("one", single)])
    )
    assert kinds == {"uv": "vec3f", "one": "float"}
    grid = library.read(str(tmp_path / "f.vdb"), "uv")
    assert grid.background == (1.0, 2.0, 0.0)
    found = values_of(grid, (0, 0, 0), (5, 6, 7, 3))
    np.testing.assert_array_equal(found[..., :2], flow)
    assert not found[..., 2].any()


def test_unsigned_integers_are_stored_where_they_fit(library, tmp_path):
    numbers = smoke(6, dtype=np.uint32)
    assert write_vdb(tmp_path / "f.vdb", VdbFrame([VdbGrid("id", numbers, background=0)])) == {"id": "int32"}
    np.testing.assert_array_equal(
        values_of(library.read(str(tmp_path / "f.vdb"), "id"), (0, 0, 0), numbers.shape), numbers
    )
    numbers[0, 0, 0] = 2**31
    with pytest.raises(FluidError, match="2,147,483,648") as caught:
        write_vdb(tmp_path / "g.vdb", VdbFrame([VdbGrid("id", numbers)]))
    assert caught.value.code == "export-field"
    assert [path.name for path in tmp_path.iterdir()] == ["f.vdb"]


def test_values_beyond_half_are_stored_in_full(library, tmp_path):
    array = np.full((4, 4, 4), 70_000.0, np.float32)
    assert write_vdb(tmp_path / "f.vdb", VdbFrame([VdbGrid("t", array, half=True)])) == {"t": "float"}
    assert values_of(library.read(str(tmp_path / "f.vdb"), "t"), (0, 0, 0), (4, 4, 4)).max() == 70_000
    array[...] = -70_000
    assert write_vdb(tmp_path / "f.vdb", VdbFrame([VdbGrid("t", array, half=True)])) == {"t": "float"}


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (np.zeros((2, 2, 2, 4), np.float32), "4 components"),
        (np.zeros((2, 2, 2, 3), np.int32), "3 components of int32"),
        (np.zeros((2, 2, 2), np.complex64), "complex64"),
        (np.zeros((2, 2), np.float32), "components"),
    ],
)
@pytest.mark.usefixtures("library")
def test_fields_that_no_grid_can_hold_are_refused(tmp_path, values, says):
    with pytest.raises(FluidError, match=says) as caught:
        write_vdb(tmp_path / "f.vdb", VdbFrame([VdbGrid("rgba", values)]))
    assert caught.value.code == "export-field"
    assert '"rgba"' in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("library")
def test_a_field_is_exported_once(tmp_path):
    with pytest.raises(FluidError, match='called "density"') as caught:
        write_vdb(tmp_path / "f.vdb", VdbFrame([VdbGrid("density", smoke()), VdbGrid("density", smoke())]))
    assert caught.value.code == "export-field"


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf, np.float64(1e300)])
@pytest.mark.usefixtures("library")
def test_D14_numbers_that_are_none_are_refused_with_their_voxel(tmp_path, number):
    array = smoke(dtype=np.float64)
    array[2, 3, 4] = number
    with pytest.raises(FluidError, match=r"\(-3, 13, 4\)") as caught:
        write_vdb(tmp_path / "f.vdb", VdbFrame([VdbGrid("density", array, (-5, 10, 0))]))
    assert caught.value.code == "not-finite"
    leaves = np.zeros((2, 8, 8, 8, 3))
    leaves[1, 1, 2, 3, 2] = number
    sparse = LeafArray(np.array([[1, 0, 0], [0, 2, 100]], np.int32), leaves, (16, 24, 808))
    with pytest.raises(FluidError, match=r"\(-7, 18, 803\)"):
        write_vdb(tmp_path / "f.vdb", VdbFrame([VdbGrid("velocity", sparse, (-8, 0, 0))]))


@pytest.mark.usefixtures("library")
def test_D14_a_field_without_voxels_and_one_that_is_all_background_are_fine(tmp_path):
    frame = VdbFrame(
        [VdbGrid("none", np.zeros((0, 4, 4), np.float32)), VdbGrid("flat", np.full((9, 9, 9), 2.5), background=2.5)]
    )
    write_vdb(tmp_path / "f.vdb", frame)
    for grid in read_vdb(tmp_path / "f.vdb"):
        assert grid.active_box() is None


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize("background", [0.0, -0.0, 300.0, -1e-40, 3.4e38])
def test_D14_zeros_single_voxels_and_denormals_come_back_to_the_bit(tmp_path, background):
    background = np.float32(background).item()
    single = np.full((17, 5, 9), background, np.float32)
    single[16, 4, 8] = 1.5
    tiny = (np.arange(1, 4097, dtype=np.uint32) * 2047).view(np.float32).reshape(16, 16, 16)
    assert 0 < tiny.min() < tiny.max() < np.finfo(np.float32).tiny
    arrays = {"zero": np.zeros((9, 9, 9), np.float32), "single": single, "tiny": tiny, "minus": -tiny}
    write_vdb(tmp_path / "f.vdb", VdbFrame([VdbGrid(n, a, background=background) for n, a in arrays.items()]))
    found = {grid.name: grid for grid in read_vdb(tmp_path / "f.vdb")}
    for name, array in arrays.items():
        assert found[name].background == background
        dense = found[name].dense((0, 0, 0), array.shape)
        assert np.array_equal(dense, array)
        if background != 0.0:  # else -0.0 and 0.0 are one
            assert dense.tobytes() == array.tobytes()
    assert found["single"].active_count == 1


@pytest.mark.long
def test_D12_D14_a_frame_of_more_than_two_gigabytes(library, tmp_path):
    noise = np.random.default_rng(0).random((480, 480, 480), np.float32) + 1
    names = [f"noise{number}" for number in range(6)]
    kinds = write_vdb(tmp_path / "f.vdb", VdbFrame([VdbGrid(name, noise) for name in names]))
    assert list(kinds) == names
    assert (tmp_path / "f.vdb").stat().st_size > 1 << 31
    last = library.read(str(tmp_path / "f.vdb"), names[-1])
    assert last.activeVoxelCount() == noise.size
    corner = np.zeros((8, 8, 8), np.float32)
    last.copyToArray(corner, (472, 472, 472))
    assert np.array_equal(corner, noise[-8:, -8:, -8:])


@pytest.mark.long
def test_D14_512_cubed_voxels(library, tmp_path):
    ramp = np.broadcast_to(np.arange(1, 513, dtype=np.float32), (512, 512, 512))
    write_vdb(tmp_path / "f.vdb", VdbFrame([VdbGrid("ramp", ramp, half=True)]))
    found = library.read(str(tmp_path / "f.vdb"), "ramp")
    assert found.activeVoxelCount() == 512**3
    corner = np.zeros((8, 8, 8), np.float32)
    found.copyToArray(corner, (504, 0, 504))
    assert np.array_equal(corner, ramp[-8:, :8, -8:])


@pytest.mark.usefixtures("library")
def test_a_second_file_takes_the_place_of_the_first_as_a_whole(tmp_path):
    for value in (1.0, 2.0):
        write_vdb(tmp_path / "f.vdb", VdbFrame([VdbGrid("density", np.full((3, 3, 3), value))]))
    assert read_vdb(tmp_path / "f.vdb")[0].dense((0, 0, 0), (1, 1, 1)).item() == 2
    assert [path.name for path in tmp_path.iterdir()] == ["f.vdb"]


# ----- what others write


def test_a_level_set_of_openvdb_with_its_tiles_inside(library, tmp_path):
    sphere = library.createLevelSetSphere(15.0, (1, 2, 3), 0.25)
    sphere.name = "sphere"
    library.write(str(tmp_path / "s.vdb"), [sphere])
    (grid,) = read_vdb(tmp_path / "s.vdb")
    low, high = grid.active_box()
    low, size = low - 12, high - low + 24
    np.testing.assert_array_equal(grid.dense(low, size), values_of(sphere, low, size))
    assert (grid.kind, grid.grid_class) == ("float", "level set")
    assert grid.active_count == sphere.activeVoxelCount()
    assert len(grid.leaf_origins) == sphere.leafCount()
    assert (grid.tiles.values < 0).any()
    assert not grid.tiles.active.any()


def test_active_voxels_that_equal_the_background_stay_active(library, tmp_path):
    grid = library.FloatGrid(2.0)
    accessor = grid.getAccessor()
    accessor.setValueOn((-3, 4, 5), 2.0)
    accessor.setValueOff((-3, 4, 6), 7.0)
    grid.name = "odd"
    library.write(str(tmp_path / "f.vdb"), [grid])
    (found,) = read_vdb(tmp_path / "f.vdb")
    low, high = found.active_box()
    assert (low.tolist(), high.tolist()) == ([-3, 4, 5], [-2, 5, 6])
    np.testing.assert_array_equal(found.dense((-3, 4, 5), (1, 1, 2)), [[[2, 7]]])


def test_tiles_of_all_sizes(library, tmp_path):
    grid = library.FloatGrid(0.5)
    grid.fill((-4096, -4096, -4096), (-1, -1, -1), 3.0, active=True)
    grid.fill((128, 0, 0), (255, 127, 127), 4.0, active=False)
    grid.fill((0, 0, 0), (7, 7, 7), 5.0, active=True)
    grid.fill((16, 0, 0), (30, 7, 7), 6.0, active=True)
    grid.name = "tiles"
    library.write(str(tmp_path / "f.vdb"), [grid])
    (found,) = read_vdb(tmp_path / "f.vdb")
    assert sorted(found.tiles.edges.tolist()) == [8, 8, 128, 4096]
    assert found.active_count == grid.activeVoxelCount() == 4096**3 + 512 + 15 * 64
    for low in ((-12, -9, -10), (-1, 0, 0), (120, 0, 0), (250, 120, 120), (0, 0, 0), (20, -2, 0)):
        np.testing.assert_array_equal(found.dense(low, (20, 20, 20)), values_of(grid, low, (20, 20, 20)))


@pytest.mark.usefixtures("library")
def test_many_constant_blocks_of_different_value_packed_by_blosc(tmp_path):
    """Their values lie compressed in the tree, where only OpenVDB can get them."""
    array = np.repeat(np.repeat(np.repeat(smoke(8, (16, 16, 16)), 8, 0), 8, 1), 8, 2)
    write_vdb(tmp_path / "f.vdb", VdbFrame([VdbGrid("blocks", array)]))
    (found,) = read_vdb(tmp_path / "f.vdb")
    np.testing.assert_array_equal(found.dense((0, 0, 0), array.shape), array)


def test_two_leaves_at_the_ends_of_the_world_take_no_more_than_two_leaves(library, tmp_path):
    grid = library.Vec3SGrid((0, 0, 0))
    accessor = grid.getAccessor()
    ends = ((-1_000_000_000, 5, 5), (1_000_000_000, -5, 77))
    for number, end in enumerate(ends, 1):
        accessor.setValueOn(end, (number, 0.0, 0.0))
    grid.name = "far"
    library.write(str(tmp_path / "f.vdb"), [grid])
    (found,) = read_vdb(tmp_path / "f.vdb")
    assert len(found.leaf_origins) == 2
    for number, end in enumerate(ends, 1):
        assert found.dense(end, (1, 1, 1)).tolist() == [[[[number, 0, 0]]]]


def test_places_that_would_crash_openvdb_are_refused(library, tmp_path):
    grid = library.FloatGrid(0.0)
    grid.getAccessor().setValueOn((5, -2_000_000_000, 5), 1.0)
    grid.name = "far"
    library.write(str(tmp_path / "f.vdb"), [grid])
    with pytest.raises(FluidError, match="away from its origin") as caught:
        read_vdb(tmp_path / "f.vdb")
    assert caught.value.code == "grid-file-kind"
    for stored in (
        VdbGrid("far", smoke(), (0, 0, 2**30)),
        VdbGrid("far", LeafArray(np.zeros((1, 3), np.int32), np.ones((1, 8, 8, 8)), (8, 8, 8)), (-(2**31), 0, 0)),
    ):
        with pytest.raises(FluidError, match="from its origin") as caught:
            write_vdb(tmp_path / "g.vdb", VdbFrame([stored]))
        assert caught.value.code == "export-field"


@pytest.mark.parametrize(
    ("make", "kind", "values"),
    [
        ("DoubleGrid", "float", smoke().astype(np.float64)),
        ("BoolGrid", "float", smoke() > 0),
        ("Int32Grid", "int32", smoke(dtype=np.int32)),
        ("Int64Grid", "int32", smoke(dtype=np.int64)),
        ("Vec3DGrid", "vec3f", smoke(1, (4, 5, 17, 3)).astype(np.float64)),
        ("Vec3IGrid", "vec3f", smoke(1, (4, 5, 17, 3), np.int32)),
    ],
)
def test_grids_of_other_types_are_converted(library, tmp_path, make, kind, values):
    grid = getattr(library, make)()
    grid.copyFromArray(np.ascontiguousarray(values), (-3, 5, 100))
    grid.name = "g"
    library.write(str(tmp_path / "f.vdb"), [grid])
    (found,) = read_vdb(tmp_path / "f.vdb")
    assert found.kind == kind
    np.testing.assert_array_equal(found.dense((-3, 5, 100), values.shape[:3]), values)
    assert found.active_count == grid.activeVoxelCount()


def test_D17_half_grids_say_so(library, tmp_path):
    grid = library.FloatGrid(0.0)
    array = smoke() / np.float32(7)
    grid.copyFromArray(array)
    grid.name, grid.saveFloatAsHalf = "g", True
    library.write(str(tmp_path / "f.vdb"), [grid])
    (found,) = read_vdb(tmp_path / "f.vdb")
    assert found.kind == "half"
    np.testing.assert_array_equal(found.dense((0, 0, 0), array.shape), array.astype(np.float16))


def test_integers_beyond_32_bits_are_refused(library, tmp_path):
    grid = library.Int64Grid()
    grid.copyFromArray(np.full((2, 2, 2), 2**40), (0, 0, 0))
    grid.name = "big"
    library.write(str(tmp_path / "f.vdb"), [grid])
    with pytest.raises(FluidError, match="beyond 32 bits") as caught:
        read_vdb(tmp_path / "f.vdb")
    assert caught.value.code == "grid-file-kind"


def test_D17_grids_without_a_name_of_equal_names_and_with_one_tree(library, tmp_path, rotated):
    grids = []
    for name, value in (("", 1.0), ("a", 2.0), ("", 3.0), ("a", 4.0), ("a[1]", 5.0)):
        grid = library.FloatGrid(0.0)
        grid.copyFromArray(np.full((2, 3, 4), value))
        grid.name = name
        grids.append(grid)
    twin = grids[1].copy()
    twin.transform = library.createLinearTransform(rotated.T.tolist())
    library.write(str(tmp_path / "f.vdb"), [*grids, twin])
    found = read_vdb(tmp_path / "f.vdb")
    assert [grid.name for grid in found] == ["", "a", "", "a", "a[1]", "a"]
    assert [grid.dense((0, 0, 0), (1, 1, 1)).item() for grid in found] == [1, 2, 3, 4, 5, 2]
    np.testing.assert_array_equal(found[5].transform, rotated)


@pytest.mark.parametrize(
    "matrix",
    [
        np.eye(4),
        np.diag([0.1, 0.1, 0.1, 1.0]),
        np.diag([0.1, 0.2, 0.3, 1.0]),
        np.array([[0.1, 0, 0, 5], [0, 0.1, 0, -1e6], [0, 0, 0.1, 0.3], [0, 0, 0, 1.0]]),
        np.array([[0.1, 0, 0, 5], [0, 0.2, 0, 6], [0, 0, 0.3, 7], [0, 0, 0, 1.0]]),
        np.array([[0, -0.1, 0, 5], [0.1, 0, 0, 6], [0.05, 0, 0.3, 7], [0, 0, 0, 1.0]]),
    ],
)
@pytest.mark.usefixtures("library")
def test_transforms_of_every_kind_come_back_exactly(tmp_path, matrix):
    write_vdb(tmp_path / "f.vdb", VdbFrame([VdbGrid("g", smoke(), transform=matrix)]))
    np.testing.assert_array_equal(read_vdb(tmp_path / "f.vdb")[0].transform, matrix)


def test_D17_what_no_field_can_hold_is_passed_over_or_named(library, tmp_path):
    good, view = library.FloatGrid(), library.FloatGrid()
    good.name, view.name = "good", "view"
    view.transform = library.createFrustumTransform((0, 0, 0), (1, 1, 1), 0.5, 1.0, 1)
    points = library.PointDataGrid()
    points.name = "points"
    library.write(str(tmp_path / "f.vdb"), [points, good, view])
    assert [grid.name for grid in read_vdb(tmp_path / "f.vdb")] == ["good"]
    for name, says in (("points", "ptdataidx32"), ("view", "camera frustum"), ("nothing", "has no grid")):
        with pytest.raises(FluidError, match=says) as caught:
            read_vdb(tmp_path / "f.vdb", only=[name])
        assert caught.value.code == "grid-file-kind"
    library.write(str(tmp_path / "p.vdb"), [points])
    with pytest.raises(FluidError, match="none of its grids") as caught:
        read_vdb(tmp_path / "p.vdb")
    assert caught.value.code == "grid-file-kind"


BOTH = """
import sys, threading
from fluid_addon.volumes.openvdb_library import openvdb
found, gate = [], threading.Barrier(4)
def load():
    gate.wait()
    library = openvdb()
    grid = library.FloatGrid()
    grid.fill((0, 0, 0), (7, 7, 7), 1.0)
    found.append((library, grid.activeVoxelCount()))
threads = [threading.Thread(target=load) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert len({id(library) for library, _ in found}) == 1 and [count for _, count in found] == [512] * 4
"""


def test_threads_that_need_openvdb_first_at_the_same_time_get_one_and_the_same():
    """One that met the module half loaded crashed the process."""
    for _ in range(3):
        done = subprocess.run([sys.executable, "-c", BOTH], env=child_environment(), capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()
