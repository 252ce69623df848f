# SPDX-License-Identifier: GPL-3.0-or-later
"""Exported files hold what the fields held at that moment, lie where the domain lies, and start other simulations."""

from __future__ import annotations

import shutil
import threading

import numpy as np
import pytest

from fluid_addon.diagnostics import FluidError
from fluid_addon.engine import EngineEnvironment, FluidEngine, Format
from fluid_addon.engine.export import forget_locals
from fluid_addon.volumes.bake import Bake
from fluid_addon.volumes.grid import Grid
from fluid_addon.volumes.nanovdb_reader import read_nvdb
from fluid_addon.volumes.nanovdb_writer import write_nvdb
from fluid_addon.volumes.openvdb_files import read_vdb

SIZE = (13, 9, 21)


@pytest.fixture
def exporting(make_engine, tmp_path):
    """An engine whose exports go into a bake under tmp_path, and that bake."""
    bakes = []

    def open_bake(device):
        bakes.append(Bake.create(tmp_path, "test", script_hash="0", device=device))
        return bakes[0]

    def make(size=SIZE, **options):
        environment = EngineEnvironment(open_bake=open_bake, folder=tmp_path)
        return make_engine(size, environment=environment, **options), bakes

    return make


def ramp(size, offset=0.0):
    return (np.arange(np.prod(size), dtype=np.float32).reshape(size) / 16 + offset).astype(np.float32)


def test_frames_hold_the_fields_of_their_moment(exporting, define, set_field):
    engine, bakes = exporting(voxel_size=0.25, origin=(1.0, -2.0, 0.5))
    engine.add_field("density", Format.R32F, 0)
    engine.add_field("velocity", Format.R32G32B32F, 0)
    set_field(engine, "density", ramp(SIZE))
    engine.add_stencil(
        define(
            "grow",
            'WriteField("density_new", idx, ReadField("density", idx) + 1.0);\n'
            'WriteField("velocity", idx, vec3(coord));',
            "density",
            "density_new velocity",
        )
    )
    for frame in range(1, 8):
        engine.step(0.5)
        engine.export_vdb(f"out/smoke_{frame:03d}.vdb")
    engine.finish()
    (bake,) = bakes
    manifest = Bake.open(bake.folder)
    assert [(f.path, f.frame, f.time) for f in manifest.frames] == [
        (f"out/smoke_{n:03d}.vdb", n, n * 0.5) for n in range(1, 8)
    ]
    assert manifest.damaged(checksums=True) == []
    for frame in range(1, 8):
        grids = {g.name: g for g in read_vdb(bake.folder / f"out/smoke_{frame:03d}.vdb")}
        np.testing.assert_array_equal(grids["density"].dense((0, 0, 0), SIZE), ramp(SIZE, frame))
        expected = np.stack(np.indices(SIZE), axis=-1).astype(np.float32)
        np.testing.assert_array_equal(grids["velocity"].dense((0, 0, 0), SIZE), expected)
        low = grids["density"].transform @ np.array([-0.5, -0.5, -0.5, 1])
        np.testing.assert_allclose(low[:3], (1.0, -2.0, 0.5), atol=1e-12)
        assert grids["density"].grid_class == "fog volume"


def test_half_and_chosen_fields(exporting, set_field):
    engine, bakes = exporting()
    for name in ("a", "b", "c"):
        engine.add_field(name, Format.R32F, 0)
    engine.add_field("pair", Format.R32G32F, 0)
    engine.add_field("count", Format.R32I, -3)
    set_field(engine, "b", ramp(SIZE) + 0.001)
    engine.export_vdb("x_1.vdb", ["b", "count"], half=True)
    engine.export_vdb("x_2.vdb")
    engine.finish()
    first, second = bakes[0].frames
    assert dict(first.grids) == {"b": "half", "count": "int32"}
    assert set(second.grids) == {"a", "b", "c", "count"}
    (b, _count) = read_vdb(bakes[0].folder / "x_1.vdb")
    stored = b.dense((0, 0, 0), SIZE)
    np.testing.assert_array_equal(stored, (ramp(SIZE) + 0.001).astype(np.float16).astype(np.float32))
    with pytest.raises(FluidError) as caught:
        engine.export_vdb("x_3.vdb", ["pair"])
    assert caught.value.code == "export-field"


def test_a_run_exports_what_it_is_told(exporting):
    engine, bakes = exporting()
    engine.add_field("density", Format.R32F, 1)
    engine.add_field("pressure", Format.R32F, 0)
    engine.run(frames=2, export="smoke_##.vdb", fields=["density"], half=True)
    engine.finish()
    (bake,) = bakes
    assert [(frame.path, dict(frame.grids)) for frame in bake.frames] == [
        ("smoke_01.vdb", {"density": "half"}),
        ("smoke_02.vdb", {"density": "half"}),
    ]


