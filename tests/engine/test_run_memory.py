# SPDX-License-Identifier: GPL-3.0-or-later
"""A plan names all memory that a run takes, and what would not fit is refused while everything is as it was."""

from __future__ import annotations

import re

import numpy as np
import pytest

from fluid_addon.diagnostics import FluidError, human_bytes
from fluid_addon.engine import EngineEnvironment, Format
from fluid_addon.gpu.device import Device
from fluid_addon.gpu.memory import Buffer, Residence

SPREAD = """
    float sum = 0.0;
    for (int x = -1; x <= 1; ++x) for (int y = -1; y <= 1; ++y) sum += ReadField("density", coord + ivec3(x, y, 0));
    WriteField("density_new", idx, sum / 8.0);
"""


@pytest.fixture
def device_bytes(monkeypatch):
    """Bytes of device memory that buffers take at this moment."""
    alive = {}
    made, closed = Buffer._allocate, Buffer.close

    def allocate(buffer, *arguments):
        made(buffer, *arguments)
        if buffer.residence is Residence.DEVICE:
            alive[id(buffer)] = buffer.allocated

    def close(buffer):
        alive.pop(id(buffer), None)
        closed(buffer)

    monkeypatch.setattr(Buffer, "_allocate", allocate)
    monkeypatch.setattr(Buffer, "close", close)
    return lambda: sum(alive.values())


@pytest.fixture
def spreading(make_engine, define, set_field, compiled):
    """Smoke that wakes leaves; `spreading(gpu_count=2)`."""

    def make(observe=lambda _kind, _details: None, **options):
        environment = EngineEnvironment(cache=compiled, observe=observe)
        engine = make_engine((64, 64, 32), sparse=True, environment=environment, **options)
        engine.add_field("density", Format.R32F, 0.0)
        engine.add_field("velocity", Format.R32G32B32F, 0.0)
        density = np.zeros((64, 64, 32), np.float32)
        density[24:40, 24:40, 8:24] = 1
        engine.activate("density", above=1e-6, margin=1)
        engine.activate(low=(2.4, 2.4, 0.8), high=(4, 4, 2.4))
        set_field(engine, "density", density)
        engine.add_stencil(define("spread", SPREAD, "density", "density_new"))
        return engine

    return make


@pytest.mark.parametrize("count", [1, 2])
def test_sparse_memory_is_what_the_plan_says(spreading, device_bytes, count):
    told = []
    engine = spreading(lambda kind, details: told.append(details) if kind == "memory" else None, gpu_count=count)
    for _ in range(4):
        engine.step(1.0)
    engine.reduce("density", "sum")
    parts = engine._simulation.parts
    assert any(part.topology.capacity > 64 for part in parts)
    planned = sum(engine._simulation.memory.plan(part).total(Residence.DEVICE) for part in parts)
    allocated = sum(map(engine._simulation.memory.allocated, parts))
    assert allocated <= 1.05 * planned
    assert device_bytes() <= 1.05 * planned
    assert len(told[-1]["parts"]) == count
    assert told[-1]["bytes"] == sum(part["bytes"] for part in told[-1]["parts"])
    assert told[-1]["table"].count("density_new") == count


@pytest.mark.parametrize("count", [1, 2])
def test_leaves_that_do_not_fit_stop_the_run_before_anything_changes(spreading, monkeypatch, count):
    engine, free = spreading(gpu_count=count), spreading(gpu_count=count)
    engine.step(1.0)
    leaves = engine._simulation.leaves

    def state():
        parts = engine._simulation.parts
        held = [id(buffer) for part in parts for buffers in part.buffers.values() for buffer in buffers]
        return engine.array("density"), leaves.active.copy(), leaves._activation.calm.copy(), held

    before = state()
    monkeypatch.setattr(Device, "free_bytes", lambda _device, _heap: 100_000)
    frame = engine.frame
    with pytest.raises(FluidError) as caught:
        for _ in range(5):
            engine.step(1.0)
            before = state()
    assert caught.value.code == "domain-too-large"
    name = re.escape(engine._simulation.device.info.name)
    text = f'"{name}" cannot hold [0-9,]+ active leaves: they need [0-9.]+ MiB more, and 97.7 KiB are free.'
    assert re.fullmatch(text, str(caught.value))
    assert '"above" of sim:activate' in caught.value.diagnostics[0].hint
    assert all(np.array_equal(a, b) for a, b in zip(state(), before, strict=True))
    monkeypatch.undo()
    done = engine.frame - frame + 1
    for _ in range(2):
        engine.step(1.0)
    for _ in range(done + 2):
        free.step(1.0)
    assert np.array_equal(engine.array("density"), free.array("density"))


def test_logical_devices_need_the_memory_of_their_device_together(make_engine, monkeypatch):
    engine = make_engine((64, 32, 32), gpu_count=2)
    half = 36 * 32 * 32 * 4
    monkeypatch.setattr(Device, "free_bytes", lambda _device, _heap: 2 * half - 1)
    with pytest.raises(FluidError, match=f"needs {re.escape(human_bytes(2 * half))}") as caught:
        engine.add_field("density", Format.R32F)
    assert caught.value.code == "domain-too-large"
    assert '"density, slab 2"' in caught.value.diagnostics[0].hint
    monkeypatch.setattr(Device, "free_bytes", lambda _device, _heap: 2 * half)
    engine._simulation.memory.check()


def test_a_halo_that_does_not_fit_stops_the_run_before_it_is_widened(make_engine, define, monkeypatch):
    engine = make_engine((64, 16, 16), gpu_count=2)
    engine.add_field("density", Format.R32F, 1.0)
    far = 'WriteField("density_new", idx, ReadField("density", coord - ivec3(frame > 1 ? 20 : 0, 0, 0)) + 1.0);'
    engine.add_stencil(define("leap", far, "density", "density_new"))
    engine.step(1.0)
    before = engine.array("density")
    halos = [part.slab.halo for part in engine._simulation.parts]
    monkeypatch.setattr(Device, "free_bytes", lambda _device, _heap: 1000)
    with pytest.raises(FluidError, match=r"cannot hold halos of \d+ voxels: they need [0-9.]+ KiB more") as caught:
        engine.step(1.0)
    assert caught.value.code == "domain-too-large"
    assert [part.slab.halo for part in engine._simulation.parts] == halos
    assert np.array_equal(engine.array("density"), before)
