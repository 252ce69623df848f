# SPDX-License-Identifier: GPL-3.0-or-later
"""Fields with larger or smaller voxels than the domain's: their size, their place in the world, and samples across."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from fluid_addon.diagnostics import FluidError
from fluid_addon.engine import EngineEnvironment, Format
from fluid_addon.engine.block import Block
from fluid_addon.engine.domain import Domain, parse_boundary
from fluid_addon.gpu.memory import Residence
from fluid_addon.volumes.bake import Bake
from fluid_addon.volumes.grid import Grid
from fluid_addon.volumes.nanovdb_writer import write_nvdb
from fluid_addon.volumes.openvdb_files import read_vdb
from tests.engine.lookups import BACKGROUND, coords, random_faces, sample, sample_faces

ODD = (7, 5, 9)
SIZES = {0.25: (2, 2, 3), 0.5: (4, 3, 5), 1: ODD, 2: (14, 10, 18), 3: (21, 15, 27), 4: (28, 20, 36)}


@pytest.mark.parametrize("resolution", SIZES)
def test_a_field_has_its_own_voxels(make_engine, define, resolution):
    engine = make_engine(ODD, voxel_size=0.5)
    engine.add_field("a", Format.R32G32B32A32F, 7, resolution=resolution)
    code = 'WriteField("a", coord, vec4(domain_size, voxel_size) + (InDomain(coord) && idx >= 0 ? 0.0 : 1e9));'
    engine.add_stencil(define("say", code, "", "a"))
    size = SIZES[resolution]
    assert engine.array("a").shape == (*size, 4)
    assert engine.reduce("a", "sum") == (7 * size[0] * size[1] * size[2],) * 4
    engine.step(1.0)
    assert (engine.array("a") == np.array([*size, 0.5 / resolution], np.float32)).all()
    last = tuple(n - 1 for n in size)
    assert engine.read("a", last) == (*size, np.float32(0.5 / resolution))
    with pytest.raises(FluidError):
        engine.read("a", size)
    engine.fill("a", 3)
    assert engine.reduce("a", "max") == (3, 3, 3, 3)
    assert engine._simulation.memory.plan().rows == (("a", 16 * size[0] * size[1] * size[2], Residence.DEVICE),)


@pytest.mark.parametrize(
    ("rule", "here", "there"),
    [("open", 1, 2), ("clamp", 2, 1), ("periodic", 1, 0.5), ("open", 0.25, 3), ("clamp", 3, 2), ("periodic", 0.5, 2)],
)
def test_samples_across_resolutions(make_engine, define, set_field, rule, here, there):
    base = (8, 4, 12) if rule == "periodic" else ODD
    engine = make_engine(base, boundary=rule)
    engine.add_field("far", Format.R32F, 0.5, resolution=there)
    engine.add_field("same", Format.R32F, 0.5, resolution=here)
    engine.add_field("answer", Format.R32F, 0, resolution=here)
    domain = Domain.box(base, None, None, parse_boundary(rule))
    far = np.random.default_rng(2).normal(size=domain.at(Fraction(there)).size).astype(np.float32)
    same = np.random.default_rng(3).normal(size=domain.at(Fraction(here)).size).astype(np.float32)
    set_field(engine, "far", far)
    set_field(engine, "same", same)
    place = "1.25 * vec3(coord) - vec3(1.5, 0.75, 2.0)"
    code = f'WriteField("answer", idx, SampleField("far", {place}) + 4.0 * SampleField("same", {place}));'
    engine.add_stencil(define("ask", code, "far same", "answer"))
    engine.step(1.0)
    position = 1.25 * coords(same.shape) - [1.5, 0.75, 2.0]
    wanted = sample(far, (position + 0.5) * there / here - 0.5, rule, 0.5) + 4 * sample(same, position, rule, 0.5)
    np.testing.assert_allclose(engine.array("answer"), wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("staggered", "here", "there"), [(False, 1, 2), (True, 2, 1), (False, 1, 0.5), (True, 2, 0.25), (True, 1, 2)]
)
def test_a_linear_velocity_is_exact_at_every_resolution(make_engine, define, set_field, staggered, here, there):
    """In the domain's voxels, counted from its low corner, where all numbers are exact."""
    base = (12, 8, 16)
    engine = make_engine(base)
    engine.add_field("flow", Format.R32G32B32F, 0, staggered=staggered, resolution=there)
    engine.add_field("answer", Format.R32G32B32F, 0, resolution=here)
    slope = np.array([[0.5, -1, 0.25], [2, 0.5, -0.5], [-0.25, 1, 1]])
    size = tuple(int(n * there) for n in base)
    faces = 0.5 * np.eye(3) * staggered
    stored = [((coords(size) + 0.5 - faces[i]) / there) @ slope[i] + i for i in range(3)]
    set_field(engine, "flow", np.stack(stored, axis=-1))
    engine.add_stencil(define("ask", 'WriteField("answer", idx, SampleField("flow", vec3(coord)));', "flow", "answer"))
    engine.step(1.0)
    answer = engine.array("answer")
    edge = int(np.ceil(here / there))
    inside = (slice(edge, -edge),) * 3
    wanted = ((coords(answer.shape[:3]) + 0.5) / here) @ slope.T + [0, 1, 2]
    np.testing.assert_array_equal(answer[inside], wanted[inside])


