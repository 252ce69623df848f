# SPDX-License-Identifier: GPL-3.0-or-later
"""Memory that is refused, whichever piece it is: one error with sizes, nothing left behind, and the next run works."""

from __future__ import annotations

import itertools

import pytest

from fluid_addon.diagnostics import FluidError
from fluid_addon.engine import EngineEnvironment, FluidEngine, Format, StencilDefinition, status
from fluid_addon.faults import injected
from fluid_addon.gpu.device import Device
from fluid_addon.gpu.lifetime import left_counts, live_counts
from fluid_addon.script.context import LuaContext
from tests.gpu.small_engines import KINDS, passages, run

QUICK = ("sparse", "two", "solver", "export")
EVERY_ONE = pytest.mark.long
CASES = [
    *(pytest.param(kind, False, id=f"{kind}, some") for kind in QUICK),
    *(pytest.param(kind, True, id=f"{kind}, every one", marks=EVERY_ONE) for kind in KINDS),
]
POINTS = ("memory.host", "device.objects", "device.pipeline", "device.open")
POINT_CASES = [
    *(pytest.param(point, "two", False, id=f"{point}, some") for point in POINTS),
    *(pytest.param(point, "solver two", True, id=f"{point}, every one", marks=EVERY_ONE) for point in POINTS),
]


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("kernels")


@pytest.mark.parametrize(("kind", "exhaustive"), CASES)
def test_V03_the_kth_allocation_that_fails_ends_the_run_and_leaves_nothing(kind, exhaustive, cache, tmp_path):
    fired = 0
    for number in passages(exhaustive):
        with injected("memory.allocate", number) as armed:
            left = left_counts()
            try:
                assert run(cache, tmp_path / str(number), **KINDS[kind]) > 0, "the run after the last error works"
            except FluidError as error:
                assert error.code == "device-memory"
                assert len(error.diagnostics) == 1
                assert " refused " in str(error)
                assert "iB" in str(error) or " B for " in str(error), "it says how much was asked for"
            else:
                assert not armed.fired
                assert left_counts() == left, "without an error nothing is left to the device"
        assert live_counts() == {}, number
        if not armed.fired:
            break
        fired += 1
    assert fired >= 2


@pytest.mark.parametrize(("point", "kind", "exhaustive"), POINT_CASES)
def test_V03_small_objects_that_fail_end_the_run_and_leave_nothing(point, kind, exhaustive, cache, tmp_path):
    options = {**KINDS[kind], "exports": True}
    fired = 0
    for number in passages(exhaustive):
        with injected(point, number) as armed:
            try:
                run(cache, tmp_path / str(number), **options)
            except FluidError as error:
                assert error.code == "device-memory"
                assert len(error.diagnostics) == 1
            else:
                assert not armed.fired
        assert live_counts() == {}, number
        if not armed.fired:
            break
        fired += 1
    assert fired >= 1


def test_V03_a_device_that_refused_memory_takes_no_further_work(cache):
    """A script may catch the error and go on: what was to be made is half made, so nothing is computed with it."""
    engine = FluidEngine(domain_size=(64, 32, 24), sparse=True, environment=EngineEnvironment(cache=cache))
    try:
        engine.add_field("a", Format.R32F, 0)
        code = 'WriteField("a_new", idx, ReadField("a", idx) + 1.0);'
        engine.add_stencil(StencilDefinition("grow", code, ("a",), ("a_new",)))
        engine.activate(low=(0, 0, 0), high=(0.5, 0.5, 0.5))
        engine.step(1.0)
        with injected("memory.allocate", 3), pytest.raises(FluidError, match=r'refused .* for "a"') as first:
            engine.activate(low=(0, 0, 0), high=(6.3, 3.1, 2.3))
            engine.step(1.0)
        for action in (lambda: engine.step(1.0), lambda: engine.reduce("a", "sum"), lambda: engine.fill("a", 1.0)):
            with pytest.raises(FluidError) as caught:
                action()
            assert caught.value.code == "device-memory"
            assert str(caught.value) == str(first.value)
    finally:
        engine.close()
    assert live_counts() == {}


def test_V03_status_words_that_find_no_room_are_said_at_every_call(cache, monkeypatch):
    monkeypatch.setattr(status, "WORDS", 2)
    codes = []
    for number in itertools.count(1):
        engine = FluidEngine(domain_size=(8, 8, 8), environment=EngineEnvironment(cache=cache))
        try:
            engine.add_field("a", Format.R32F, 0)
            for name in ("s", "t", "u"):
                engine.add_stencil(StencilDefinition(name, 'WriteField("a_new", idx, 1.0);', (), ("a_new",)))
                if name == "s":
                    engine.step(1.0)
            with injected("memory.allocate", number) as armed:
                for _ in range(3):
                    try:
                        engine.step(1.0)
                    except FluidError as error:
                        codes.append(error.code)
        finally:
            engine.close()
        assert live_counts() == {}
        if not armed.fired:
            break
        assert codes[-3:] == ["device-memory"] * 3
    assert len(codes) >= 9, "for the words, and for each of their copies"


GAS = """
local gas = require("fluid.gas")
sim = FluidEngine.new{domain_size = {16, 16, 24}, voxel_size = 0.1, sparse = SPARSE}
gas.fields(sim, {"density", "temperature"})
gas.emit(sim, {shape = gas.sphere{center = {0.8, 0.8, 0.4}, radius = 0.3}, fields = {density = 1, temperature = 1}})
gas.obstacle(sim, {shape = gas.sphere{center = {0.8, 0.8, 1.4}, radius = 0.3}})
gas.advect(sim, {fields = {"density", "temperature"}})
gas.advect_velocity(sim)
gas.buoyancy(sim, {temperature = 2})
gas.project(sim)
for frame = 1, 2 do sim:step(1 / 24) end
"""


@pytest.mark.long
@pytest.mark.parametrize("storage", ["false", "true"], ids=["dense", "sparse"])
def test_V03_the_gas_library_with_all_its_buffers_leaves_nothing(storage):
    fired = 0
    for number in passages(exhaustive=False):
        context = LuaContext()
        context.bind_engine(FluidEngine)
        with injected("memory.allocate", number) as armed:
            try:
                context.run_source(GAS.replace("SPARSE", storage), "gas.lua")
            except FluidError as error:
                assert error.code == "device-memory"
                assert error.diagnostics[0].place is not None, "it says at which line"
            else:
                assert not armed.fired
            finally:
                context.close()
        assert live_counts() == {}, number
        if not armed.fired:
            break
        fired += 1
    assert fired >= 3


def test_a_device_that_cannot_be_opened_is_said():
    with (
        injected("device.open", 1),
        pytest.raises(FluidError, match="has no memory left for another program") as caught,
    ):
        Device()
    assert caught.value.code == "device-memory"
    assert live_counts() == {}
