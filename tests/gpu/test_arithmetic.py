# SPDX-License-Identifier: GPL-3.0-or-later
"""Integers come out of every device as numpy has them, bit by bit, and domains of any size are computed whole."""

from __future__ import annotations

import numpy as np
import pytest

from fluid_addon.diagnostics import FluidError
from fluid_addon.engine import EngineEnvironment, FluidEngine, Format, StencilDefinition

SIZE = (6, 5, 13)

#: The expression in GLSL over a and b, and numpy's twin.
UNSIGNED = {
    "a + b": lambda a, b: a + b,
    "a - b": lambda a, b: a - b,
    "a * b": lambda a, b: a * b,
    "a / max(b, 1u)": lambda a, b: a // np.maximum(b, 1),
    "a % max(b, 1u)": lambda a, b: a % np.maximum(b, 1),
    "(a & b) ^ ~(a | b)": lambda a, b: (a & b) ^ ~(a | b),
    "a << (b & 31u)": lambda a, b: a << (b & 31),
    "a >> (b & 31u)": lambda a, b: a >> (b & 31),
    "min(a, b) + clamp(b, 9u, a | 16u)": lambda a, b: np.minimum(a, b) + np.minimum(np.maximum(b, 9), a | 16),
    "uint(a < b) + 2u * uint(a == b)": lambda a, b: (a < b).astype(np.uint32) + 2 * (a == b).astype(np.uint32),
    "uint(bitCount(a ^ b))": lambda a, b: np.vectorize(lambda v: v.bit_count(), otypes=[np.uint32])(
        (a ^ b).astype(object)
    ),
    "bitfieldExtract(a + b, 5, 9)": lambda a, b: (a + b) >> 5 & 511,
}
SIGNED = {
    "a + b": lambda a, b: a + b,
    "a - b": lambda a, b: a - b,
    "a * b": lambda a, b: a * b,
    "(a / 2) / max(abs(b / 2), 1)": lambda a, b: _cut(
        _cut(a, np.int32(2)), np.maximum(np.abs(_cut(b, np.int32(2))), 1)
    ),
    "a >> (b & 31)": lambda a, b: a >> (b & 31),
    "(a & b) ^ ~(a | b)": lambda a, b: (a & b) ^ ~(a | b),
    "min(a, b) - max(a, b)": lambda a, b: np.minimum(a, b) - np.maximum(a, b),
    "sign(a) * int(a >= b)": lambda a, b: np.sign(a) * (a >= b).astype(np.int32),
}


def _cut(a, b):
    """Division towards zero, as GLSL has it."""
    return np.trunc(a.astype(np.float64) / b).astype(np.int32)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("kernels")


def computed(cache, size, format_, inputs, code, **options):
    engine = FluidEngine(domain_size=size, environment=EngineEnvironment(cache=cache), **options)
    try:
        for name, values in inputs.items():
            engine.add_field(name, format_, 0)
            engine._simulation.start_from(engine.fields[name], values)
        kind = {Format.R32UI: "uint", Format.R32I: "int", Format.R32F: "float"}[format_]
        body = f'{kind} a = ReadField("a", idx); {kind} b = ReadField("b", idx);'
        outputs = tuple(f"out{number}" for number in range(len(code)))
        for name, text in zip(outputs, code, strict=True):
            engine.add_field(name, format_, 0)
            body += f'\nWriteField("{name}", idx, {text});'
        engine.add_stencil(StencilDefinition("compute", body, tuple(inputs), outputs))
        engine.step(1.0)
        return [engine.array(name) for name in outputs]
    finally:
        engine.close()


@pytest.mark.parametrize(
    ("format_", "kind", "cases"),
    [(Format.R32UI, np.uint32, UNSIGNED), (Format.R32I, np.int32, SIGNED)],
    ids=["uint", "int"],
)
def test_V16_integers_are_the_twins_bits(format_, kind, cases, cache):
    rng = np.random.default_rng(5)
    info = np.iinfo(kind)
    a, b = (rng.integers(info.min, info.max, SIZE, kind, endpoint=True) for _ in range(2))
    a.flat[:4], b.flat[:4] = (info.max, info.min, 0, 1), (info.max, 1, 0, info.max)
    b.flat[4:200] = rng.integers(0, 40, 196).astype(kind)
    with np.errstate(all="ignore"):
        expected = [twin(a, b) for twin in cases.values()]
    for text, found, twin in zip(cases, computed(cache, SIZE, format_, {"a": a, "b": b}, cases), expected, strict=True):
        np.testing.assert_array_equal(found, twin.astype(kind), err_msg=text)


@pytest.mark.parametrize("size", [(1, 1, 1), (1, 1, 17), (13, 1, 1), (1, 9, 2), (7, 5, 3)], ids=str)
def test_V04_domains_of_odd_sizes_are_computed_whole(size, cache):
    rng = np.random.default_rng(6)
    a, b = (rng.integers(-99, 99, size).astype(np.float32) for _ in range(2))
    right = 'a * b + ReadField("a", coord - ivec3(1, 1, 1))'
    (found,) = computed(cache, size, Format.R32F, {"a": a, "b": b}, [right])
    before = np.zeros(size, np.float32)
    before[1:, 1:, 1:] = a[:-1, :-1, :-1]
    np.testing.assert_array_equal(found, a * b + before)


@pytest.mark.parametrize("size", [(0, 8, 8), (8, -1, 8), (1 << 20, 1 << 20, 1 << 20)])
def test_V04_a_domain_of_no_or_too_many_voxels_is_refused(size):
    with pytest.raises(FluidError, match="domain_size") as caught:
        FluidEngine(domain_size=size)
    assert caught.value.code == "bad-extent"
