# SPDX-License-Identifier: GPL-3.0-or-later
"""A device that is lost is said once, with what it did; everything is let go, and nothing waits for ever."""

from __future__ import annotations

import pytest

from fluid_addon.diagnostics import FluidError
from fluid_addon.engine import EngineEnvironment, FluidEngine, Format, StencilDefinition
from fluid_addon.faults import injected
from fluid_addon.gpu.execution import LOST_SLICES
from fluid_addon.gpu.lifetime import live_counts
from tests.gpu.small_engines import KINDS, passages, run

GROW = StencilDefinition("grow", 'WriteField("a_new", idx, ReadField("a", idx) + 1.0);', ("a",), ("a_new",))
DOUBLE = StencilDefinition("double", 'WriteField("a_new", idx, ReadField("a", idx) * 2.0);', ("a",), ("a_new",))

POINTS = ("device.submit", "device.wait")
CASES = [
    *(pytest.param(point, "dense", False, id=f"{point}, dense, some") for point in POINTS),
    pytest.param("device.submit", "sparse two", False, id="device.submit, sparse two, some"),
    pytest.param("device.wait", "export", False, id="device.wait, export, some"),
    *(
        pytest.param(point, kind, True, id=f"{point}, {kind}, every one", marks=pytest.mark.long)
        for kind in KINDS
        for point in POINTS
    ),
]


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("kernels")


@pytest.fixture
def engine(cache):
    made = FluidEngine(domain_size=(4, 4, 4), environment=EngineEnvironment(cache=cache))
    made.add_field("a", Format.R32F, 1)
    made.add_stencil(GROW)
    yield made
    made.close()
    assert live_counts() == {}


def test_a_lost_device_is_said_once_and_for_all_and_lets_go(engine):
    engine.step(1.0)
    with injected("device.submit", 1), pytest.raises(FluidError, match=r'"[^"]+" was lost during "step" in frame 2\.'):
        engine.step(1.0)
    for action in (lambda: engine.step(1.0), lambda: engine.reduce("a", "sum"), engine.finish):
        with pytest.raises(FluidError, match='was lost during "step"') as caught:
            action()
        assert caught.value.code == "device-lost"
        assert len(caught.value.diagnostics) == 1


@pytest.mark.parametrize(("point", "kind", "exhaustive"), CASES)
def test_V05_V17_a_device_that_is_lost_at_its_nth_call_ends_the_run_once(point, kind, exhaustive, cache, tmp_path):
    """Whatever takes a device away, a fault, a reset, a new driver: the answer to the next call is the same."""
    fired = 0
    for number in passages(exhaustive):
        with injected(point, number) as armed:
            try:
                run(cache, tmp_path / str(number), **KINDS[kind])
            except FluidError as error:
                assert (error.code, len(error.diagnostics)) == ("device-lost", 1)
                assert "was lost" in str(error)
            else:
                assert not armed.fired
        assert live_counts() == {}, number
        if not armed.fired:
            break
        fired += 1
    assert fired >= 1


@pytest.mark.parametrize(
    ("point", "storage"),
    [
        ("device.wait", {}),
        pytest.param("device.submit", {}, marks=pytest.mark.long),
        pytest.param("device.wait", {"sparse": True}, marks=pytest.mark.long),
    ],
)
def test_V06_a_careful_run_names_the_kernel_in_which_the_device_is_lost(storage, point, cache):
    named = set()
    for number in range(1, 40):
        environment = EngineEnvironment(cache=cache, careful=True)
        engine = FluidEngine(domain_size=(8, 8, 8), environment=environment, **storage)
        engine.add_field("a", Format.R32F, 1)
        for definition in (GROW, DOUBLE):
            engine.add_stencil(definition)
        engine.step(1.0)
        with injected(point, number) as armed:
            try:
                engine.step(1.0)
                engine.finish()
            except FluidError as error:
                assert error.code == "device-lost"
                named.add(str(error).split("was lost ")[1].split(" in frame")[0])
        engine.close()
        assert live_counts() == {}
        if not armed.fired:
            break
    assert {'in the kernel "grow"', 'in the kernel "double"'} <= named


@pytest.mark.parametrize(
    "kind", ["dense", *(pytest.param(kind, marks=pytest.mark.long) for kind in ("sparse two", "solver"))]
)
def test_a_careful_run_computes_the_same(kind, cache, tmp_path):
    plain, careful = (run(cache, tmp_path / str(c), careful=c, **KINDS[kind]) for c in (False, True))
    assert plain == careful


def test_a_wait_names_the_recording_that_runs(engine):
    engine.step(1.0)
    execution = engine._simulation.parts[0].execution
    execution.wait_all()
    engine.step(1.0)
    with injected("device.wait", 1), pytest.raises(FluidError, match='was lost during "step"'):
        execution.wait_all()


def test_V05_a_device_that_is_lost_after_it_refused_memory_is_let_go(engine):
    """The first error stays the one that is told; the end does not wait for a device that will never answer."""
    engine.step(1.0)
    engine.add_field("b", Format.R32F, 0)
    with injected("memory.allocate", 1), pytest.raises(FluidError) as caught:
        engine.step(1.0)
    assert caught.value.code == "device-memory"
    with injected("device.gone", 1, more=True) as gone:
        engine._simulation.idle()
    assert gone.passed == LOST_SLICES


def test_V07_waits_that_time_out_wait_on_and_free_nothing(engine):
    engine.step(1.0)
    with injected("device.slow", 1, more=True) as slow:
        execution = engine._simulation.parts[0].execution
        assert not any(execution.done(execution._ticket) for _ in range(3)), "done answers and waits for nothing"
        before, turns = live_counts(), []

        def give_way() -> bool:
            turns.append(live_counts())
            slow.more = len(turns) < 3
            return False

        execution.wait(execution._ticket, give_way)
    # Where the step is still under way after these three, as a driver that compiles may have it, there are more.
    assert len(turns) >= 3 and turns[:3] == [before] * 3
    assert engine.reduce("a", "sum") == 2 * 64


def test_V07_an_end_waits_for_what_is_under_way(engine):
    """Cancelled or not: what the device still uses is released only when it has answered."""
    engine.step(1.0)
    with injected("device.slow", 1, more=True) as slow:
        waits, real = [], engine._simulation.parts[0].execution._timeline.wait

        def counted(value: int, nanoseconds: int) -> int:
            waits.append(live_counts())
            slow.more = len(waits) < 4
            return real(value, nanoseconds)

        engine._simulation.parts[0].execution._timeline.wait = counted
        engine.close()
    assert len(waits) >= 4
    assert all(count == waits[0] for count in waits[:4])
