# SPDX-License-Identifier: GPL-3.0-or-later
"""Sparse domains that grow, shrink and rest give what dense ones give, wherever they are active."""

from __future__ import annotations

import numpy as np
import pytest

from fluid_addon.engine import Format
from fluid_addon.engine.solver import SolverDefinition

SIZE = (64, 56, 24)
ABOVE = 1e-3
STORAGES = [{"sparse": True}, {"sparse": True, "gpu_count": 2}]
ADVECT = """
    vec3 back = vec3(coord) - dt / voxel_size * ReadField("velocity", idx);
    WriteField("density_new", idx, SampleField("density", back));
"""


def ball(centre, radius, size=SIZE) -> np.ndarray:
    away = np.linalg.norm(np.stack(np.indices(size), -1) - np.array(centre), axis=-1)
    return np.clip(2 * (1 - away / radius), 0, 1).astype(np.float32)


def awake(engine) -> np.ndarray:
    """Which voxels of the domain are active."""
    leaves = engine._simulation.leaves
    shape = leaves.box.shape
    mask = np.zeros(shape, np.bool_)
    mask[tuple(leaves.box.coords(leaves.active).T)] = True
    x, y, z = engine.domain_size
    return mask.repeat(8, 0).repeat(8, 1).repeat(8, 2)[:x, :y, :z]


@pytest.mark.parametrize("storage", STORAGES, ids=["one", "two"])
def test_what_turns_is_followed_without_loss(make_engine, define, set_field, storage):
    """A quarter of a turn; weight is what it is in the dense domain, and outside there is next to nothing."""

    def start(**options):
        engine = make_engine(SIZE, voxel_size=1.0, **options)
        engine.add_field("density", Format.R32F, 0)
        engine.add_field("velocity", Format.R32G32B32F, 0)
        set_field(engine, "density", ball((16, 28, 12), 6))
        turn = f"vec3 r = vec3(coord) - vec3({SIZE[0] / 2}, {SIZE[1] / 2}, 0.0);"
        engine.add_stencil(define("turn", turn + 'WriteField("velocity", idx, vec3(-r.y, r.x, 0.0));', "", "velocity"))
        engine.add_stencil(define("advect", ADVECT, "density velocity", "density_new"))
        engine.activate("density", above=ABOVE, margin=0.25)
        leaves = engine._simulation.leaves
        if leaves is not None:
            leaves.start_from(leaves.box.touched(np.array([[8, 20, 4]]), np.array([[24, 36, 20]])))
        return engine

    dense, sparse = start(), start(**storage)
    seen = []
    for _ in range(12):
        for engine in (dense, sparse):
            engine.step(np.pi / 2 / 12)
        seen.append(awake(sparse))
    active, expected, found = awake(sparse), dense.array("density"), sparse.array("density")
    assert max(mask.mean() for mask in seen) < 0.5
    assert (active & ~seen[0]).any() and (seen[0] & ~active).any(), "leaves wake ahead, and sleep behind"
    assert np.abs(expected[~active]).max() <= ABOVE
    assert (found[~active] == 0).all()
    heavy = expected > 0.05
    assert heavy.sum() > 100 and active[heavy].all()
    np.testing.assert_allclose(found[heavy], expected[heavy], atol=ABOVE)
    assert abs(found.sum(dtype=np.float64) / expected.sum(dtype=np.float64) - 1) < 5e-3


@pytest.mark.parametrize("storage", STORAGES, ids=["one", "two"])
def test_a_pool_that_grows_keeps_every_field(make_engine, define, set_field, storage):
    """Beyond 63, 127 and 255 leaves: all resolutions, halves, both sides of a field, and the solver goes on."""
    engine = make_engine((80, 64, 64), voxel_size=1.0, **storage)
    kinds = {"a": (Format.R32F, 1), "h": (Format.R16F, 0.5), "f": (Format.R32F, 2), "v": (Format.R16G16B16F, 1)}
    for name, (kind, resolution) in kinds.items():
        engine.add_field(name, kind, 0.25, resolution=resolution)
        field = engine.fields[name]
        random = np.random.default_rng([*name.encode()]).random(
            engine.domain.at(field.resolution).address.shape(field.format.components), np.float32
        )
        set_field(engine, name, random)
    for name in ("p", "b"):
        engine.add_field(name, Format.R32F, 0)
    engine.activate(low=(0, 0, 0), high=(30, 15, 15))
    swap = 'WriteField("a_new", idx, ReadField("a", idx) + 1.0); WriteField("b", idx, coord.x < 12 ? 1.0 : 0.0);'
    engine.add_stencil(define("swap", swap, "a", "a_new b"))
    engine.add_stencil(define("fine", 'WriteField("f_new", idx, ReadField("f", idx) + 1.0);', "f", "f_new"))
    engine.add_solver(SolverDefinition("solve", "p", "b"))
    engine.step(1.0)
    first = {name: engine.array(name) for name in engine.fields}
    inside, capacities = awake(engine), []
    for high in ((63, 31, 15), (63, 31, 31), (79, 63, 31)):
        engine.activate(low=(0, 0, 0), high=high)
        capacities.append(engine._simulation.parts[0].topology.capacity)
        for name, before in first.items():
            after, edge = engine.array(name), engine.fields[name].resolution
            kept = np.indices(before.shape[:3]).transpose(1, 2, 3, 0)
            mask = inside[tuple(np.moveaxis((kept / float(edge)).astype(int), -1, 0))]
            np.testing.assert_array_equal(after[mask], before[mask])
            if name in ("a", "h", "f", "v"):
                assert (after[~mask] == np.float32(0.25)).all(), "what was never active holds the background"
    assert len(set(capacities)) >= 2 and capacities == sorted(capacities)
    engine.step(1.0)
    np.testing.assert_array_equal(engine.array("a")[inside], first["a"][inside] + 1)
    assert engine.solved("solve").iterations > 0 and np.isfinite(engine.array("p")).all()
    fresh = awake(engine) & ~inside
    assert (engine.array("a")[fresh] == 1.25).all()


