# SPDX-License-Identifier: GPL-3.0-or-later
"""What a step does: order, back buffers, places that are not written, iterations, and what the code is told."""

from __future__ import annotations

import numpy as np
import pytest

from fluid_addon.diagnostics import FluidError
from fluid_addon.engine import EngineEnvironment, Format

SIZE = (6, 5, 9)


def test_the_back_buffer_becomes_the_field_by_name(make_engine, define):
    engine = make_engine(SIZE)
    engine.add_field("a", Format.R32F, 1.0)
    engine.add_stencil(define("grow", 'WriteField("a_new", idx, ReadField("a", idx) * 2.0);', "a", "a_new"))
    for step in range(1, 6):
        engine.step(0.1)
        assert (engine.array("a") == 2.0**step).all()
    assert len(engine.fields["a"].buffers) == 2


def test_a_voxel_that_is_not_written_keeps_its_value(make_engine, define):
    engine = make_engine(SIZE)
    engine.add_field("a", Format.R32G32B32F, (1, 2, 3))
    code = 'if (coord.x == int(dt)) { WriteField("a_new", idx, vec3(dt)); }'
    engine.add_stencil(define("one", code, "", "a_new"))
    for x in (1, 2, 4):
        engine.step(float(x))
    values = engine.array("a")
    for x in range(SIZE[0]):
        assert (values[x] == (x if x in (1, 2, 4) else np.array([1, 2, 3]))).all()


def test_an_early_return_writes_nothing(make_engine, define):
    engine = make_engine(SIZE)
    engine.add_field("a", Format.R32F, 5)
    engine.add_stencil(define("half", 'if (coord.z > 3) return;\nWriteField("a_new", idx, 7.0);', "", "a_new"))
    engine.step(1.0)
    values = engine.array("a")
    assert (values[:, :, :4] == 7).all()
    assert (values[:, :, 4:] == 5).all()


def test_a_read_gives_the_value_from_before_the_stencil(make_engine, define):
    engine = make_engine(SIZE)
    engine.add_field("a", Format.R32F, 3)
    code = 'WriteField("a", idx, 10.0); WriteField("a", idx, ReadField("a", idx) + 1.0);'
    engine.add_stencil(define("twice", code, "a", "a"))
    engine.step(1.0)
    assert (engine.array("a") == 4).all()


@pytest.mark.parametrize("iterations", [1, 2, 3, 8])
def test_iterations_and_the_sides_of_the_buffers(make_engine, define, iterations):
    engine = make_engine(SIZE)
    engine.add_field("a", Format.R32I, 0)
    engine.add_stencil(
        define("count", 'WriteField("a_new", idx, ReadField("a", idx) + 1);', "a", "a_new", iterations=iterations)
    )
    for step in range(1, 4):
        engine.step(1.0)
        assert (engine.array("a") == step * iterations).all()


def test_stencils_run_in_the_order_of_their_declaration(make_engine, define):
    engine = make_engine(SIZE)
    engine.add_field("a", Format.R32F, 1)
    engine.add_stencil(define("add", 'WriteField("a", idx, ReadField("a", idx) + 1.0);', "a", "a"))
    engine.add_stencil(define("double", 'WriteField("a_new", idx, ReadField("a", idx) * 2.0);', "a", "a_new"))
    engine.add_stencil(define("less", 'WriteField("a", idx, ReadField("a", idx) - 3.0);', "a", "a"))
    engine.step(1.0)
    engine.step(1.0)
    assert (engine.array("a") == ((1 + 1) * 2 - 3 + 1) * 2 - 3).all()


def test_a_disabled_stencil_runs_only_by_hand(make_engine, define):
    engine = make_engine(SIZE)
    engine.add_field("a", Format.R32F, 1)
    add = 'WriteField("a", idx, ReadField("a", idx) + 1.0);'
    engine.add_stencil(define("add", add, "a", "a", enabled=False))
    engine.step(1.0)
    assert engine.read("a", (0, 0, 0)) == 1
    engine.run_stencil("add")
    assert engine.read("a", (0, 0, 0)) == 2
    assert engine.frame == 1
    engine.set_enabled("add", True)
    engine.step(1.0)
    assert engine.read("a", (0, 0, 0)) == 3


def test_the_code_is_told_time_frame_and_the_domain(make_engine, define):
    engine = make_engine(SIZE, voxel_size=0.25)
    engine.add_field("a", Format.R32G32B32A32F, 0)
    engine.add_field("b", Format.R32G32B32F, 0)
    code = """
        WriteField("a", idx, vec4(dt, time, float(frame), voxel_size));
        WriteField("b", idx, vec3(domain_size) + (InDomain(coord) ? 0.5 : 0.0)
            + (InDomain(coord - domain_size) ? 9 : 0));
    """
    engine.add_stencil(define("tell", code, "", "a b"))
    engine.step(0.5)
    engine.step(0.125)
    assert engine.read("a", (1, 2, 3)) == (0.125, 0.5, 2.0, 0.25)
    assert engine.read("b", (5, 4, 8)) == tuple(n + 0.5 for n in SIZE)
    assert (engine.frame, engine.time) == (2, 0.625)


def test_fields_and_stencils_may_come_after_steps(make_engine, define):
    engine = make_engine(SIZE)
    engine.add_field("a", Format.R32F, 1)
    engine.add_stencil(define("add", 'WriteField("a_new", idx, ReadField("a", idx) + 1.0);', "a", "a_new"))
    engine.step(1.0)
    engine.add_field("b", Format.R32F, 10)
    engine.add_stencil(
        define("sum", 'WriteField("b_new", idx, ReadField("a", idx) + ReadField("b", idx));', "a b", "b_new")
    )
    engine.step(1.0)
    assert engine.read("a", (0, 0, 0)) == 3
    assert engine.read("b", (0, 0, 0)) == 13


