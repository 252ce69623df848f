# SPDX-License-Identifier: GPL-3.0-or-later
"""Leaves, their neighbours and their slots are what plain dictionaries say, for every boundary and every odd size."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fluid_addon.engine.address import Boundary
from fluid_addon.engine.leaves import BACKGROUND_SLOT, ELSEWHERE, LEAF, ORDER_HEADER, RECORD, LeafBox, LeafPool

boundaries = st.tuples(*[st.sampled_from(Boundary)] * 3)
boxes = st.builds(LeafBox, st.tuples(*[st.integers(1, 29)] * 3), boundaries)
NONE = np.empty(0, np.int32)


def leaf_beyond(box: LeafBox, leaf: tuple[int, ...], step: tuple[int, ...]) -> tuple[int, ...] | None:
    """The leaf one step away by the boundary rule, or None."""
    found = []
    for at, by, leaves, boundary in zip(leaf, step, box.shape, box.boundary, strict=True):
        at += by
        if not 0 <= at < leaves:
            if boundary is Boundary.OPEN:
                return None
            at = at % leaves if boundary is Boundary.PERIODIC else at - by
        found.append(at)
    return tuple(found)


def all_leaves(box: LeafBox) -> dict[tuple[int, ...], int]:
    """Every leaf's linear index."""
    x, y, z = (range(-(-n // LEAF)) for n in box.size)
    return {leaf: i for i, leaf in enumerate(itertools.product(x, y, z))}


@given(boxes)
def test_linear_indices_go_by_x_first(box):
    leaves = all_leaves(box)
    assert box.count == len(leaves)
    np.testing.assert_array_equal(box.index(np.array(list(leaves))), list(leaves.values()))
    np.testing.assert_array_equal(box.coords(box.everything()), list(leaves))
    np.testing.assert_array_equal(box.planes(box.everything()), [leaf[0] for leaf in leaves])


@given(boxes)
def test_neighbours_go_by_the_boundary(box):
    leaves = all_leaves(box)
    expected = [
        [leaves.get(leaf_beyond(box, leaf, step), -1) for step in itertools.product((-1, 0, 1), repeat=3)]
        for leaf in leaves
    ]
    np.testing.assert_array_equal(box.neighbours(box.everything()), expected)


def voxel_inside(box: LeafBox, at: int, axis: int) -> int | None:
    """Where a voxel's coordinate lies along an axis: wrapped around a periodic one, None outside."""
    if box.boundary[axis] is Boundary.PERIODIC:
        return at % box.size[axis]
    return at if 0 <= at < box.size[axis] else None


@given(boxes, st.lists(st.tuples(*[st.tuples(st.integers(-35, 60), st.integers(-1, 40))] * 3), max_size=5))
def test_leaves_that_boxes_touch(box, spans):
    expected = set()
    for span in spans:
        along = []
        for axis, (low, extent) in enumerate(span):
            inside = {voxel_inside(box, at, axis) for at in range(low, low + extent)} - {None}
            along.append({at // LEAF for at in inside})
        expected |= set(itertools.product(*along))
    lows = np.array([[low for low, _ in span] for span in spans]).reshape(-1, 3)
    highs = np.array([[low + extent for low, extent in span] for span in spans]).reshape(-1, 3)
    leaves = all_leaves(box)
    np.testing.assert_array_equal(box.touched(lows, highs), sorted(leaves[leaf] for leaf in expected))


def test_touched_is_quick_about_large_boxes():
    box = LeafBox((800, 800, 800), (Boundary.OPEN, Boundary.PERIODIC, Boundary.CLAMP))
    lows = np.full((10_000, 3), -(2**40))  # leaf by leaf these would be 10¹⁰
    lows[:, 0] += np.arange(10_000)
    np.testing.assert_array_equal(box.touched(lows, -lows), box.everything())


class Slots:
    """The rules of slots as dictionaries."""

    def __init__(self, box: LeafBox) -> None:
        self.count, self.capacity = box.count, 64
        self.slot: dict[int, int] = {}

    def hold(self, held: set[int]) -> None:
        self.slot = {leaf: slot for leaf, slot in self.slot.items() if leaf in held}
        for leaf in sorted(held - set(self.slot)):
            self.slot[leaf] = next(s for s in itertools.count(1) if s not in self.slot.values())
        needed = len(held) + 1
        if needed > self.capacity:
            more = min(max(needed, int(self.capacity * 1.25)), self.count + 1)
            self.capacity = (more + 63) // 64 * 64


KINDS = ("own", "own", "own", "halo", "elsewhere", "asleep")


@st.composite
def histories(draw):
    """A box and what is held in it over time: own, halo, elsewhere and the planes of the interior."""
    box = draw(boxes)
    steps = []
    for _ in range(draw(st.integers(1, 5))):
        kinds = draw(st.lists(st.sampled_from(KINDS), max_size=box.count))
        kinds += [draw(st.sampled_from(["own", "asleep"]))] * (box.count - len(kinds))
        sets = [[i for i, kind in enumerate(kinds) if kind == wanted] for wanted in ("own", "halo", "elsewhere")]
        interior = draw(st.none() | st.tuples(*[st.integers(0, box.shape[0])] * 2))
        steps.append((*(np.array(one, np.int32) for one in sets), interior))
    return box, steps


@settings(max_examples=60)
@given(histories())
def test_a_pool_against_dictionaries(history):
    box, steps = history
    pool, model = LeafPool(box), Slots(box)
    leaves = all_leaves(box)
    for own, halo, elsewhere, interior in steps:
        before, capacity = dict(model.slot), model.capacity
        change = pool.hold(own, halo, elsewhere, interior)
        model.hold({*own.tolist(), *halo.tolist()})
        slot = model.slot
        woken, slept = sorted(slot.keys() - before.keys()), sorted(before.keys() - slot.keys())
        np.testing.assert_array_equal(pool.own, own)
        np.testing.assert_array_equal(pool.halo, halo)
        assert change.woken.tolist() == woken
        assert change.woken_slots.tolist() == [slot[i] for i in woken]
        assert change.slept.tolist() == slept
        assert change.slept_slots.tolist() == [before[i] for i in slept]
        assert (pool.capacity, change.grown) == (model.capacity, model.capacity != capacity)
        assert pool.slots_of(box.everything()).tolist() == [slot.get(i, 0) for i in range(box.count)]
        check_order(pool, slot, own, interior)
        check_records(pool, slot, leaves)
        check_table(pool, slot, set(elsewhere.tolist()), leaves)


def check_order(pool, slot, own, interior):
    order = pool.order()
    assert order.shape == (ORDER_HEADER + pool.capacity,)
    in_order = [slot[i] for i in own.tolist()]
    parts = {"low": [], "interior": [], "high": []}
    if interior:
        first, stop = interior
        for leaf, plane in zip(own.tolist(), pool.box.planes(own).tolist(), strict=True):
            parts["low" if plane < first else "high" if plane >= stop else "interior"].append(slot[leaf])
    expected = [in_order, parts["interior"], parts["low"], parts["high"]]
    for (start, count), slots in zip(order[:ORDER_HEADER].reshape(4, 2).tolist(), expected, strict=True):
        assert order[ORDER_HEADER + start : ORDER_HEADER + start + count].tolist() == slots
        assert count == len(slots)
    halo = [slot[i] for i in pool.halo.tolist()]
    assert order[ORDER_HEADER + len(own) :][: len(halo)].tolist() == halo
    assert not order[ORDER_HEADER + len(own) + len(halo) :].any()


def check_records(pool, slot, leaves):
    expected = np.zeros((pool.capacity, RECORD), int)
    for leaf, index in leaves.items():
        if index in slot:
            steps = itertools.product((-1, 0, 1), repeat=3)
            around = [slot.get(leaves.get(leaf_beyond(pool.box, leaf, step)), BACKGROUND_SLOT) for step in steps]
            expected[slot[index]] = [*around, *leaf, index, 0]
    expected[BACKGROUND_SLOT, RECORD - 1] = len(slot)
    np.testing.assert_array_equal(pool.records(), expected)


def check_table(pool, slot, elsewhere, leaves):
    def entry(leaf):
        index = leaves.get(leaf)
        return ELSEWHERE if index in elsewhere else slot.get(index, BACKGROUND_SLOT)

    expected = [(entry(leaf), entry(leaf_beyond(pool.box, leaf, (0, 0, 1)))) for leaf in leaves]
    np.testing.assert_array_equal(pool.table(), expected)


def test_a_pool_grows_in_steps_up_to_its_box_and_never_shrinks():
    box = LeafBox((80, 80, 80), (Boundary.OPEN,) * 3)
    pool, capacities = LeafPool(box), []
    for count in (0, 63, 64, 127, 128, 200, 319, 330, 5, 700, 1000, 10):
        before = pool.capacity
        change = pool.hold(box.everything()[:count], NONE, NONE)
        capacities.append(pool.capacity)
        assert change.grown == (pool.capacity != before)
    assert capacities == [64, 64, 128, 128, 192, 256, 320, 448, 448, 704, 1024, 1024]


def test_a_leaf_keeps_its_slot_between_own_and_halo():
    box = LeafBox((64, 8, 8), (Boundary.CLAMP,) * 3)
    pool = LeafPool(box)
    pool.hold(np.array([1, 2, 5]), np.array([3]), NONE)
    slots = pool.slots_of(np.array([1, 2, 3, 5])).tolist()
    change = pool.hold(np.array([2, 3]), np.array([1, 5]), NONE)
    assert not len(change.woken) and not len(change.slept)
    assert pool.slots_of(np.array([1, 2, 3, 5])).tolist() == slots


def test_what_a_pool_gives_cannot_be_written():
    pool = LeafPool(LeafBox((9, 9, 9), (Boundary.OPEN,) * 3))
    for array in (pool.table(), pool.records()):
        with pytest.raises(ValueError, match="read-only"):
            array[0, 0] = 7
