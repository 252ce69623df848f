# SPDX-License-Identifier: GPL-3.0-or-later
"""A read outside the domain follows the boundary, whatever coordinate, index or position a script computes."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from fluid_addon.engine import Format

SIZE = (5, 4, 6)
BACKGROUND = -7.5
OFFSETS = [(0, 0, 1), (-1, 0, 0), (3, -2, 5), (-6, 9, -13), (1000, 0, 0)]
EXTREMES = [-(2**31), -(2**31) + 1, 2**31 - 1, -1, 5, 6]


def expected(values: np.ndarray, coord: np.ndarray, rules: tuple[str, str, str]) -> np.ndarray:
    """numpy's answer for integer coordinates (…, 3)."""
    brought = coord.astype(np.int64).copy()
    outside = np.zeros(coord.shape[:-1], bool)
    for axis, rule in enumerate(rules):
        n = values.shape[axis]
        if rule == "clamp":
            brought[..., axis] = brought[..., axis].clip(0, n - 1)
        elif rule == "periodic":
            brought[..., axis] %= n
        else:
            outside |= (brought[..., axis] < 0) | (brought[..., axis] >= n)
            brought[..., axis] = brought[..., axis].clip(0, n - 1)
    found = values[brought[..., 0], brought[..., 1], brought[..., 2]]
    return np.where(outside, np.float32(BACKGROUND), found)


def random_values() -> np.ndarray:
    return np.random.default_rng(3).normal(size=SIZE).astype(np.float32)


def prepared(make_engine, set_field, rules):
    engine = make_engine(SIZE, boundary=list(rules))
    engine.add_field("a", Format.R32F, BACKGROUND)
    engine.add_field("b", Format.R32F, 0)
    set_field(engine, "a", random_values())
    return engine


RULES = [*itertools.product(("open", "clamp", "periodic"), repeat=3)]


@pytest.mark.parametrize("rules", RULES[::2], ids="-".join)
def test_reads_by_coordinate(make_engine, define, set_field, rules):
    engine = prepared(make_engine, set_field, rules)
    coords = np.stack(np.indices(SIZE), axis=-1)
    for number, offset in enumerate(OFFSETS):
        code = f'WriteField("b", idx, ReadField("a", coord + ivec3{offset}));'
        engine.add_stencil(define(f"shift{number}", code, "a", "b", enabled=False))
        engine.run_stencil(f"shift{number}")
        np.testing.assert_array_equal(engine.array("b"), expected(random_values(), coords + offset, rules))


@pytest.mark.parametrize("rule", ["open", "clamp", "periodic"])
def test_reads_at_the_ends_of_the_integers(make_engine, define, set_field, rule):
    engine = prepared(make_engine, set_field, (rule,) * 3)
    for number, extreme in enumerate(itertools.product(EXTREMES, repeat=3)):
        if number % 7:
            continue
        text = ", ".join(f"int({v & 0xFFFFFFFF}u)" for v in extreme)
        code = f'WriteField("b", idx, ReadField("a", ivec3({text})));'
        engine.add_stencil(define(f"far{number}", code, "a", "b", enabled=False))
        engine.run_stencil(f"far{number}")
        want = expected(random_values(), np.array(extreme), (rule,) * 3)
        assert (engine.array("b") == want).all(), extreme


def test_reads_by_index_are_checked(make_engine, define, set_field):
    engine = prepared(make_engine, set_field, ("open",) * 3)
    flat = random_values().ravel()
    for number, index in enumerate(["idx + 1", "idx - 3", "-2147483647 - 1", "2147483647", "idx + 4000000", "119u"]):
        code = f'WriteField("b", idx, ReadField("a", {index}));'
        engine.add_stencil(define(f"at{number}", code, "a", "b", enabled=False))
        engine.run_stencil(f"at{number}")
        places = np.array([eval(index.replace("u", ""), {"idx": i}) for i in range(flat.size)])
        inside = (places >= 0) & (places < flat.size)
        want = np.where(inside, flat[places.clip(0, flat.size - 1)], np.float32(BACKGROUND)).reshape(SIZE)
        np.testing.assert_array_equal(engine.array("b"), want)


@pytest.mark.parametrize("rule", ["open", "clamp", "periodic"])
def test_samples_between_voxels(make_engine, define, set_field, rule):
    engine = prepared(make_engine, set_field, (rule,) * 3)
    shift = np.array([0.25, -1.5, 2.125])
    code = 'WriteField("b", idx, SampleField("a", vec3(coord) + vec3(0.25, -1.5, 2.125)));'
    engine.add_stencil(define("sample", code, "a", "b"))
    engine.step(1.0)
    position = np.stack(np.indices(SIZE), axis=-1) + shift
    if rule == "clamp":
        position = position.clip(-2, np.array(SIZE) + 1)
    low = np.floor(position).astype(int)
    f = position - low
    want = np.zeros(SIZE)
    for corner in itertools.product((0, 1), repeat=3):
        weight = np.prod(np.where(np.array(corner) == 1, f, 1 - f), axis=-1)
        want += weight * expected(random_values(), low + corner, (rule,) * 3)
    np.testing.assert_allclose(engine.array("b"), want, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("rule", ["open", "clamp", "periodic"])
@pytest.mark.parametrize("value", ["0.0 / (time - time)", "1e30", "-1e30", "1.0 / (time - time)", "2147483648.0"])
def test_a_sample_at_no_sane_position_ends_in_no_foreign_memory(make_engine, define, set_field, rule, value):
    engine = prepared(make_engine, set_field, (rule,) * 3)
    code = f'float far = {value}; WriteField("b", idx, SampleField("a", vec3(far, coord.yz)));'
    engine.add_stencil(define("wild", code, "a", "b"))
    engine.step(1.0)
    values = engine.array("b")
    inside = values[np.isfinite(values)]
    known = np.append(random_values(), np.float32(BACKGROUND))
    assert ((inside >= known.min() - 1e-3) & (inside <= known.max() + 1e-3)).all()
