# SPDX-License-Identifier: GPL-3.0-or-later
"""A field takes the values of a file's grid: as they are, between voxels, on faces, from this very run's exports."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from fluid_addon.diagnostics import FluidError
from fluid_addon.engine import EngineEnvironment, Format
from fluid_addon.engine import resample as resample_module
from fluid_addon.engine.address import Boundary
from fluid_addon.engine.domain import Domain
from fluid_addon.engine.resample import resampled
from fluid_addon.run import RunRequest
from fluid_addon.run.session import check_script, run_script
from fluid_addon.volumes.bake import Bake
from fluid_addon.volumes.grid import Grid
from fluid_addon.volumes.nanovdb_writer import write_nvdb
from fluid_addon.volumes.openvdb_files import VdbFrame, VdbGrid, write_vdb

OPEN = (Boundary.OPEN,) * 3


def box(size, voxel_size=1.0, origin=(0.0, 0.0, 0.0)) -> Domain:
    return Domain.box(size, voxel_size, origin, OPEN)


def grid_on(domain: Domain, values, background=0.0, grid_class="unknown", name="a") -> Grid:
    return Grid.from_dense(name, values, domain.low, domain.transform, background, grid_class)


def centres(domain: Domain) -> np.ndarray:
    """World positions of the voxels, (nx, ny, nz, 3)."""
    step, corner = domain.voxel_size, domain.origin
    along = [corner[i] + step * (np.arange(domain.size[i]) + 0.5) for i in range(3)]
    return np.stack(np.meshgrid(*along, indexing="ij"), axis=-1)


@pytest.fixture
def numbers() -> np.ndarray:
    return np.random.default_rng(5).random((9, 6, 12), dtype=np.float32) + 1


# ===== Resampling


def test_the_same_voxels_are_copied_as_they_are(numbers):
    domain = box(numbers.shape, 0.1, (3.0, -2.0, 0.7))
    assert (resampled(grid_on(domain, numbers), domain) == numbers).all()


def test_an_offset_of_whole_voxels_copies_them_too(numbers):
    source = box(numbers.shape, 0.1, (0.0, 0.0, 0.0))
    target = box((8, 8, 8), 0.1, (0.4, -0.2, 0.3))
    expected = np.zeros((8, 8, 8), np.float32)
    expected[:5, 2:] = numbers[4:, :, 3:11]
    assert (resampled(grid_on(source, numbers), target) == expected).all()


@pytest.mark.parametrize("voxel_size", [0.05, 0.13, 0.25])
def test_a_linear_field_is_met_exactly_between_voxels(voxel_size):
    source = box((20, 16, 18), 0.1)
    slope = np.array([1.0, -2.0, 0.5])
    values = (centres(source) @ slope + 4).astype(np.float32)
    target = box((7, 6, 5), voxel_size, (0.11, 0.12, 0.13))
    found = resampled(grid_on(source, values), target)
    np.testing.assert_allclose(found, centres(target) @ slope + 4, rtol=0, atol=3e-6)


def test_twice_the_voxel_size_is_the_mean_of_eight(numbers):
    source, target = box(numbers.shape, 0.5), box((4, 3, 6), 1.0)
    means = numbers[:8].reshape(4, 2, 3, 2, 6, 2).mean((1, 3, 5))
    np.testing.assert_allclose(resampled(grid_on(source, numbers), target), means, rtol=1e-6)


def test_beside_the_file_lies_the_background_and_the_way_there_is_half(numbers):
    source = box((8, 8, 8), 1.0)
    target = box((4, 1, 1), 0.5, (-0.75, 3.25, 3.25))
    values = np.full((8, 8, 8), 3.0, np.float32)
    found = resampled(grid_on(source, values, background=1.0), target)[:, 0, 0]
    np.testing.assert_array_equal(found, [1.0, 2.0, 3.0, 3.0])
    far = box((4, 4, 4), 1.0, (1e7, -1e7, 0))
    assert (resampled(grid_on(source, values, background=1.0), far) == 1).all()


def test_the_blocks_of_the_work_do_not_show(numbers, monkeypatch):
    source, target = box(numbers.shape, 0.1), box((17, 15, 13), 0.07, (-0.1, -0.1, -0.1))
    whole = resampled(grid_on(source, numbers), target)
    monkeypatch.setattr(resample_module, "BLOCK_VOXELS", 60)
    np.testing.assert_array_equal(resampled(grid_on(source, numbers), target), whole)


def test_whole_numbers_go_to_the_nearest_voxel():
    source, target = box((4, 4, 4), 1.0), box((8, 8, 8), 0.5)
    values = np.arange(64, dtype=np.int32).reshape(4, 4, 4)
    assert (resampled(grid_on(source, values, 0), target) == values.repeat(2, 0).repeat(2, 1).repeat(2, 2)).all()


def test_vectors_at_centres_go_to_faces_and_back():
    domain = box((6, 5, 4), 0.5)
    vectors = np.random.default_rng(2).random((6, 5, 4, 3), dtype=np.float32)
    on_faces = resampled(grid_on(domain, vectors, (0.0, 0.0, 0.0)), domain, on_faces=True)
    np.testing.assert_array_equal(on_faces[1:, ..., 0], (vectors[1:, ..., 0] + vectors[:-1, ..., 0]) / 2)
    np.testing.assert_array_equal(on_faces[0, ..., 0], vectors[0, ..., 0] / 2)
    np.testing.assert_array_equal(on_faces[:, :, 1:, 2], (vectors[:, :, 1:, 2] + vectors[:, :, :-1, 2]) / 2)
    staggered = grid_on(domain, vectors, (0.0, 0.0, 0.0), "staggered")
    at_centres = resampled(staggered, domain, from_faces=True)
    np.testing.assert_array_equal(at_centres[:, :-1, :, 1], (vectors[:, :-1, :, 1] + vectors[:, 1:, :, 1]) / 2)
    assert (resampled(staggered, domain, on_faces=True, from_faces=True) == vectors).all()


def test_a_mirrored_axis_is_no_turn():
    domain = box((4, 4, 4))
    values = np.arange(64, dtype=np.float32).reshape(4, 4, 4) + 1
    mirrored = np.diag([-1.0, 1.0, 1.0, 1.0])
    mirrored[:3, 3] = (3.5, 0.5, 0.5)
    assert (resampled(Grid.from_dense("a", values, (0, 0, 0), mirrored), domain) == values[::-1]).all()


# ===== Loading


def write_smoke(folder: Path, values, transform=None, background=0.0, grid_class="unknown", name="density") -> Path:
    path = folder / "smoke.nvdb"
    write_nvdb(path, [Grid.from_dense(name, values, (0, 0, 0), _unit(transform), background, grid_class)])
    return path


def _unit(transform):
    if transform is not None:
        return transform
    made = np.eye(4)
    made[:3, 3] = 0.5
    return made


@pytest.fixture
def loader(make_engine, tmp_path):
    """An engine of 8³ unit voxels in a folder of files, with a field "a" whose background is -1."""
    engine = make_engine((8, 8, 8), voxel_size=1.0, environment=EngineEnvironment(folder=tmp_path))
    engine.add_field("a", Format.R32F, -1)
    return engine


def code_of(action) -> str:
    with pytest.raises(FluidError) as caught:
        action()
    return caught.value.code


def test_a_field_takes_a_grid_in_the_middle_of_a_run(loader, define, tmp_path):
    values = np.zeros((8, 8, 8), np.float32)
    values[2:5, 3, 4] = 7
    write_smoke(tmp_path, values)
    loader.add_stencil(define("more", 'WriteField("a", idx, ReadField("a", idx) + 1.0);', "a", "a"))
    for _ in range(3):
        loader.step(0.1)
        loader.load("a", "smoke.nvdb", "density")
    loader.step(0.1)
    assert (loader.array("a") == np.where(values == 7, 8, 0)).all()  # the field's background where nothing is active


def test_a_vdb_with_an_unnamed_grid_and_half_a_field(make_engine, tmp_path):
    values = np.random.default_rng(1).random((8, 8, 8), dtype=np.float32) + 1
    frame = VdbFrame([VdbGrid("", values, (0, 0, 0), _unit(None), 0.0, "unknown", False)], 1, 0.0)
    write_vdb(tmp_path / "smoke.vdb", frame)
    engine = make_engine((16, 16, 16), voxel_size=1.0, environment=EngineEnvironment(folder=tmp_path))
    engine.add_field("density", Format.R16F, 0, resolution=0.5)
    engine.load("density", "smoke.vdb")
    x = (centres(box((8, 8, 8), 2.0))[..., 0] - 0.5).max()
    assert x == 14.5
    expected = np.zeros((8, 8, 8), np.float32)
    expected[:4, :4, :4] = values.reshape(4, 2, 4, 2, 4, 2).mean((1, 3, 5))
    np.testing.assert_allclose(engine.array("density"), expected, rtol=2e-3)


def test_a_staggered_field_of_finer_voxels_takes_a_linear_flow(make_engine, tmp_path):
    source = box((8, 8, 8))
    flow = (centres(source) * [1.0, -2.0, 0.5] + 20).astype(np.float32)
    write_smoke(tmp_path, flow, background=(0.0, 0.0, 0.0), name="flow")
    engine = make_engine((4, 4, 4), voxel_size=1.0, origin=(2, 2, 2), environment=EngineEnvironment(folder=tmp_path))
    engine.add_field("flow", Format.R32G32B32F, 0, staggered=True, resolution=2)
    engine.load("flow", "smoke.nvdb")
    faces = np.stack([centres(box((8, 8, 8), 0.5, (2, 2, 2)))[..., i] - 0.25 for i in range(3)], axis=-1)
    np.testing.assert_allclose(engine.array("flow"), faces * [1.0, -2.0, 0.5] + 20, rtol=1e-6)


def test_a_level_set_keeps_its_inside_and_its_class(loader, tmp_path):
    distance = (np.linalg.norm(centres(box((8, 8, 8))) - 4, axis=-1) - 3).astype(np.float32).clip(-2, 2)
    write_smoke(tmp_path, distance, background=2.0, grid_class="level set", name="a")
    loader.load("a", "smoke.nvdb")
    assert (loader.array("a") == distance).all()
    assert loader.fields["a"].grid_class == "level set"


def test_what_cannot_be_loaded_is_refused(loader, tmp_path):
    values = np.ones((8, 8, 8), np.float32)
    turned = _unit(None)
    turned[:2, :2] = [[0.8, -0.6], [0.6, 0.8]]
    write_smoke(tmp_path, values, turned)
    assert code_of(lambda: loader.load("a", "smoke.nvdb", "density")) == "grid-mismatch"
    write_smoke(tmp_path, np.ones((8, 8, 8, 3), np.float32), background=(0.0, 0.0, 0.0))
    assert code_of(lambda: loader.load("a", "smoke.nvdb", "density")) == "grid-mismatch"
    assert code_of(lambda: loader.load("a", "smoke.nvdb")) == "grid-file-kind"
    assert code_of(lambda: loader.load("a", "other.nvdb")) == "grid-file-missing"
    assert code_of(lambda: loader.load("a", "smoke.txt")) == "grid-file-kind"
    assert code_of(lambda: loader.load("a", r"\\host\share\smoke.vdb")) == "grid-file-missing"
    assert code_of(lambda: loader.load("b", "smoke.nvdb")) == "unknown-field"
    assert (loader.array("a") == -1).all()


def test_nan_in_a_file_is_named_with_its_voxel(make_engine, tmp_path):
    values = np.ones((8, 8, 8), np.float32)
    values[5, 1, 2] = np.nan
    write_smoke(tmp_path, values)
    environment = EngineEnvironment(folder=tmp_path)
    engine = make_engine((8, 8, 8), voxel_size=1.0, environment=environment)
    engine.add_field("a", Format.R32F, 0)
    for load in (
        lambda: engine.load("a", "smoke.nvdb", "density"),
        lambda: make_engine(None, grid_file="smoke.nvdb", environment=environment).add_field("density", Format.R32F),
    ):
        with pytest.raises(FluidError) as caught:
            load()
        assert caught.value.code == "not-a-number"
        assert "first at voxel {5, 1, 2}" in str(caught.value)


# ===== Exports of the same run

TWO = """
local low = FluidEngine.new{domain_size = {8, 8, 8}, voxel_size = 0.2}
local fine = FluidEngine.new{domain_size = {16, 16, 16}, voxel_size = 0.1}
low:add_field("density", Format.R32F, 0)
fine:add_field("density", Format.R32F, 0)
low:add_stencil("fill", {outputs = {"density"}, code = [[ WriteField("density", idx, float(frame)); ]]})
for frame = 1, 4 do
    low:step(0.1)
    low:export_vdb("low_" .. frame .. ".vdb")
    fine:load("density", "low_" .. frame .. ".vdb")
    assert(fine:read("density", {8, 8, 8}) == frame)
    fine:step(0.1)
    fine:export_nvdb("fine_" .. frame .. ".nvdb")
