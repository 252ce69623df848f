# SPDX-License-Identifier: GPL-3.0-or-later
"""`ClampField` keeps a value between those of the voxels, or faces, around a place."""

from __future__ import annotations

import numpy as np
import pytest

SIZE = (5, 6, 8)
SHIFT = np.array((0.3, -1.6, 0.75))
CODE = """
    vec3 p = vec3(coord) + vec3(0.3, -1.6, 0.75);
    WriteField("high", idx, {high});
    WriteField("low", idx, {low});
"""


def bounds(values: np.ndarray, shift: np.ndarray, background: float, rule: str) -> tuple[np.ndarray, np.ndarray]:
    """Least and most of the eight voxels around coord + shift; a place outside is brought to the end it lies beyond."""
    padded = np.pad(values, 2, constant_values=background)
    ends = {"open": (-1, 0), "clamp": (0, -1), "periodic": (-np.inf, np.inf)}[rule]
    sides = []
    for axis, size in enumerate(SIZE):
        low = np.floor(np.clip(np.arange(size) + shift[axis], ends[0], size + ends[1])).astype(int)
        pair = [low, low + 1]
        bring = {"open": lambda i: i + 2, "clamp": lambda i, n=size: np.clip(i, 0, n - 1) + 2}
        sides.append([bring.get(rule, lambda i, n=size: i % n + 2)(i) for i in pair])
    corners = [padded[np.ix_(*(side[end] for side, end in zip(sides, o, strict=True)))] for o in np.ndindex(2, 2, 2)]
    return np.min(corners, axis=0), np.max(corners, axis=0)


@pytest.mark.parametrize("rule", ["open", "clamp", "periodic"])
def test_a_scalar_is_kept_between_the_voxels_around(make_engine, define, set_field, rule: str) -> None:
    engine = make_engine(SIZE, boundary=rule)
    for name in ("high", "low"):
        engine.add_field(name, 100, 0.0)
    engine.add_field("a", 100, 0.5)
    values = np.random.default_rng(1).random(SIZE, np.float32)
    set_field(engine, "a", values)
    code = CODE.format(high='ClampField("a", p, 9.0)', low='ClampField("a", p, -9.0)')
    engine.add_stencil(define("k", code, "a", "high low"))
    engine.step(1)
    least, most = bounds(values, SHIFT, 0.5, rule)
    np.testing.assert_array_equal(engine.array("high"), most)
    np.testing.assert_array_equal(engine.array("low"), least)


@pytest.mark.parametrize("axis", range(3))
def test_one_component_of_faces_is_kept_between_its_own_faces(make_engine, define, set_field, axis: int) -> None:
    """Also in the form that loads nothing else: a component taken right behind the call."""
    engine = make_engine(SIZE, boundary="periodic")
    for name in ("high", "low"):
        engine.add_field(name, 100, 0.0)
    engine.add_field("v", 106, (0.0, 0.0, 0.0), staggered=True)
    values = np.random.default_rng(2).random((*SIZE, 3), np.float32)
    set_field(engine, "v", values)
    part = "xyz"[axis]
    code = CODE.format(high=f"ClampField(v, p, vec3(9.0)).{part}", low=f'vec3(ClampField("v", p, vec3(-9.0))).{part}')
    engine.add_stencil(define("k", code, "v", "high low"))
    engine.step(1)
    least, most = bounds(values[..., axis], SHIFT + 0.5 * np.eye(3)[axis], 0, "periodic")
    np.testing.assert_array_equal(engine.array("high"), most)
    np.testing.assert_array_equal(engine.array("low"), least)
