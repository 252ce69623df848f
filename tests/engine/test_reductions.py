# SPDX-License-Identifier: GPL-3.0-or-later
"""Reductions agree with numpy, are the same on every run, and go by their documented tree."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fluid_addon.engine import EngineEnvironment, FluidEngine, Format
from tests.engine.conftest import set_field as put

SIZES = [(1, 1, 1), (8, 8, 8), (9, 1, 17), (33, 20, 7), (70, 65, 66)]


def values(format_: Format, size) -> np.ndarray:
    rng = np.random.default_rng(7)
    shape = size if format_.components == 1 else (*size, format_.components)
    if format_.is_float:
        return (rng.integers(-4096, 4096, shape) / 1024).astype(format_.dtype)
    low = 0 if format_ is Format.R32UI else -1000
    return rng.integers(low, 1000, shape).astype(format_.dtype)


@pytest.fixture(scope="module")
def filled(compiled, loaded):
    """`filled(size)`: an engine with a field of every format, full of numbers, which no test changes."""
    made: dict[tuple[int, int, int], FluidEngine] = {}

    def of(size):
        if size not in made:
            made[size] = FluidEngine(domain_size=size, environment=EngineEnvironment(cache=compiled))
            for format_ in Format:
                made[size].add_field(format_.name, format_, 0)
                put(made[size], format_.name, values(format_, size))
        return made[size]

    yield of
    for engine in made.values():
        engine.close()


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("format_", list(Format), ids=lambda f: f.name)
def test_against_numpy(filled, format_, size):
    engine, name, data = filled(size), format_.name, values(format_, size)
    wide = data.astype(np.float64).reshape(-1, format_.components)
    scale = np.abs(wide).sum(axis=0)
    assert np.abs(np.atleast_1d(engine.reduce(name, "sum")) - wide.sum(axis=0)).max() <= 3e-7 * scale.max()
    np.testing.assert_array_equal(np.atleast_1d(engine.reduce(name, "min")), wide.min(axis=0))
    np.testing.assert_array_equal(np.atleast_1d(engine.reduce(name, "max")), wide.max(axis=0))
    assert engine.reduce(name, "norm") == pytest.approx(math.sqrt((wide**2).sum()), rel=1e-6)


def fixed_tree(data: np.ndarray) -> np.float32:
    """The documented order of a sum in 32-bit floats: leaves of 8x8x8, then 512 partial results at a time."""
    leaves = [-(-n // 8) for n in data.shape]
    padded = np.zeros([8 * n for n in leaves], np.float32)
    padded[tuple(slice(n) for n in data.shape)] = data
    blocks = padded.reshape(leaves[0], 8, leaves[1], 8, leaves[2], 8).transpose(0, 2, 4, 1, 3, 5).reshape(-1, 64, 8)
    while True:
        lanes = np.zeros(blocks.shape[:2], np.float32)
        for i in range(8):
            lanes = lanes + blocks[:, :, i]
        while lanes.shape[1] > 1:
            half = lanes.shape[1] // 2
            lanes = lanes[:, :half] + lanes[:, half:]
        partial = lanes[:, 0]
        if len(partial) == 1:
            return partial[0]
        count = -(-len(partial) // 512)
        blocks = np.resize(np.append(partial, np.zeros(count * 512 - len(partial), np.float32)), (count, 64, 8))


def test_the_tree_is_bitwise_the_documented_one(make_engine, set_field):
    engine = make_engine((70, 65, 66))
    engine.add_field("a", Format.R32F, 0)
    data = values(Format.R32F, (70, 65, 66))
    set_field(engine, "a", data)
    first = engine.reduce("a", "sum")
    assert np.float32(first) == fixed_tree(data)
    assert all(engine.reduce("a", "sum") == first for _ in range(20))


def test_a_reduction_sees_the_step_before_it(make_engine, define):
    engine = make_engine((16, 16, 16))
    engine.add_field("a", Format.R32F, 0)
    engine.add_stencil(define("add", 'WriteField("a_new", idx, ReadField("a", idx) + 1.0);', "a", "a_new"))
    for step in range(1, 8):
        engine.step(1.0)
        assert engine.reduce("a", "sum") == step * 4096