@pytest.mark.parametrize("rules", [("open", "clamp", "periodic"), ("clamp", "periodic", "open")], ids="-".join)
def test_faces_across_resolutions(make_engine, define, set_field, rules):
    base = (8, 4, 12)
    engine = make_engine(base, boundary=list(rules))
    engine.add_field("flow", Format.R32G32B32F, BACKGROUND, staggered=True, resolution=0.5)
    engine.add_field("answer", Format.R32G32B32F, 0)
    values = random_faces(size=(4, 2, 6))
    set_field(engine, "flow", values)
    code = 'vec3 p = 1.5 * vec3(coord) - 4.0; vec3 v = SampleField("flow", p); v.y = SampleField("flow", p).y;'
    engine.add_stencil(define("ask", code + 'WriteField("answer", idx, v);', "flow", "answer"))
    engine.step(1.0)
    position = (1.5 * coords(base) - 4 + 0.5) / 2 - 0.5
    np.testing.assert_allclose(engine.array("answer"), sample_faces(values, position, rules), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("rule", ["open", "clamp", "periodic"])
def test_a_stencil_at_another_resolution_computes_the_same_bits_in_every_block(make_engine, define, rule):
    code = """
        float v = float(coord.x * 100 + coord.y * 10 + coord.z) + ReadField(fine, coord + ivec3(1, -2, 3));
        v += 0.5 * ReadField(fine, coord - ivec3(3, 1, 2)) + ReadField(fine, coord.zxy);
        v += SampleField(coarse, vec3(coord));
        WriteField(fine_new, idx, 0.25 * v);
    """
    found = []
    for block in (Block(), Block(4, 4, True), Block(2, 4, True)):
        engine = make_engine((4, 3, 8), boundary=rule)
        engine._declarations.largest_blocks[2] = block
        engine.add_field("coarse", Format.R32F, 1.5)
        engine.add_field("fine", Format.R32F, 0.5, resolution=2)
        engine.add_stencil(define("mix", code, "fine coarse", "fine_new", iterations=3))
        assert engine._declarations.stencils["mix"].block.voxels > 1 or block == Block()
        engine.step(1.0)
        found.append(engine.array("fine"))
    assert (found[0] != 0.5).any()
    np.testing.assert_array_equal(found[1], found[0])
    np.testing.assert_array_equal(found[2], found[0])


def test_an_export_lies_where_the_domain_lies(make_engine, define, set_field, tmp_path):
    bakes = []

    def open_bake(device):
        bakes.append(Bake.create(tmp_path, "test", script_hash="0", device=device))
        return bakes[0]

    engine = make_engine(
        ODD, voxel_size=0.5, origin=(1, -2, 0.25), environment=EngineEnvironment(open_bake=open_bake), boundary="clamp"
    )
    flow = random_faces(size=SIZES[2])
    engine.add_field("flow", Format.R32G32B32F, 0, staggered=True, resolution=2)
    set_field(engine, "flow", flow)
    for name, resolution in (("density", 1), ("fine", 3), ("coarse", 0.5)):
        engine.add_field(name, Format.R32F, 0, resolution=resolution)
        engine.add_stencil(define(f"fill_{name}", f'WriteField("{name}", idx, 1.0 + coord.x);', "", name))
    engine.step(1.0)
    engine.export_vdb("a_001.vdb")
    engine.finish()
    grids = {grid.name: grid for grid in read_vdb(bakes[0].folder / "a_001.vdb")}
    for name, resolution in (("density", 1), ("fine", 3), ("coarse", 0.5), ("flow", 2)):
        size = SIZES[resolution]
        low = grids[name].transform @ [-0.5, -0.5, -0.5, 1]
        np.testing.assert_allclose(low[:3], (1, -2, 0.25), atol=1e-12)
        np.testing.assert_allclose(np.diag(grids[name].transform)[:3], 0.5 / resolution)
        if name != "flow":
            np.testing.assert_array_equal(grids[name].dense((0, 0, 0), size), 1.0 + np.indices(size)[0])
    found = grids["flow"].dense((0, 0, 0), SIZES[2])
    mean = 0.5 * (flow + np.stack([np.roll(flow[..., i], -1, i) for i in range(3)], axis=-1))
    for axis in range(3):
        last = tuple(-1 if a == axis else slice(None) for a in range(3))
        mean[(*last, axis)] = 0.5 * flow[(*last, axis)]
    np.testing.assert_array_equal(found, mean)


def test_auto_substeps_count_the_voxels_of_the_velocity(make_engine):
    steps = []
    for resolution in (1, 2):
        seen = []
        environment = EngineEnvironment(observe=lambda kind, details, seen=seen: seen.append((kind, details)))
        engine = make_engine((8, 8, 8), voxel_size=1.0, environment=environment)
        engine.add_field("velocity", Format.R32G32B32F, (12, 0, 0), resolution=resolution)
        lengths = list(engine._stepping._adaptive(1.0, 3.0, 1))
        steps.append(len(lengths))
    assert steps == [4, 8]


def test_no_other_resolutions(make_engine):
    engine = make_engine()
    for resolution in (0, -1, 0.3, 5, 1.5, float("nan"), float("inf")):
        with pytest.raises(FluidError) as error:
            engine.add_field("a", Format.R32F, 0, resolution=resolution)
        assert error.value.code == "bad-argument"


def test_a_period_is_whole_voxels(make_engine):
    engine = make_engine((8, 6, 5), boundary=["periodic", "periodic", "open"])
    engine.add_field("half", Format.R32F, 0, resolution=0.5)
    with pytest.raises(FluidError) as error:
        engine.add_field("quarter", Format.R32F, 0, resolution=0.25)
    assert error.value.code == "bad-extent"
    assert "quarter" not in engine.fields


def test_a_grid_file_starts_fields_of_its_own_voxels_only(make_engine, tmp_path):
    cube = np.ones((8, 8, 8), np.float32)
    write_nvdb(tmp_path / "a.nvdb", [Grid.from_dense("density", cube, (8, 0, -16), np.diag([0.5, 0.5, 0.5, 1]))])
    engine = make_engine(None, grid_file="a.nvdb", environment=EngineEnvironment(folder=tmp_path))
    with pytest.raises(FluidError) as error:
        engine.add_field("density", Format.R32F, 0, resolution=2)
    assert error.value.code == "grid-mismatch"
    assert engine.domain.at(Fraction(2)).world_box == engine.domain.world_box


@pytest.mark.parametrize(("staggered", "grid_class"), [(True, "unknown"), (False, "staggered"), (True, "staggered")])
def test_a_velocity_from_a_file_comes_to_its_faces_or_centres(make_engine, tmp_path, staggered, grid_class):
    values = np.random.default_rng(4).normal(size=(8, 8, 8, 3)).astype(np.float32)
    grid = Grid.from_dense("flow", values, (0, 0, 0), np.eye(4), (0.0, 0.0, 0.0), grid_class)
    write_nvdb(tmp_path / "a.nvdb", [grid])
    engine = make_engine((8, 8, 8), grid_file="a.nvdb", environment=EngineEnvironment(folder=tmp_path))
    engine.add_field("flow", Format.R32G32B32F, 0, staggered=staggered)
    wanted = values
    if staggered != (grid_class == "staggered"):
        wanted = values.copy()
        for axis in range(3):
            other = np.roll(values[..., axis], 1 if staggered else -1, axis)
            edge = [slice(None)] * 3
            edge[axis] = 0 if staggered else -1
            other[tuple(edge)] = 0
            wanted[..., axis] = 0.5 * (values[..., axis] + other)
    np.testing.assert_array_equal(engine.array("flow"), wanted)