def test_a_step_is_recorded_once_for_each_side(make_engine, define):
    engine = make_engine(SIZE)
    engine.add_field("a", Format.R32F, 1)
    engine.add_stencil(define("add", 'WriteField("a_new", idx, ReadField("a", idx) + 1.0);', "a", "a_new"))
    simulation = engine._simulation
    encode, encoded = simulation.parts[0].execution.encode, []
    simulation.parts[0].execution.encode = lambda recording: encoded.append(recording.name) or encode(recording)
    engine.read("a", (0, 0, 0))
    encoded.clear()
    for _ in range(50):
        engine.step(1.0)
    assert encoded == ["step", "step"]
    engine.set_enabled("add", False)
    engine.step(1.0)
    assert encoded == ["step", "step"]  # there is nothing to do
    engine.set_enabled("add", True)
    engine.step(1.0)
    assert encoded == ["step", "step", "step"]


def test_the_recording_names_fields_and_has_no_barrier_that_nothing_asks_for(make_engine, define):
    engine = make_engine((8, 8, 8))
    for name in "abcd":
        engine.add_field(name, Format.R32F, 1)
    engine.add_stencil(define("one", 'WriteField("b", idx, ReadField("a", idx));', "a", "b"))
    engine.add_stencil(define("two", 'WriteField("d", idx, ReadField("c", idx));', "c", "d"))
    engine.add_stencil(define("three", 'WriteField("a_new", idx, ReadField("d", idx));', "d", "a_new"))
    engine.step(1.0)
    lines = [line.split(" 1x")[0].strip() for line in str(engine._simulation.recording()).splitlines()]
    assert lines == [
        "step:",
        "Dispatch one [a, b, status]",
        "Dispatch two [c, d, status]",
        "Barrier (d)",
        "Dispatch three [d, a, a_new, status]",
    ]


class Values:
    """Parameters of a test."""

    def __init__(self, **values):
        self.values = values

    def names(self):
        return [(name, isinstance(value, bool)) for name, value in self.values.items()]

    def value_at(self, name, frame):
        value = self.values[name]
        return value[frame] if isinstance(value, dict) else value


def test_parameters_reach_the_code_and_change_by_frame(make_engine, define):
    values = Values(gain={1: 2.0, 2: 5.0}, flip=True)
    engine = make_engine(SIZE, environment=EngineEnvironment(parameters=values))
    engine.add_field("a", Format.R32F, 0)
    engine.add_stencil(define("set", 'WriteField("a", idx, params.flip ? -params.gain : params.gain);', "", "a"))
    engine.step(1.0)
    assert engine.read("a", (0, 0, 0)) == -2
    values.values["late"] = 1.0
    values.values["flip"] = False
    engine.step(1.0)
    assert engine.read("a", (0, 0, 0)) == 5


def test_run_counts_frames_and_lands_on_them(make_engine, define):
    engine = make_engine(SIZE)
    engine.add_field("n", Format.R32F, 0)
    engine.add_stencil(define("count", 'WriteField("n", idx, ReadField("n", idx) + 1.0);', "n", "n"))
    engine.run(frames=4, fps=25, substeps=3)
    assert (engine.frame, engine.read("n", (0, 0, 0))) == (4, 12)
    assert engine.time == pytest.approx(4 / 25, abs=0)


def test_auto_substeps_follow_the_largest_velocity(make_engine, define):
    engine = make_engine(SIZE, voxel_size=0.5)
    engine.add_field("velocity", Format.R32G32B32F, (3, 4, 0))
    engine.add_field("n", Format.R32F, 0)
    engine.add_field("longest", Format.R32F, 0)
    code = """
        WriteField("n", idx, ReadField("n", idx) + 1.0);
        WriteField("longest", idx, max(ReadField("longest", idx), dt));
    """
    engine.add_stencil(define("count", code, "n longest", "n longest"))
    engine.run(frames=2, fps=1, substeps="auto", cfl=2)  # 5 units a second are 10 voxels: 5 steps of 2 voxels
    assert engine.read("n", (0, 0, 0)) == 10
    assert engine.read("longest", (0, 0, 0)) == pytest.approx(0.2, rel=1e-6)
    assert engine.time == 2


def test_frames_after_the_last_are_counted_and_not_computed(make_engine, define):
    engine = make_engine(SIZE, environment=EngineEnvironment(last_frame=3))
    engine.add_field("n", Format.R32F, 0)
    engine.add_stencil(define("count", 'WriteField("n", idx, ReadField("n", idx) + 1.0);', "n", "n"))
    for _ in range(10):
        engine.step(1.0)
    assert (engine.frame, engine.read("n", (0, 0, 0))) == (10, 3)


@pytest.mark.parametrize("dt", [0.0, -1.0, float("nan"), float("inf")])
def test_a_step_takes_a_time_above_zero(make_engine, dt):
    engine = make_engine(SIZE)
    engine.add_field("a", Format.R32F, 1)
    with pytest.raises(FluidError) as caught:
        engine.step(dt)
    assert caught.value.code == "bad-argument"
    assert engine.frame == 0


def test_more_fields_in_a_stencil_than_push_constants_hold(make_engine, define):
    engine = make_engine(SIZE)
    names = [f"f{i}" for i in range(60)]
    for i, name in enumerate(names):
        engine.add_field(name, Format.R32F, i)
    engine.add_field("total", Format.R32F, 0)
    terms = " + ".join(f"ReadField({name}, idx)" for name in names)
    engine.add_stencil(define("add", f'WriteField("total", idx, {terms});', " ".join(names), "total"))
    engine.step(1.0)
    assert engine.read("total", (1, 1, 1)) == sum(range(60))
