# SPDX-License-Identifier: GPL-3.0-or-later
"""Slabs read beyond their ends: halos travel when they have to and no oftener, and grow where a read goes further."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from fluid_addon.diagnostics import FluidError
from fluid_addon.engine import Format
from fluid_addon.engine.exchange import Exchange

SIZE = (48, 8, 16)
FIELDS = {"a": Format.R32F, "b": Format.R32F, "v": Format.R32G32B32F}
BESIDE = 'ReadField("a", coord + ivec3(1, 0, 0)) + ReadField("a", coord - ivec3(1, 0, 0))'
STORAGES = [{"gpu_count": 2}, {"gpu_count": 3}, {"gpu_count": 2, "sparse": True}, {"gpu_count": 3, "sparse": True}]


def numbers(name: str, speed: float = 0.0) -> np.ndarray:
    shape = (*SIZE, 3) if name == "v" else SIZE
    random = np.random.default_rng([5, *name.encode()]).random(shape, np.float32)
    return (2 * random - 1) * np.float32(speed) if name == "v" else random


@pytest.fixture
def make(make_engine, set_field):
    def make_one(speed=0.0, **storage):
        engine = make_engine(SIZE, **storage)
        for name, kind in FIELDS.items():
            engine.add_field(name, kind, 0.25)
            set_field(engine, name, numbers(name, speed))
        return engine

    return make_one


def same(engine, other) -> None:
    for name in engine.fields:
        assert engine.array(name).tobytes() == other.array(name).tobytes(), name


def halo_of(engine) -> int:
    return engine._simulation.parts[0].slab.halo


# ===== Reads beyond the halo

SHORT = (("in place, several times", "open"), ("two in one step", "periodic"))
PROGRAMS = {
    "semi-lagrangian": [
        ("advect", 'WriteField("a_new", idx, SampleField("a", vec3(coord) - ReadField("v", idx)));', 1)
    ],
    "in place, several times": [
        ("first", 'WriteField("a", idx, 0.5 * (ReadField("a", idx) + ReadField("b", coord + ivec3(2, 0, 0))));', 3),
        (
            "far",
            'WriteField("b_new", idx, ReadField("b", coord - ivec3(ReadField("v", idx))) + ReadField("a", idx));',
            2,
        ),
        (
            "keep",
            'WriteField("a", idx, 0.5 * ReadField("a", idx) + SampleField("b", vec3(coord) + ReadField("v", idx)));',
            2,
        ),
    ],
    "two in one step": [
        ("one", 'WriteField("a_new", idx, SampleField("a", vec3(coord) - 0.3 * ReadField("v", idx)));', 1),
        ("two", 'WriteField("b", idx, ReadField("b", idx) + SampleField("a", vec3(coord) - ReadField("v", idx)));', 1),
    ],
}


CASES = [
    pytest.param(program, rule, id=f"{name}, {rule}", marks=() if (name, rule) in SHORT else pytest.mark.long)
    for (name, program), rule in product(PROGRAMS.items(), ("open", "periodic"))
]


@pytest.mark.parametrize(("program", "boundary"), CASES)
def test_a_velocity_of_40_voxels_a_step_gives_the_same_bits(make, define, program, boundary):
    def run(**storage):
        engine = make(40.0, boundary=boundary, **storage)
        for name, code, iterations in program:
            outputs = [n for n in ("a_new", "b_new", "a", "b") if f'WriteField("{n}"' in code]
            inputs = " ".join(n for n in FIELDS if f'Field("{n}"' in code)
            engine.add_stencil(define(name, code, inputs, " ".join(outputs), iterations=iterations))
        for _ in range(2):
            engine.step(1.0)
        return engine

    dense = run()
    for storage in (STORAGES[0], STORAGES[3]):
        engine = run(**storage)
        same(engine, dense)
        assert halo_of(engine) > 30 or engine._simulation.parts[0].slab.holds_all


def test_what_lacked_its_halo_is_no_finding(make_engine, define, set_field):
    """A root of a negative number that is only there as long as the halo is too narrow stops nothing."""
    engine = make_engine((64, 8, 8), gpu_count=2)
    engine.add_field("a", Format.R32F, 0)
    engine.add_field("b", Format.R32F, 0)
    set_field(engine, "a", np.broadcast_to(np.arange(64.0)[:, None, None], (64, 8, 8)))
    further = 'ReadField("a", ivec3(min(coord.x + {}, 63), coord.yz))'
    code = f"float d = {further.format(20)} - {further.format(19)};"
    code += 'WriteField("b", idx, sqrt(coord.x < 44 ? d - 0.5 : 0.0));'
    engine.add_stencil(define("root", code, "a", "b"))
    engine.step(1.0)
    assert halo_of(engine) == 20
    assert np.unique(engine.array("b")[:44]) == np.float32(np.sqrt(0.5))


def test_real_nan_beyond_the_first_halo_is_found(make_engine, define, set_field):
    engine = make_engine((64, 8, 8), gpu_count=2)
    engine.add_field("a", Format.R32F, 1)
    values = np.ones((64, 8, 8))
    values[50] = -1
    set_field(engine, "a", values)
    code = 'WriteField("a_new", idx, sqrt(ReadField("a", ivec3(min(coord.x + 30, 63), coord.yz))));'
    engine.add_stencil(define("root", code, "a", "a_new"))
    with pytest.raises(FluidError, match=r"first at voxel \{20, 0, 0\}") as caught:
        engine.step(1.0)
        engine.finish()
    assert caught.value.code == "not-a-number"


# ===== Exchanges


def moved(engine, steps: int) -> list[int]:
    """Bytes that travelled in each of some steps."""
    counted = []
    for _ in range(steps):
        before = engine._simulation.halos.bytes
        engine.step(1.0)
        counted.append(engine._simulation.halos.bytes - before)
    return counted


PLANES = 2 * 4 * SIZE[1] * SIZE[2] * 4  # of a 32-bit field, both ways across one cut


@pytest.mark.parametrize("storage", STORAGES[::2], ids=["dense", "sparse"])
def test_a_field_that_nobody_writes_travels_once(make, define, storage):
    engine = make(**storage)
    engine.add_stencil(define("sum", f'WriteField("b", idx, ReadField("b", idx) + {BESIDE});', "a b", "b"))
    assert moved(engine, 10) == [0] * 10  # its start is known everywhere
    engine.add_stencil(define("once", 'WriteField("a", idx, 2.0 * ReadField("a", idx));', "a", "a", enabled=False))
    engine.run_stencil("once")
    assert moved(engine, 10) == [PLANES] + [0] * 9
    engine.fill("a", 3.0)
    assert moved(engine, 2) == [0, 0]


def test_a_halo_that_grew_is_no_fresh_one_because_the_field_gets_its_other_side(make, define):
    found = []
    for storage in ({}, {"gpu_count": 2}):
        engine = make(1.0, **storage)
        engine.fill("a", 2.0)  # values that the new planes of the halo lack
        advect = 'WriteField("a_new", idx, SampleField("a", vec3(coord) - ReadField("v", idx)));'
        engine.add_stencil(define("advect", advect, "a v", "a_new"))
        engine.step(0.1)
        found.append(engine)
    assert halo_of(found[1]) == 8
    same(*found)


def test_a_field_that_is_written_travels_each_time(make, define):
    engine = make(gpu_count=3)
    engine.add_stencil(define("blur", f'WriteField("a_new", idx, 0.5 * ({BESIDE}));', "a", "a_new", iterations=2))
    assert moved(engine, 3) == [2 * PLANES, 4 * PLANES, 4 * PLANES]


def test_fields_of_one_stencil_travel_together(make, define, monkeypatch):
    sent = []
    send = Exchange.send
    monkeypatch.setattr(Exchange, "send", lambda self: (sent.append([f.name for f in self._fields]), send(self))[1])
    engine = make(gpu_count=2)
    both = f'WriteField("b_new", idx, 0.1 * ({BESIDE} + ReadField("b", coord + ivec3(2, 0, 0))));'
    engine.add_stencil(define("both", both, "a b", "b_new"))
    engine.add_stencil(define("own", 'WriteField("a", idx, 0.5 * ReadField("a", idx));', "a", "a"))
    moved(engine, 1)
    assert sent == []
    moved(engine, 1)
    assert [sorted(names) for names in sent] == [["a", "b"]]


# ===== Fields of other resolutions


@pytest.mark.parametrize(("resolution", "along"), [*product((0.25, 0.5, 2, 3, 4), (1, 3))])
def test_fields_of_other_resolutions_have_halos_too(make_engine, define, set_field, resolution, along):
    """Also where the interior of a slab ends within what one invocation would compute of the whole domain."""

    def run(**storage):
        engine = make_engine((32, 8, 8), **storage)
        for name in "cd":
            engine.add_field(name, Format.R32F, 1, resolution=resolution)
        shape = engine.domain.at(engine.fields["c"].resolution).size
        set_field(engine, "c", np.random.default_rng(2).random(shape))
        ends = f'ReadField("c", coord + ivec3({along}, 0, 0)) + ReadField("c", coord - ivec3({along}, 1, 0))'
        engine.add_stencil(define("spread", f'WriteField("c_new", idx, 0.4 * ({ends}));', "c", "c_new"))
        engine.add_stencil(define("add", f'WriteField("d", idx, ReadField("d", idx) + {ends});', "c d", "d"))
        for _ in range(2):
            engine.step(1.0)
        return engine

    dense = run()
    same(run(gpu_count=2), dense)


@pytest.mark.parametrize("size", [12, 24, 26])
def test_a_halo_that_reaches_around_a_periodic_domain(make_engine, define, set_field, size):
    """Also where it is wider than all that lies beyond, and the slabs are of different lengths."""

    def run(**storage):
        engine = make_engine((size, 5, 6), boundary=("periodic", "open", "open"), **storage)
        engine.add_field("a", Format.R32F, 0)
        set_field(engine, "a", np.random.default_rng(4).random((size, 5, 6)))
        ends = 'ReadField("a", coord + ivec3(9, 4, 0)) + ReadField("a", coord - ivec3(5, 0, 4))'
        engine.add_stencil(define("mix", f'WriteField("a_new", idx, 0.5 * ({ends}));', "a", "a_new"))
        for _ in range(3):
            engine.step(1.0)
        return engine

    dense = run()
    for storage in STORAGES[::2]:
        engine = run(**storage)
        same(engine, dense)
        assert [engine.read("a", (x, 1, 2)) for x in range(size)] == list(dense.array("a")[:, 1, 2])
        assert engine.reduce("a", "sum") == dense.reduce("a", "sum")