end
low:load("density", "fine_4.nvdb")
assert(low:read("density", {4, 4, 4}) == 4)
"""


def outcome(source: str, folder: Path, **options) -> tuple[int, list[str]]:
    events = []
    request = RunRequest(script=str(folder / "x.lua"), source=source, output=str(folder / "bakes"), **options)
    status = run_script(request, events.append, threading.Event())
    return status, [item["message"] for e in events if e["event"] == "error" for item in e["diagnostics"]]


def test_a_run_loads_what_it_has_exported_also_from_another_engine(tmp_path):
    assert outcome(TWO, tmp_path) == (0, [])
    assert check_script(RunRequest(script=str(tmp_path / "x.lua"), source=TWO)) == []


def test_behind_the_runs_last_frame_nothing_is_loaded(tmp_path):
    """Another engine of the script goes on to frames that the first one never exported."""
    without_looking = "\n".join(line for line in TWO.splitlines() if "assert" not in line)
    assert outcome(without_looking, tmp_path, last_frame=1) == (0, [])


def test_an_export_that_the_run_leaves_out_cannot_be_loaded(tmp_path):
    status, messages = outcome(TWO, tmp_path, first_frame=3)
    assert status == 3
    assert messages == ['"low_1.vdb" was not exported, because the run keeps no frame before 3.']


def test_an_export_with_nan_is_not_waited_for_in_vain(make_engine, define, tmp_path):
    bake = Bake.create(tmp_path, "burn", script_hash="", device="")
    environment = EngineEnvironment(folder=tmp_path, open_bake=lambda _device: bake)
    engine = make_engine((8, 8, 8), environment=environment)
    engine.add_field("a", Format.R32F, 0)
    engine.add_stencil(define("burn", 'WriteField("a", idx, sqrt(-1.0 - time));', outputs="a"))
    engine.step(0.1)
    engine.export_vdb("a_1.vdb")
    assert code_of(lambda: engine.load("a", "a_1.vdb")) == "not-a-number"


def test_a_check_looks_at_the_file_and_its_grid(tmp_path):
    write_smoke(tmp_path, np.ones((8, 8, 8), np.float32))
    begin = "sim = FluidEngine.new{domain_size = {8, 8, 8}}\nsim:add_field('density', Format.R32F, 0)\n"

    def problems(line: str) -> list[str]:
        request = RunRequest(script=str(tmp_path / "x.lua"), source=begin + line)
        return [problem.code for problem in check_script(request)]

    assert problems("for _ = 1, 5 do sim:load('density', 'smoke.nvdb') end") == []
    assert problems("sim:load('density', 'smoke.nvdb', {grid = 'heat'})") == ["grid-file-kind"]
    assert problems("sim:load('density', 'gone.nvdb')") == ["grid-file-missing"]
    assert problems("sim:step(1) sim:export_vdb('own_1.vdb') sim:load('density', 'own_1.vdb')") == []
