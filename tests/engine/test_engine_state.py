# SPDX-License-Identifier: GPL-3.0-or-later
"""A checkpoint's arrays are looked at before a device sees them: others than a run of this kind leaves are refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from fluid_addon.engine import FluidEngine, StencilDefinition
from fluid_addon.engine.formats import Format

Make = Callable[..., FluidEngine]
Define = Callable[..., StencilDefinition]
Change = Callable[[npt.NDArray[Any]], npt.NDArray[Any]]


class Arrays:
    """What a checkpoint holds, in memory."""

    def __init__(self) -> None:
        self.by_name: dict[str, npt.NDArray[Any]] = {}

    def put(self, name: str, values: npt.NDArray[Any]) -> None:
        self.by_name[name] = values

    def __contains__(self, name: str) -> bool:
        return name in self.by_name

    def array(self, name: str) -> npt.NDArray[Any]:
        return self.by_name[name]


@pytest.fixture
def saved(make_engine: Make, define: Define) -> Callable[..., tuple[FluidEngine, dict[str, Any], Arrays]]:
    def make(**options: Any) -> tuple[FluidEngine, dict[str, Any], Arrays]:
        engine = make_engine((32, 16, 16), **options)
        engine.add_field("a", Format.R32F, 0)
        engine.add_field("v", Format.R32G32B32F, 0, resolution=0.5)
        code = 'WriteField("a_new", idx, ReadField("a", coord + ivec3(1, 0, 0)) + SampleField("v", vec3(coord)).x);'
        engine.add_stencil(define("s", code, "a v", "a_new"))
        if engine.sparse:
            engine.activate(low=(0, 0, 0), high=(1.5, 1, 1))
            leaves = engine._simulation.leaves  # type: ignore[union-attr]
            leaves.start_from(np.array([3], np.int32))  # type: ignore[union-attr]
            leaves.keep("a", np.array([2, 5], np.int32))  # type: ignore[union-attr]
        engine.step(0.1)
        arrays = Arrays()
        return engine, engine.save_state("0/", arrays), arrays

    return make


FIELDS: dict[str, tuple[str, Change]] = {
    "longer": ("a", lambda a: np.concatenate([a] * 4)),
    "longer rows": ("a", lambda a: np.repeat(a, 4000, axis=2)),
    "shorter": ("a", lambda a: a[:-1]),
    "flat": ("a", lambda a: a.reshape(-1)),
    "wider numbers": ("a", lambda a: a.astype(np.float64)),
    "whole numbers": ("a", lambda a: a.astype(np.int32)),
    "more components": ("v", lambda v: np.concatenate([v, v], axis=-1)),
    "no components": ("v", lambda v: v[..., 0]),
}
LEAVES: dict[str, tuple[str, Change]] = {
    "beyond the box": ("active", lambda i: i + 10**6),
    "just beyond the box": ("active", lambda i: np.append(i[:-1], np.int32(4 * 2 * 2))),
    "below zero": ("active", lambda i: i - 1),
    "twice": ("active", lambda i: np.sort(np.append(i[:-1], i[0]))),
    "not in order": ("active", lambda i: i[::-1]),
    "wider numbers": ("active", lambda i: i.astype(np.int64) + (1 << 32)),
    "in rows": ("active", lambda i: i.reshape(-1, 1)),
    "always awake": ("always", lambda i: i + 50),
    "at the start": ("start", lambda i: i - 50),
    "kept": ("kept a", lambda i: i[::-1]),
    "calm": ("calm", lambda _: np.array([[99, 1]], np.int32)),
    "calm without a count": ("calm", lambda _: np.array([1], np.int32)),
}


def refuse(engine: FluidEngine, state: dict[str, Any], arrays: Arrays, name: str, change: Change) -> None:
    whole = arrays.by_name[name]
    arrays.by_name[name] = change(whole)
    with pytest.raises(ValueError, match=f'"{name.rpartition("/")[2]}"'):
        engine.restore_state(state, "0/", arrays)
    arrays.by_name[name] = whole
    engine.restore_state(state, "0/", arrays)
    engine.step(0.1)
    engine.finish()


@pytest.mark.parametrize("storage", [{}, {"gpu_count": 2}, {"sparse": True}], ids=["dense", "slabs", "leaves"])
def test_D10_a_field_of_another_shape_or_type_is_refused(storage: dict[str, Any], saved: Callable[..., Any]) -> None:
    engine, state, arrays = saved(**storage)
    for name, change in FIELDS.values():
        refuse(engine, state, arrays, f"0/{name}", change)


def test_D10_leaves_that_the_domain_does_not_have_are_refused(saved: Callable[..., Any]) -> None:
    engine, state, arrays = saved(sparse=True)
    for name, change in LEAVES.values():
        refuse(engine, state, arrays, f"0//{name}", change)


@pytest.mark.parametrize("outside", [[], [0.0, 0.0], 0.0, ["x"]])
def test_D10_a_background_that_is_no_value_of_the_field_is_refused(outside: object, saved: Callable[..., Any]) -> None:
    engine, state, arrays = saved(sparse=True)
    with pytest.raises((TypeError, ValueError)):
        engine.restore_state({**state, "outside": {**state["outside"], "a": outside}}, "0/", arrays)
