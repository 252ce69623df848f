# SPDX-License-Identifier: GPL-3.0-or-later
"""Slabs follow active leaves that drift, not too often and only if it helps, and no bit of an answer changes."""

from __future__ import annotations

import numpy as np
import pytest

from fluid_addon.engine import Format
from fluid_addon.engine.domain import Domain, parse_boundary
from fluid_addon.engine.rebalancing import PATIENCE, UNEVEN, WORTH_IT, Balance
from fluid_addon.engine.slab import cut

DRIFT = """
    WriteField("density_new", idx, SampleField("density", vec3(coord) - ReadField("velocity", idx) * dt / voxel_size));
"""
AROUND = """
    float sum = 0.0;
    for (int x = -1; x <= 1; ++x) sum += ReadField("density", coord + ivec3(x, 0, 0));
    WriteField("blurred_new", idx, 0.5 * ReadField("blurred", idx) + sum);
"""


def domain_of(leaves):
    return Domain.box((8 * leaves, 8, 8), None, None, parse_boundary("open"))


def planes(slabs):
    return [slab.leaf_planes() for slab in slabs]


# ===== The decision


def test_slabs_that_share_the_leaves_evenly_stay():
    domain = domain_of(8)
    balance, slabs = Balance(domain, [1, 1]), cut(domain, [1, 1], 4)
    assert balance.better(slabs, np.array([3, 3, 3, 3, 3, 3, 3, 3])) is None
    assert balance.better(slabs, np.array([3, 3, 3, 3, 2, 2, 2, 2])) is None  # 1.2 of the mean
    assert balance.better(slabs, np.zeros(8, int)) is None


def test_uneven_slabs_are_cut_anew_by_their_leaves_and_keep_their_halo():
    domain = domain_of(8)
    better = Balance(domain, [1, 1]).better(cut(domain, [1, 1], 12), np.array([9, 9, 3, 3, 3, 3, 0, 0]))
    assert planes(better) == [(0, 2), (2, 8)] and {slab.halo for slab in better} == {12}


def test_a_faster_device_takes_more_leaves():
    domain = domain_of(8)
    balance, slabs = Balance(domain, [3, 1]), cut(domain, [1, 1], 4)
    assert planes(balance.better(slabs, np.full(8, 5))) == [(0, 6), (6, 8)]


def test_what_cannot_be_cut_better_stays():
    """All leaves in one plane are one device's, wherever the cut lies."""
    domain = domain_of(8)
    assert Balance(domain, [1, 1]).better(cut(domain, [1, 1], 4), np.array([0, 0, 9, 0, 0, 0, 0, 0])) is None


def test_there_are_some_steps_between_two_cuts():
    domain = domain_of(8)
    balance, load = Balance(domain, [1, 1]), np.array([9, 9, 3, 3, 3, 3, 0, 0])
    slabs = cut(domain, [1, 1], 4)
    assert balance.better(slabs, load) is not None
    asked = [balance.better(slabs, load) for _ in range(PATIENCE + 1)]
    assert [answer is None for answer in asked] == [True] * PATIENCE + [False]
    assert UNEVEN > 1 > WORTH_IT


# ===== What moves


@pytest.fixture
def drifting(make_engine, define, set_field):
    """A blob that drifts along x and wakes the leaves ahead of it; fields of several kinds that feel it."""

    def make(**options):
        rules = ("periodic", "open", "open")
        engine = make_engine((72, 8, 16), boundary=rules, voxel_size=1.0, sparse=True, **options)
        engine.add_field("density", Format.R32F, 0.0)
        engine.add_field("velocity", Format.R32G32B32F, (3.3, 0.1, 0))
        engine.add_field("blurred", Format.R16F, 0.25)
        engine.add_field("count", Format.R32I, 7)
        engine.add_field("coarse", Format.R32F, 0.5, resolution=0.5)
        rng = np.random.default_rng(8)
        density = np.zeros((72, 8, 16), np.float32)
        density[2:14, 1:7, 3:12] = rng.random((12, 6, 9)) + 0.5
        engine.activate("density", above=1e-3, margin=0.5)
        engine.activate(low=(0, 0, 0), high=(16, 8, 16))
        set_field(engine, "density", density)
        engine.add_stencil(define("drift", DRIFT, "density velocity", "density_new"))
        engine.add_stencil(define("around", AROUND, "density blurred", "blurred_new"))
        tally = 'WriteField("count", idx, ReadField("count", idx) + frame);'
        engine.add_stencil(define("tally", tally, "count", "count"))
        coarse = 'WriteField("coarse_new", idx, 0.9 * ReadField("coarse", coord - ivec3(1, 0, 0)) + 0.1);'
        engine.add_stencil(define("creep", coarse, "coarse", "coarse_new"))
        return engine

    return make


@pytest.mark.parametrize("count", [2, 3])
def test_a_drifting_blob_is_followed_and_stays_the_same_to_the_bit(drifting, count):
    one, several = drifting(), drifting(gpu_count=count)
    seen = set()
    for _ in range(16):
        one.step(1.0)
        several.step(1.0)
        seen.add(tuple(planes(part.slab for part in several._simulation.parts)))
    assert len(seen) >= 2
    assert len(one._simulation.leaves.active) < one._simulation.leaves.box.count
    for name in one.fields:
        assert np.array_equal(one.array(name), several.array(name)), name
        assert one.reduce(name, "sum") == several.reduce(name, "sum")
    owned = [part.topology.pool.own for part in several._simulation.parts]
    assert np.array_equal(np.concatenate(owned), one._simulation.leaves.active)


def test_a_part_without_memory_for_it_keeps_its_slab(drifting, monkeypatch):
    engine = drifting(gpu_count=2)
    before = planes(part.slab for part in engine._simulation.parts)
    monkeypatch.setattr("fluid_addon.engine.rebalancing._have_room", lambda _leaves, _slabs: False)
    for _ in range(3):
        engine.step(1.0)
    assert planes(part.slab for part in engine._simulation.parts) == before
