# SPDX-License-Identifier: GPL-3.0-or-later
"""Leaves wake before anything can reach them and sleep when nothing is left; the device measures as numpy does."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fluid_addon.diagnostics import FluidError
from fluid_addon.engine import Format
from fluid_addon.engine.activation import (
    ACTIVITY,
    ACTIVITY_WORDS,
    PATIENCE,
    Activation,
    activity_constants,
    activity_include,
    checked_rule,
    unpack_activity,
)
from fluid_addon.engine.address import Boundary
from fluid_addon.engine.declarations import shader_includes, shader_text
from fluid_addon.engine.field import RESOLUTIONS, Field
from fluid_addon.engine.leaves import LEAF, LeafBox, LeafPool
from fluid_addon.gpu.compiler import Compiler
from fluid_addon.gpu.device import Device
from fluid_addon.gpu.execution import Execution
from fluid_addon.gpu.kernel import KernelLibrary
from fluid_addon.gpu.memory import Buffer, Residence
from fluid_addon.gpu.recording import Barrier, Copy, Dispatch, Recording

NONE = np.empty(0, np.int32)
OPEN = (Boundary.OPEN,) * 3


def measure(box: LeafBox, leaves: npt.ArrayLike, hot: np.ndarray, warm: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """The activity of leaves from dense arrays of the domain's voxels; flow has shape (nx, ny, nz, 3)."""
    found = np.zeros(len(leaves), ACTIVITY)
    for one, leaf in zip(found, box.coords(np.asarray(leaves)).tolist(), strict=True):
        inside = tuple(slice(LEAF * at, LEAF * at + LEAF) for at in leaf)
        for kind, voxels in (("hot", hot[inside]), ("warm", warm[inside])):
            at = np.argwhere(voxels)
            if len(at):
                one[f"{kind}_low"], one[f"{kind}_high"] = at.min(axis=0), at.max(axis=0) + 1
        if hot[inside].any():
            flows = flow[inside][hot[inside]]
            one["slowest"], one["fastest"] = flows.min(axis=0), flows.max(axis=0)
    return found


# ===== The decision


