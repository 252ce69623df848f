# SPDX-License-Identifier: GPL-3.0-or-later
"""A device that is lost is said once, with what it did; everything is let go, and a new engine works."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest

from fluid_addon.diagnostics import FluidError
from fluid_addon.engine import EngineEnvironment, FluidEngine, Format, StencilDefinition
from fluid_addon.engine.solver import SolverDefinition
from fluid_addon.faults import injected
from fluid_addon.gpu.lifetime import live_counts

GROW = StencilDefinition("grow", 'WriteField("a_new", idx, ReadField("a", idx) + 1.0);', ("a",), ("a_new",))
SPREAD = StencilDefinition(
    "spread", 'WriteField("b_new", idx, ReadField("b", coord + ivec3(1, 0, 0)) + 1.0);', ("b",), ("b_new",)
)


def built(solver: bool = False, careful: bool = False, **options: object) -> FluidEngine:
    engine = FluidEngine(domain_size=(24, 8, 8), environment=EngineEnvironment(careful=careful), **options)  # type: ignore[arg-type]
    try:
        for name in "ab":
            engine.add_field(name, Format.R32F, 0)
        engine.add_stencil(GROW)
        engine.add_stencil(SPREAD)
        if solver:
            engine.add_solver(SolverDefinition("solve", "a", "b"))
    except BaseException:
        engine.close()
        raise
    return engine


def test_a_lost_device_is_said_once_and_for_all_and_lets_go():
    engine = built()
    engine.step(1.0)
    with injected("device.submit", 1), pytest.raises(FluidError, match=r'"[^"]+" was lost during "step" in frame 2\.'):
        engine.step(1.0)
    for action in (lambda: engine.step(1.0), lambda: engine.reduce("a", "sum"), engine.finish):
        with pytest.raises(FluidError, match='was lost during "step"') as caught:
            action()
        assert caught.value.code == "device-lost"
        assert len(caught.value.diagnostics) == 1
    engine.close()
    assert live_counts() == {}


@pytest.mark.parametrize("point", ["device.submit", "device.wait"])
@pytest.mark.parametrize(
    "options",
    [{}, {"solver": True}, {"gpu_count": 2, "sparse": True}, {"gpu_count": 2, "solver": True}],
    ids=["dense", "solver", "sparse on two devices", "solver on two devices"],
)
def test_V05_V17_a_device_that_is_lost_at_its_nth_call_ends_the_run_once(point, options):
    """Whatever takes a device away, a fault, a reset, a new driver: the answer to the next call is the same."""

    def run(engine: FluidEngine) -> None:
        for _ in range(3):
            engine.step(1.0)
        engine.reduce("a", "sum")

    visited = 0
    for number in itertools.chain(range(1, 12), range(12, 10_000, 23)):
        with injected(point, number) as armed:
            engine = None
            try:
                engine = built(**options)
                run(engine)
            except FluidError as error:
                assert armed.fired
                assert (error.code, len(error.diagnostics)) == ("device-lost", 1)
                assert "was lost" in str(error)
            finally:
                if engine is not None:
                    engine.close()
        assert live_counts() == {}, number
        visited += armed.fired
        if not armed.fired:
            break
    assert visited >= 5


def message_of(run: Callable[[], object]) -> str:
    with pytest.raises(FluidError) as caught:
        run()
    assert caught.value.code == "device-lost"
    return str(caught.value)


@pytest.mark.parametrize("options", [{}, {"sparse": True}], ids=["dense", "sparse"])
def test_V06_a_careful_run_names_the_kernel_in_which_the_device_is_lost(options):
    for point in ("device.submit", "device.wait"):
        named = set()
        for number in range(1, 40):
            engine = built(careful=True, **options)
            engine.step(1.0)
            with injected(point, number) as armed:
                try:
                    engine.step(1.0)
                except FluidError as error:
                    assert error.code == "device-lost"
                    named.add(str(error).split("was lost ")[1].split(" in frame")[0])
            engine.close()
            assert live_counts() == {}
            if not armed.fired:
                break
        assert {'in the kernel "grow"', 'in the kernel "spread"'} <= named, point


def test_a_careful_run_computes_the_same_bits():
    results = []
    for careful in (False, True):
        engine = built(careful=careful, solver=True)
        for _ in range(3):
            engine.step(0.7)
        results.append([engine.array(name).tobytes() for name in "ab"])
        engine.close()
    assert results[0] == results[1]


def test_a_wait_for_several_recordings_names_the_one_that_runs():
    engine = built()
    engine.step(1.0)
    execution = engine._simulation.parts[0].execution  # type: ignore[union-attr]
    execution.wait_all()
    engine.step(1.0)
    with injected("device.wait", 1):
        assert 'was lost during "step"' in message_of(execution.wait_all)
    engine.close()
    assert live_counts() == {}