def test_the_manifest_says_how_large_values_are_and_where_the_domain_lies(exporting, set_field):
    engine, bakes = exporting(voxel_size=0.5, origin=(1.0, -2.0, 0.25))
    engine.add_field("density", Format.R32F, 0)
    engine.add_field("ash", Format.R16F, 0)
    engine.add_field("count", Format.R32I, -3)
    engine.add_field("velocity", Format.R32G32B32F, 0)
    engine.add_field("hot", Format.R32F, 0)
    engine.add_field("broken", Format.R32F, 0)
    values, spoilt = ramp(SIZE), ramp(SIZE)
    spoilt[0, 0, 0], spoilt[1, 1, 1] = np.inf, np.nan
    set_field(engine, "density", values)
    set_field(engine, "hot", spoilt)
    set_field(engine, "broken", np.full(SIZE, np.nan, np.float32))
    engine.export_vdb("x_1.vdb", ["density", "ash", "count", "velocity"])
    engine.export_nvdb("x_2.nvdb", ["hot", "broken", "ash"])
    engine.finish()
    first, second = (frame.measured for frame in Bake.open(bakes[0].folder).frames)
    largest = float(values[-1, -1, -1])
    assert first.peaks == {"density": largest, "ash": 0.0, "count": -3.0}
    assert second.peaks == {"hot": largest, "ash": 0.0}
    assert first.level_sets == ()
    assert first.box == second.box == ((1.0, -2.0, 0.25), (7.5, 2.5, 10.75))


def test_the_manifest_knows_level_sets_and_a_domain_that_is_turned(exporting, tmp_path):
    turned = np.eye(4)
    turned[:3, :3] = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]) * 0.5
    distances = np.full((8, 16, 8), -1.0, np.float32)
    write_nvdb(tmp_path / "s.nvdb", [Grid.from_dense("surface", distances, (0, 0, 0), turned, 3.0, "level set")])
    engine, bakes = exporting(None, grid_file="s.nvdb")
    engine.add_field("surface", Format.R32F, 3.0)
    engine.export_vdb("x_1.vdb")
    engine.finish()
    (frame,) = bakes[0].frames
    assert frame.measured.level_sets == ("surface",)
    (low, high), size = frame.measured.box, engine.domain.size
    np.testing.assert_allclose(np.subtract(high, low), 0.5 * np.array([size[1], size[0], size[2]]))
    assert low[0] < high[0] <= 0.25  # what was along y lies along -x


def test_the_simulation_goes_on_while_frames_are_written(exporting, define):
    """Far more frames than the ring holds: each is whole, in order, and of its own step."""
    engine, bakes = exporting((32, 32, 32))
    engine.add_field("n", Format.R32F, 0)
    engine.add_stencil(define("count", 'WriteField("n_new", idx, ReadField("n", idx) + 1.0);', "n", "n_new"))
    for frame in range(1, 31):
        engine.step(1.0)
        engine.export_vdb(f"n_{frame}.vdb")
    engine.finish()
    assert [f.frame for f in bakes[0].frames] == list(range(1, 31))
    for frame in (1, 2, 17, 30):
        (grid,) = read_vdb(bakes[0].folder / f"n_{frame}.vdb")
        assert (grid.dense((0, 0, 0), (32, 32, 32)) == frame).all()


def test_an_error_of_the_writer_reaches_the_script(exporting, tmp_path):
    engine, bakes = exporting()
    engine.add_field("a", Format.R32F, 0)
    engine.export_vdb("a_1.vdb")
    engine.finish()
    shutil.rmtree(bakes[0].folder)
    bakes[0].folder.write_text("a file where the folder was")
    engine.export_vdb("a_2.vdb")
    with pytest.raises(FluidError) as caught:
        engine.finish()
    assert caught.value.kind.name in ("DISK", "SCRIPT")
    with pytest.raises(FluidError):
        engine.step(1.0)