@st.composite
def situations(draw):
    """A box, its active leaves, hot and warm voxels, a flow and a rule's margin."""
    size = tuple(draw(st.integers(1, 29)) for _ in range(3))
    box = LeafBox(size, tuple(draw(st.sampled_from(Boundary)) for _ in range(3)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    hot, warm = np.zeros(size, bool), np.zeros(size, bool)
    for array, most in ((hot, 3), (warm, 2)):
        for _ in range(draw(st.integers(0, most))):
            array[tuple(rng.integers(size))] = True
    spread = draw(st.sampled_from([0, 1, 7, 30, 300]))
    flow = rng.normal(rng.normal(size=3), 1, (*size, 3)).astype(np.float32) * np.float32(spread)
    active = np.flatnonzero(rng.random(box.count) < draw(st.sampled_from([0, 0.3, 1]))).astype(np.int32)
    return box, active, hot, warm | hot, flow, draw(st.sampled_from([0, 0.25, 1, 2.1]))


def inside(box: LeafBox, voxel: tuple[int, ...]) -> tuple[int, ...] | None:
    periodic = [rule is Boundary.PERIODIC for rule in box.boundary]
    found = tuple(at % n if wraps else at for at, n, wraps in zip(voxel, box.size, periodic, strict=True))
    return found if all(0 <= at < n for at, n in zip(found, box.size, strict=True)) else None


@settings(max_examples=80)
@given(situations())
def test_whatever_a_hot_voxel_can_reach_is_awake(situation):
    box, active, hot, warm, flow, margin = situation
    rule, travel = checked_rule("density", 1, margin=margin), 0.37
    wanted = Activation().wanted(box, active, [(rule, measure(box, active, hot, warm, flow))], travel, NONE)
    awake = set(map(tuple, box.coords(wanted).tolist()))
    seen = set(map(tuple, box.coords(active).tolist()))
    for voxel in np.argwhere(hot):
        if tuple(voxel // LEAF) not in seen:
            continue
        way = flow[tuple(voxel)].astype(np.float64) * travel
        low = np.floor(voxel + np.minimum(way, 0) - margin * LEAF).astype(int)
        high = np.ceil(voxel + np.maximum(way, 0) + margin * LEAF).astype(int)
        # A voxel in five along each axis is enough: no leaf but a ragged one is thinner, and the ends are always there.
        along = [sorted({*range(a, b, 5), b}) for a, b in zip(low, high, strict=True)]
        along = [[at for at in each if -n <= at < 2 * n] for each, n in zip(along, box.size, strict=True)]
        reached = {inside(box, place) for place in itertools.product(*along)} - {None}
        assert {tuple(at // LEAF for at in place) for place in reached} <= awake


def leaves_met(box: LeafBox, low: list[int], high: list[int]) -> set[tuple[int, ...]]:
    """The leaves that a box of voxels meets, found voxel by voxel along each axis."""
    along: list[set[int]] = []
    for axis in range(3):
        n, wraps = box.size[axis], box.boundary[axis] is Boundary.PERIODIC
        if wraps and high[axis] - low[axis] >= n:
            along.append({at // LEAF for at in range(n)})
        else:
            places = range(max(low[axis], -n), min(high[axis], 2 * n)) if not wraps else range(low[axis], high[axis])
            along.append({at % n // LEAF for at in places if wraps or 0 <= at < n})
    return set(itertools.product(*along))


@settings(max_examples=80)
@given(st.lists(situations(), min_size=1, max_size=1), st.data())
def test_the_decision_against_one_leaf_after_another(given_one, data):
    (box, active, hot, warm, flow, margin) = given_one[0]
    rule, activation = checked_rule("density", 1, margin=margin), Activation()
    patience: dict[tuple[int, ...], int] = {}
    rng = np.random.default_rng(3)
    for _ in range(6):
        always = np.flatnonzero(rng.random(box.count) < 0.1).astype(np.int32)
        activity = measure(box, active, hot, warm, flow)
        needed, kept = set(map(tuple, box.coords(always).tolist())), set()
        leaves = list(map(tuple, box.coords(active).tolist()))
        for leaf, one in zip(leaves, activity, strict=True):
            wider, corner = int(np.ceil(margin * 8)), 8 * np.array(leaf)
            if one["hot_high"].any():
                back = np.floor(np.minimum(one["slowest"].astype(float) * 0.5, 0)).astype(int)
                ahead = np.ceil(np.maximum(one["fastest"].astype(float) * 0.5, 0)).astype(int)
                low, high = corner + one["hot_low"] - wider + back, corner + one["hot_high"] + wider + ahead
                needed |= leaves_met(box, low.tolist(), high.tolist())
            if one["warm_high"].any():
                low, high = corner + one["warm_low"] - wider, corner + one["warm_high"] + wider
                kept |= leaves_met(box, low.tolist(), high.tolist())
        patience = {leaf: patience.get(leaf, 0) + 1 for leaf in leaves if leaf not in needed | kept}
        expected = needed | (kept & set(leaves)) | {leaf for leaf, times in patience.items() if times < PATIENCE}
        active = activation.wanted(box, active, [(rule, activity)], 0.5, always)
        assert active.dtype == np.int32
        assert list(map(tuple, box.coords(active).tolist())) == sorted(expected)
        hot &= rng.random(box.size) < 0.5
        warm = warm & (rng.random(box.size) < 0.7) | hot


def cold(count: int) -> np.ndarray:
    return np.zeros(count, ACTIVITY)


def full(leaves: int, kinds: str, flow: float = 0.0) -> np.ndarray:
    """Activity of leaves that are all hot, or all warm, in every voxel."""
    activity = cold(leaves)
    for kind in kinds.split():
        activity[f"{kind}_high"] = LEAF
    activity["slowest"] = activity["fastest"] = flow
    return activity


def test_a_leaf_sleeps_only_after_enough_decisions_in_a_row():
    box, rule, activation = LeafBox((80, 8, 8), OPEN), checked_rule("density", 1), Activation()
    active = np.array([4], np.int32)
    for calm in (PATIENCE - 1, PATIENCE):
        np.testing.assert_array_equal(activation.wanted(box, active, [(rule, full(1, "warm"))], 1, NONE), active)
        for _ in range(calm - 1):
            np.testing.assert_array_equal(activation.wanted(box, active, [(rule, cold(1))], 1, NONE), active)
    assert len(activation.wanted(box, active, [(rule, cold(1))], 1, NONE)) == 0
    assert len(activation.calm) == 0, "a leaf that woke again begins anew"


def test_warm_voxels_keep_leaves_awake_but_wake_none():
    box, rule, activation = LeafBox((80, 8, 8), OPEN), checked_rule("density", 1), Activation()
    active, activity = np.array([2, 3, 4, 7], np.int32), cold(4)
    activity[1] = full(1, "warm")[0]
    for _ in range(PATIENCE):
        active = activation.wanted(box, active, [(rule, activity)], 1, NONE)
    np.testing.assert_array_equal(active, [2, 3, 4])


@pytest.mark.parametrize(("flow", "expected"), [(0, [4, 5, 6]), (17, [4, 5, 6, 7, 8, 9]), (-0.5, [3, 4, 5, 6])])
def test_leaves_wake_the_way_that_the_fluid_flows(flow, expected):
    box, rule = LeafBox((80, 80, 8), (Boundary.OPEN,) * 3), checked_rule("density", 1)
    activity = full(1, "hot warm")
    activity["slowest"][0, 0] = activity["fastest"][0, 0] = flow
    wanted = Activation().wanted(box, box.index(np.array([[5, 5, 0]])), [(rule, activity)], 1, NONE)
    np.testing.assert_array_equal(np.unique(box.planes(wanted)), expected)
    np.testing.assert_array_equal(np.unique(box.coords(wanted)[:, 1]), [4, 5, 6])


def test_a_flow_without_bounds_wakes_all_that_lies_that_way():
    box, rule = LeafBox((80, 8, 8), OPEN), checked_rule("density", 1, margin=0)
    activity = full(1, "hot warm")
    activity["fastest"] = np.inf
    wanted = Activation().wanted(box, np.array([6], np.int32), [(rule, activity)], 1e-3, NONE)
    np.testing.assert_array_equal(wanted, [6, 7, 8, 9])


def test_rules_add_up_and_their_order_does_not_matter():
    box, active = LeafBox((80, 8, 8), OPEN), np.array([2, 7], np.int32)
    first, second = cold(2), cold(2)
    first[0], second[1] = full(1, "hot")[0], full(1, "hot")[0]
    measured = [(checked_rule("density", 1, margin=0), first), (checked_rule("fuel", 2), second)]
    for order in (measured, measured[::-1]):
        wanted = Activation().wanted(box, active, order, 1, np.array([0], np.int32))
        np.testing.assert_array_equal(wanted, [0, 2, 6, 7, 8])


def test_a_decision_depends_on_nothing_but_what_is_remembered():
    box, rule = LeafBox((40, 40, 40), OPEN), checked_rule("density", 1)
    rng = np.random.default_rng(5)
    one, other = Activation(), Activation()
    active = box.everything()
    for _ in range(8):
        activity = np.where(rng.random(len(active)) < 0.02, full(1, "hot warm", 3.0), cold(1))
        wanted = one.wanted(box, active, [(rule, activity)], 1, NONE)
        np.testing.assert_array_equal(other.wanted(box, active, [(rule, activity)], 1, NONE), wanted)
        resumed = Activation()
        resumed.calm = other.calm.copy()
        active, other = wanted, resumed
    assert 0 < len(active) < box.count


# ===== Rules


def test_below_is_half_of_above_where_it_is_not_given():
    assert checked_rule("density", 0.5).below == 0.25
    assert checked_rule("density", 0.5, 0.5, 0).below == 0.5


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ((-1.0,), '"above" is -1; it is a number from 0 on.'),
        ((float("nan"),), '"above" is nan; it is a number from 0 on.'),
        ((1.0, -0.5), '"below" is -0.5; it is a number from 0 on.'),
        ((1.0, 2.0), '"below" is 2, more than "above", which is 1.'),
        ((1.0, 0.5, -1.0), '"margin" is -1; it is a number from 0 on.'),
        ((1.0, 0.5, float("inf")), '"margin" is inf; it is a number from 0 on.'),
    ],
    ids=str,
)
def test_numbers_that_make_no_rule(numbers, message):
    with pytest.raises(FluidError) as caught:
        checked_rule("density", *numbers)
    assert caught.value.code == "bad-argument"
    assert str(caught.value) == message
    assert caught.value.diagnostics[0].hint


# ===== The kernel


class Bench:
    """A device on which the kernel runs by itself."""

    def __init__(self) -> None:
        self.device = Device()
        self.kernels = KernelLibrary(self.device)
        self.execution = Execution(self.device, self.kernels, 16)
        self.compiler = Compiler(shader_includes())

    def measure(self, pool, rule, field, stored, velocity=None, flow=None, groups=None):
        """The activity of a pool's own leaves; fields as (slots, E, E, E, components) in their own types."""
        include = activity_include(field.format, velocity.format if velocity else None)
        spirv = self.compiler.compile(shader_text("activity.comp"), {"field": include})
        constants = activity_constants(rule, field, pool.box.size)
        kernel = self.kernels.make("activity", spirv, (64, 1, 1), constants)
        arrays = {"order": pool.order(), "records": pool.records(), field.name: stored}
        if velocity is not None:
            arrays[velocity.name] = flow
        result_bytes = 4 * ACTIVITY_WORDS * pool.capacity
        buffers = {name: Buffer(self.device, name, array.nbytes) for name, array in arrays.items()}
        buffers["target"] = Buffer(self.device, "target", result_bytes)
        result = Buffer(self.device, "result", result_bytes, Residence.READBACK)
        for name, array in arrays.items():
            self.execution.upload(buffers[name], array)
        self.execution.repeat(buffers["target"], b"\xa5\xa5\xa5\xa5")
        bindings = tuple(buffers.items())
        copies = [Barrier(("target",)), Copy(buffers["target"], result, result_bytes)]
        dispatch = Dispatch(kernel, bindings, groups or (pool.capacity, 1, 1))
        self.execution.run(Recording("activity", [dispatch, *copies]))
        result.invalidate()
        words = result.host.view(np.uint32).reshape(-1, ACTIVITY_WORDS).copy()
        for buffer in (*buffers.values(), result):
            buffer.close()
        assert (words[len(pool.own) :] == 0xA5A5A5A5).all(), "only own leaves have a result"
        return unpack_activity(words[: len(pool.own)])

    def close(self) -> None:
        self.execution.close()
        self.kernels.close()
        self.device.close()


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.close()


def into_slots(pool: LeafPool, dense: np.ndarray, edge: int, beside: float) -> np.ndarray:
    """A dense array (nx, ny, nz, components) as slots; whatever is no voxel of a held leaf is `beside`."""
    stored = np.full((pool.capacity, edge, edge, edge, dense.shape[3]), beside, dense.dtype)
    held = np.concatenate((pool.own, pool.halo))
    for slot, leaf in zip(pool.slots_of(held).tolist(), pool.box.coords(held).tolist(), strict=True):
        piece = dense[tuple(slice(at * edge, at * edge + edge) for at in leaf)]
        stored[slot, : piece.shape[0], : piece.shape[1], : piece.shape[2]] = piece
    return stored


def in_domain_voxels(values: np.ndarray, resolution: Fraction, size: tuple[int, int, int]) -> np.ndarray:
    """For each voxel of the domain whether any of a field's voxels is set that overlap it."""
    if resolution >= 1:
        n, (x, y, z) = int(resolution), size
        return values.reshape(x, n, y, n, z, n).any(axis=(1, 3, 5))
    for axis in range(3):
        values = values.repeat(resolution.denominator, axis=axis)
    return values[: size[0], : size[1], : size[2]]


SIZE = (20, 13, 31)
BACKGROUNDS = {1: (0.3,), 2: (0.3, -1.0), 3: (0.3, -1.0, 2.5), 4: (0.3, -1.0, 2.5, 0.0)}


def pool_of_some(box: LeafBox, rng: np.random.Generator) -> LeafPool:
    """A pool with a history, so that its slots are in no order, and with a halo."""
    pool = LeafPool(box)
    pool.hold(rng.permutation(box.count)[: box.count // 2][:0], np.sort(rng.permutation(box.count)[:7]), NONE)
    kinds = rng.random(box.count)
    pool.hold(np.flatnonzero(kinds < 0.6), np.flatnonzero(kinds > 0.8), NONE)
    return pool


def field_values(format_: Format, shape: tuple[int, ...], background, rng) -> np.ndarray:
    """A field that is its background but for few voxels, which differ by little or by more; floats have NaN as well."""
    values = np.empty((*shape, format_.components), format_.dtype)
    values[:] = background
    count = int(np.prod(shape))
    for part, by in ((0.002, 3), (0.004, 1)):
        at = np.unravel_index(rng.permutation(count)[: max(1, int(part * count))], shape)
        component = rng.integers(format_.components, size=len(at[0]))
        signs = rng.choice([1] if format_ is Format.R32UI else [-1, 1], len(at[0]))
        values[(*at, component)] += (signs * by / (4 if format_.is_float else 1)).astype(format_.dtype)
    if format_.is_float:
        values[(*rng.integers(shape), 0)] = np.nan
        values[(*rng.integers(shape), -1)] = np.inf
    return values


def differs(values: np.ndarray, background: np.ndarray, by: float) -> np.ndarray:
    if values.dtype.kind != "f":
        return (values != background).any(axis=-1)
    distance = np.abs(values.astype(np.float32) - background.astype(np.float32))
    return ~(distance <= np.float32(by)).all(axis=-1)


CASES = [(format_, Fraction(1), Format.R32G32B32F) for format_ in Format]
CASES += [(Format.R32F, resolution, Format.R16G16B16F) for resolution in RESOLUTIONS]
CASES += [(Format.R16G16B16F, Fraction(2), None), (Format.R32UI, Fraction(1, 2), None)]


@pytest.mark.parametrize(("format_", "resolution", "flows"), CASES, ids=lambda v: getattr(v, "name", str(v)))
def test_the_device_measures_what_numpy_measures(bench, format_, resolution, flows):
    rng = np.random.default_rng(11)
    box = LeafBox(SIZE, OPEN)
    pool = pool_of_some(box, rng)
    background = BACKGROUNDS[format_.components] if format_.is_float else (4_000_000_000 % 2**31,)
    field = Field("density", format_, background, resolution=resolution)
    as_stored = np.array(background).astype(format_.dtype)
    shape = tuple(-(-n * resolution.numerator // resolution.denominator) for n in SIZE)
    values = field_values(format_, shape, as_stored, rng)
    rule = checked_rule("density", 0.5, 0.1)
    hot, warm = (in_domain_voxels(differs(values, as_stored, by), resolution, SIZE) for by in (0.5, 0.1))
    edge = int(LEAF * resolution)
    velocity = flow = slots = None
    if flows is not None:
        velocity = Field("velocity", flows, (0.0, 0.0, 0.0))
        flow = (rng.integers(-3000, 3000, (*SIZE, 3)) / 1024).astype(flows.dtype)
        flow[rng.random((*SIZE, 3)) < 0.01] = np.nan
        flow[5:9, :, :, 1] = -np.inf
        slots = into_slots(pool, flow, LEAF, 1e4)
    stored = into_slots(pool, values, edge, 77)
    got = bench.measure(pool, rule, field, stored, velocity, slots)
    still = np.zeros((*SIZE, 3), np.float32)
    expected = measure(box, pool.own, hot, warm, still if flow is None else np.nan_to_num(flow, nan=0, neginf=-np.inf))
    assert 0 < np.count_nonzero(expected["hot_high"][:, 0]) < np.count_nonzero(expected["warm_high"][:, 0]) + 1
    for name in ACTIVITY.names:
        np.testing.assert_array_equal(got[name], expected[name], name)


def test_the_shape_of_the_dispatch_does_not_matter(bench):
    rng = np.random.default_rng(2)
    box = LeafBox((64, 72, 64), OPEN)
    pool = LeafPool(box)
    pool.hold(np.sort(rng.permutation(box.count)[:300]), NONE, NONE)
    stored = rng.random((pool.capacity, LEAF, LEAF, LEAF, 1)).astype(np.float32)
    field, rule = Field("density", Format.R32F, (0.0,)), checked_rule("density", 0.999, 0.99)
    line = bench.measure(pool, rule, field, stored)
    assert line["hot_high"].any()
    for groups in ((1, pool.capacity, 1), (1, 19, -(-pool.capacity // 19)), (7, 5, -(-pool.capacity // 35))):
        np.testing.assert_array_equal(bench.measure(pool, rule, field, stored, groups=groups), line)