@pytest.mark.parametrize("storage", STORAGES, ids=["one", "two"])
def test_leaves_that_were_asleep_begin_at_the_background(make_engine, define, storage):
    engine = make_engine((32, 16, 16), voxel_size=1.0, **storage)
    for name, back in (("mark", 0.0), ("dust", 0.5)):
        engine.add_field(name, Format.R32F, back)
    engine.activate("mark", above=0.1, margin=0, low=(0, 0, 0), high=(7, 7, 7))
    engine.add_stencil(define("dust_all", 'WriteField("dust_new", idx, 7.0);', "", "dust_new"))
    engine.add_stencil(define("put", 'WriteField("mark_new", idx, 1.0);', "", "mark_new", enabled=False))
    engine.add_stencil(define("take", 'WriteField("mark_new", idx, 0.0);', "", "mark_new", enabled=False))
    leaves = engine._simulation.leaves
    far = (slice(24, 32), slice(8, 16), slice(8, 16))
    leaves.start_from(leaves.box.touched(np.array([[24, 8, 8]]), np.array([[32, 16, 16]])))
    engine.run_stencil("put")
    engine.step(1.0)
    assert awake(engine)[far].all() and (engine.array("dust")[far] == 7).all()
    engine.run_stencil("take")
    for _ in range(8):
        engine.step(1.0)
    assert not awake(engine)[far].any() and awake(engine)[:8, :8, :8].all()
    assert (engine.array("dust")[far] == 0.5).all()
    engine.set_enabled("dust_all", False)
    leaves.wake(leaves.box.touched(np.array([[24, 8, 8]]), np.array([[32, 16, 16]])))
    for name, value in (("dust", 0.5), ("mark", 0.0)):
        assert (engine.array(name)[far] == value).all()
    assert (engine.array("dust")[:8, :8, :8] == 7).all()


def test_a_field_filled_before_its_back_buffer_was_made_stays_so_outside(make_engine, define):
    engine = make_engine((32, 16, 16), voxel_size=1.0, sparse=True)
    engine.add_field("a", Format.R32F, 0)
    engine.activate(low=(0, 0, 0), high=(15, 7, 7))
    engine.fill("a", 5.0)
    engine.add_stencil(define("turn", 'WriteField("a_new", idx, ReadField("a", coord + ivec3(3)));', "a", "a_new"))
    for _ in range(3):
        engine.step(1.0)
        assert (engine.array("a") == 5).all()


def test_a_solver_of_two_devices_sees_what_fields_were_filled_with(make_engine, define):
    """Faces towards leaves that are not active are as open as the fill says, not as at the start."""

    def solved(late, **storage):
        engine = make_engine((32, 16, 16), voxel_size=1.0, sparse=True, **storage)
        for name in ("p", "b"):
            engine.add_field(name, Format.R32F, 0)
        engine.add_field("w", Format.R32UI, 0)
        engine.activate(low=(0, 0, 0), high=(23, 7, 7))
        if not late:
            engine.fill("w", 0xFFFFFF)
        engine.add_stencil(define("source", 'WriteField("b", idx, coord.x < 7 ? 1.0 : 0.0);', "", "b"))
        engine.add_solver(SolverDefinition("solve", "p", "b", faces="w"))
        engine.run_stencil("source")
        if late:
            engine.fill("w", 0xFFFFFF)
        engine.run_stencil("solve")
        return engine.array("p")

    expected = solved(False)
    assert np.abs(expected).max() > 1
    for late in (False, True):
        assert solved(late, gpu_count=2).tobytes() == expected.tobytes()


def test_a_box_that_wakes_leaves_between_steps_brings_the_halos_up_to_date(make_engine, define, set_field):
    def run(count):
        engine = make_engine((40, 16, 16), voxel_size=1.0, sparse=True, gpu_count=count)
        engine.add_field("a", Format.R32F, 0)
        set_field(engine, "a", np.random.default_rng(3).random((40, 16, 16)))
        spread = '0.5 * ReadField("a", coord + ivec3(1, 0, 0)) + 0.25 * ReadField("a", coord - ivec3(2, 0, 0)) + 0.01'
        engine.add_stencil(define("spread", f'WriteField("a_new", idx, {spread});', "a", "a_new"))
        for high in ((23, 7, 7), (31, 15, 7), (39, 15, 15)):
            engine.activate(low=(0, 0, 0), high=high)
            for _ in range(2):
                engine.step(1.0)
        return engine.array("a")

    expected = run(1)
    for count in (2, 3):
        assert run(count).tobytes() == expected.tobytes()