@pytest.mark.parametrize("suffix", [".vdb", ".nvdb"])
def test_an_exported_file_starts_a_simulation_where_it_lay(exporting, set_field, suffix):
    engine, bakes = exporting(voxel_size=0.2, origin=(3, 4, 5))
    engine.add_field("density", Format.R32F, 0)
    engine.add_field("velocity", Format.R32G32B32F, 0)
    density = np.zeros(SIZE, np.float32)
    density[2:9, 1:8, 5:17] = ramp((7, 7, 12), 1.0)
    set_field(engine, "density", density)
    set_field(engine, "velocity", np.stack([density, 2 * density, -density], axis=-1))
    (engine.export_vdb if suffix == ".vdb" else engine.export_nvdb)(f"start_1{suffix}")
    engine.finish()

    notes = []
    environment = EngineEnvironment(folder=bakes[0].folder, note=notes.append)
    second = FluidEngine(grid_file=f"start_1{suffix}", environment=environment)
    try:
        assert second.domain.size == (7, 7, 12)
        assert second.domain.low == (2, 1, 5)
        np.testing.assert_allclose(second.domain.transform, engine.domain.transform)
        second.add_field("density", Format.R32F, 0)
        second.add_field("velocity", Format.R32G32B32F, 0)
        second.add_field("temperature", Format.R32F, 20)
        np.testing.assert_array_equal(second.array("density"), density[2:9, 1:8, 5:17])
        np.testing.assert_array_equal(second.array("velocity")[..., 1], 2 * density[2:9, 1:8, 5:17])
        assert (second.array("temperature") == 20).all()
        assert second.domain.origin == pytest.approx((3 + 2 * 0.2, 4 + 0.2, 5 + 5 * 0.2))
        assert second.sparse and not notes
    finally:
        second.close()


def test_a_larger_domain_is_centred_on_the_file_and_snapped_to_leaves(exporting, tmp_path):
    values = np.full((10, 10, 10), 2.0, np.float32)
    transform = np.diag([0.5, 0.5, 0.5, 1.0])
    write_nvdb(tmp_path / "small.nvdb", [Grid.from_dense("", values, (-37, 100, 3), transform)])
    engine, bakes = exporting((64, 48, 32), grid_file="small.nvdb")
    engine.add_field("density", Format.R32F, 7)
    low = np.array(engine.domain.low)
    assert (low % 8 == 0).all()
    centre = np.array([-32, 105, 8])
    assert (np.abs(low + np.array([64, 48, 32]) / 2 - centre) <= 4).all()
    field = engine.array("density")
    assert (field == 2).sum() == 1000 and (field == 7).sum() == field.size - 1000
    engine.export_nvdb("back_1.nvdb")
    engine.finish()
    (grid,) = read_nvdb(bakes[0].folder / "back_1.nvdb")
    np.testing.assert_array_equal(grid.dense((-37, 100, 3), (10, 10, 10)), values)
    np.testing.assert_allclose(grid.transform, transform)


def test_a_level_set_keeps_its_sign_and_class(exporting, tmp_path):
    x, y, z = np.indices((24, 24, 24)) - 11.5
    distance = np.clip((np.sqrt(x * x + y * y + z * z) - 8).astype(np.float32), -3, 3)
    grid = Grid.from_dense("surface", distance, (0, 0, 0), np.eye(4), 3.0, "level set")
    write_nvdb(tmp_path / "ball.nvdb", [grid])
    engine, bakes = exporting((40, 40, 40), grid_file="ball.nvdb")
    engine.add_field("surface", Format.R32F, 0)
    field = engine.array("surface")
    assert field.min() == -3 and field[0, 0, 0] == 3
    engine.export_vdb("ball_1.vdb")
    engine.finish()
    (written,) = read_vdb(bakes[0].folder / "ball_1.vdb")
    assert written.grid_class == "level set"


@pytest.mark.parametrize(
    ("format_", "code"), [(Format.R32I, "grid-mismatch"), (Format.R32G32B32F, "grid-mismatch")], ids=str
)
def test_a_field_of_another_kind_than_its_grid_is_refused(exporting, tmp_path, format_, code):
    write_nvdb(tmp_path / "d.nvdb", [Grid.from_dense("density", np.ones((8, 8, 8), np.float32), (0, 0, 0), np.eye(4))])
    engine, _ = exporting((8, 8, 8), grid_file="d.nvdb")
    with pytest.raises(FluidError) as caught:
        engine.add_field("density", format_, 0)
    assert caught.value.code == code


def test_what_half_rounds_to_the_background_is_not_active(exporting, set_field):
    engine, bakes = exporting()
    engine.add_field("density", Format.R32F, 0.1)
    values = np.full(SIZE, 0.1, np.float32)
    values[3, 4, 5] = 0.7
    values[0, 0, 0] = 0.1 + 1e-6
    set_field(engine, "density", values)
    engine.export_vdb("d_1.vdb", half=True)
    engine.export_vdb("d_2.vdb")
    engine.finish()
    active = [read_vdb(bakes[0].folder / f"d_{n}.vdb")[0].active_count for n in (1, 2)]
    assert active == [1, 2]


def test_a_kept_error_whose_causes_go_round_in_a_circle_ends():
    first, second = OSError("the disk"), OSError("the clean-up")
    first.__cause__, second.__cause__ = second, first
    ended = threading.Thread(target=forget_locals, args=(first,), daemon=True)
    ended.start()
    ended.join(5.0)
    assert not ended.is_alive()
