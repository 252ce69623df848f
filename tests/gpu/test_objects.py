# SPDX-License-Identifier: GPL-3.0-or-later
"""Vulkan objects are released when they should be, memory is planned before it is taken, caches survive damage."""

from __future__ import annotations

import dataclasses
import gc
from contextlib import contextmanager

import pytest

from fluid_addon.diagnostics import FluidError, human_bytes
from fluid_addon.engine import EngineEnvironment, FluidEngine, Format, StencilDefinition, part
from fluid_addon.engine.solver import SolverDefinition
from fluid_addon.gpu.device import Device
from fluid_addon.gpu.disk_cache import read_cached, write_cached
from fluid_addon.gpu.kernel import KernelLibrary
from fluid_addon.gpu.lifetime import live_counts
from fluid_addon.gpu.memory import Buffer, MemoryPlan, Residence, check_plan


def use(engine: FluidEngine) -> None:
    engine.add_field("a", Format.R32F, 1)
    code = 'WriteField("a_new", idx, ReadField("a", idx) + 1.0);'
    engine.add_stencil(StencilDefinition("grow", code, ("a",), ("a_new",)))
    engine.step(1.0)
    assert engine.reduce("a", "sum") == 2 * 64


@pytest.mark.parametrize("count", [40, pytest.param(200, marks=pytest.mark.long)])
def test_V13_engines_leave_nothing_behind(count, tmp_path):
    before = live_counts()
    for number in range(count):
        environment = EngineEnvironment(cache=tmp_path if number % 8 else None)
        engine = FluidEngine(domain_size=(4, 4, 4), environment=environment)
        use(engine)
        engine.close()
        engine.close()
    assert live_counts() == before == {}


def test_an_engine_that_failed_on_its_way_leaves_nothing_behind():
    with pytest.raises(FluidError):
        FluidEngine(domain_size=(4, 4, 4), device="no such device")
    with pytest.raises(FluidError):
        FluidEngine(domain_size=(4, 4, 4), gpu_count=0)
    engine = FluidEngine(domain_size=(4, 4, 4))
    with pytest.raises(FluidError):
        engine.add_stencil(StencilDefinition("x", "oops", (), ("a_new",)))
    engine.close()
    gc.collect()
    assert live_counts() == {}


@pytest.mark.parametrize("count", [3, pytest.param(200, marks=pytest.mark.long)])
@pytest.mark.parametrize("storage", [{"sparse": True}, {"gpu_count": 2}, {"gpu_count": 2, "sparse": True}])
def test_V13_engines_of_every_storage_leave_nothing_behind(storage, count, tmp_path):
    before = live_counts()
    spread = 'WriteField("b_new", idx, ReadField("b", coord + ivec3(1, 0, 0)) + SampleField("b", vec3(coord) + 9.0));'
    for _ in range(count):
        engine = FluidEngine(domain_size=(24, 8, 8), environment=EngineEnvironment(cache=tmp_path), **storage)
        try:
            for name in "ab":
                engine.add_field(name, Format.R32F, 0)
            engine.add_stencil(StencilDefinition("spread", spread, ("b",), ("b_new",)))
            engine.add_solver(SolverDefinition("solve", "a", "b"))
            for _ in range(2):
                engine.step(1.0)
            engine.reduce("a", "sum")
        finally:
            engine.close()
    assert live_counts() == before == {}


def test_parts_that_fail_midway_leave_nothing_behind(monkeypatch):
    """Whatever the second device's part breaks at, the first one's is released."""
    for module, name in ((part, "KernelLibrary"), (part, "Execution"), (part, "Status"), (part, "Topology")):
        made, real = [], getattr(module, name)

        def second_fails(*arguments, made=made, real=real):
            made.append(real)
            if len(made) > 1:
                raise RuntimeError("no second one")
            return real(*arguments)

        with monkeypatch.context() as patch:
            patch.setattr(module, name, second_fails)
            with pytest.raises(RuntimeError):
                FluidEngine(domain_size=(24, 8, 8), gpu_count=2, sparse=True)
        gc.collect()
        assert live_counts() == {}, name
    with pytest.raises(FluidError):
        FluidEngine(domain_size=(8, 8, 8), gpu_count=2, sparse=True)
    gc.collect()
    assert live_counts() == {}


def test_bytes_for_people():
    assert [human_bytes(n) for n in (0, 1023, 1024, 3_355_443_200)] == ["0 B", "1023 B", "1.0 KiB", "3.1 GiB"]


def test_a_plan_beyond_the_device_is_refused_with_both_numbers(monkeypatch):
    device = Device()
    try:
        device.info = dataclasses.replace(device.info, max_buffer=1 << 60, max_allocation=1 << 60)
        free = device.free_bytes(0)
        monkeypatch.setattr(Device, "free_bytes", lambda _self, _heap: free)  # others take and release it meanwhile
        plan = MemoryPlan((("velocity", free, Residence.DEVICE), ("density", 1 << 30, Residence.DEVICE)))
        with pytest.raises(FluidError) as caught:
            check_plan(device, plan)
        assert caught.value.code == "domain-too-large"
        assert human_bytes(free + (1 << 30)) in str(caught.value)
        assert device.info.name in str(caught.value)
        check_plan(device, plan, allocated=2 << 30)
    finally:
        device.close()


def test_V04_a_field_larger_than_one_allocation_is_refused_at_its_line(monkeypatch):
    monkeypatch.setattr(Device, "free_bytes", lambda _self, _heap: 1 << 40)  # what is declared takes no memory yet
    engine = FluidEngine(domain_size=(1024, 1024, 700))
    try:
        engine.add_field("small", Format.R16F, 0)
        with pytest.raises(FluidError, match="in one piece") as caught:
            engine.add_field("velocity", Format.R32G32B32F, 0)
        assert caught.value.code == "domain-too-large"
    finally:
        engine.close()


@contextmanager
def only_free(engine, monkeypatch, size):
    """While this lasts, so much of the device's memory is free."""
    with monkeypatch.context() as patch:
        patch.setattr(Device, "free_bytes", lambda _self, _heap: size)
        yield


STORAGES = [
    pytest.param({}, id="dense"),
    pytest.param({"sparse": True, "gpu_count": 2}, id="slabs of leaves"),
    pytest.param({"gpu_count": 2}, id="slabs", marks=pytest.mark.long),
    pytest.param({"sparse": True}, id="leaves", marks=pytest.mark.long),
]


@pytest.mark.parametrize("storage", STORAGES)
def test_what_does_not_fit_is_not_declared_and_a_script_that_catches_it_goes_on(storage, monkeypatch):
    engine = FluidEngine(domain_size=(32, 8, 8), **storage)
    try:
        engine.add_field("a", Format.R32F, 1)
        engine.add_field("b", Format.R32F, 0)
        grow = StencilDefinition("grow", 'WriteField("a_new", idx, ReadField("a", idx) + 1.0);', ("a",), ("a_new",))
        engine.add_stencil(StencilDefinition("same", 'WriteField("b", idx, 1.0);', (), ("b",)))
        engine.activate(low=(0, 0, 0), high=(3.1, 0.7, 0.7))
        engine.step(1.0)
        names = [name for name, _, _ in engine._simulation.memory.plan().rows]
        size = 32 * 8 * 8
        with only_free(engine, monkeypatch, 0):
            for refused in (
                lambda: engine.add_field("c", Format.R32G32B32A32F, 0),
                lambda: engine.add_stencil(grow),
                lambda: engine.add_solver(SolverDefinition("solve", "b", "a")),
            ):
                with pytest.raises(FluidError) as caught:
                    refused()
                assert caught.value.code == "domain-too-large"
                assert [name for name, _, _ in engine._simulation.memory.plan().rows] == names
        engine.step(1.0)
        assert engine.reduce("a", "sum") == size
        engine.add_field("c", Format.R32F, 0)
        engine.add_stencil(grow)
        engine.add_solver(SolverDefinition("solve", "b", "a", most=1))
        engine.step(1.0)
        assert engine.reduce("a", "sum") == 2 * size
    finally:
        engine.close()
    assert live_counts() == {}


def test_device_memory_is_what_the_plan_says(make_planned):
    engine, plan = make_planned((64, 64, 64))
    total = 64**3 * (4 * 2 + 12)
    assert plan["bytes"] == total
    assert engine._simulation.memory.allocated() <= 1.05 * total


@pytest.fixture
def make_planned():
    made = []

    def make(size):
        seen: dict[str, object] = {}
        environment = EngineEnvironment(observe=lambda kind, more: seen.update(more) if kind == "memory" else None)
        engine = FluidEngine(domain_size=size, environment=environment)
        made.append(engine)
        engine.add_field("a", Format.R32F, 0)
        engine.add_field("v", Format.R32G32B32F, 0)
        engine.add_stencil(StencilDefinition("s", 'WriteField("a_new", idx, 1.0);', (), ("a_new",)))
        engine.step(1.0)
        return engine, seen

    yield make
    for engine in made:
        engine.close()


def test_a_buffer_that_the_driver_refuses_is_an_error_and_leaves_nothing():
    device = Device()
    try:
        before = live_counts()
        with pytest.raises(FluidError) as caught:
            Buffer(device, "huge", 1 << 46)
        assert caught.value.code == "device-memory"
        assert "huge" in str(caught.value)
        assert live_counts() == before
    finally:
        device.close()


def test_a_damaged_cache_file_is_made_anew(tmp_path):
    write_cached(tmp_path, "x.spv", b"content")
    assert read_cached(tmp_path, "x.spv") == b"content"
    stored = (tmp_path / "x.spv").read_bytes()
    for damaged in (stored[:-1], stored[:5], b"", stored[:-1] + b"!"):
        (tmp_path / "x.spv").write_bytes(damaged)
        assert read_cached(tmp_path, "x.spv") is None
    assert read_cached(tmp_path, "missing") is None
    assert read_cached(None, "x.spv") is None
    assert [p.name for p in tmp_path.iterdir()] == ["x.spv"]


def test_D03_a_cache_folder_that_is_none_costs_time_and_not_the_run(tmp_path):
    folder = tmp_path / "kernels"
    folder.write_text("a file")
    for cache in (folder, folder / "below"):
        engine = FluidEngine(domain_size=(4, 4, 4), environment=EngineEnvironment(cache=cache))
        use(engine)
        engine.close()
        assert live_counts() == {}
    assert folder.read_text() == "a file"


def test_a_device_is_let_go_where_its_pipelines_cannot_be_kept(monkeypatch, tmp_path):
    def refuse(*_arguments):
        raise RuntimeError("no place")

    engine = FluidEngine(domain_size=(4, 4, 4), environment=EngineEnvironment(cache=tmp_path))
    use(engine)
    monkeypatch.setattr(KernelLibrary, "save", refuse)
    with pytest.raises(RuntimeError, match="no place"):
        engine.close()
    assert live_counts() == {}


def test_V18_kernels_come_from_the_disk_cache_and_not_from_damage(tmp_path):
    def run() -> None:
        engine = FluidEngine(domain_size=(4, 4, 4), environment=EngineEnvironment(cache=tmp_path))
        use(engine)
        engine.close()

    run()
    spirv = sorted(tmp_path.glob("*.spv"))
    assert spirv
    times = {p: p.stat().st_mtime_ns for p in spirv}
    run()
    assert {p: p.stat().st_mtime_ns for p in spirv} == times, "the second run compiled nothing"
    for path in tmp_path.iterdir():
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    run()
    assert all(read_cached(tmp_path, p.name) for p in spirv), "damaged files were replaced"


def test_V18_a_pipeline_cache_of_another_driver_is_not_used(tmp_path):
    device = Device()
    try:
        library = KernelLibrary(device, tmp_path)
        library.save()
        library.close()
        (stored,) = tmp_path.glob("*.pipelines")
        content = bytearray(read_cached(tmp_path, stored.name) or b"")
        library = KernelLibrary(device, tmp_path)
        assert library._stored == content
        library.close()
        content[16] ^= 0xFF
        write_cached(tmp_path, stored.name, bytes(content))
        library = KernelLibrary(device, tmp_path)
        assert library._stored == b""
        library.close()
    finally:
        device.close()


def test_V02_what_a_device_cannot_do_is_said_before_it_is_tried():
    engine = FluidEngine(domain_size=(4, 4, 4))
    try:
        simulation = engine._simulation
        device = simulation.parts[0].device
        device.info = dataclasses.replace(device.info, half_storage=False)
        with pytest.raises(FluidError) as caught:
            engine.add_field("heat", Format.R16F, 0)
        assert caught.value.code == "device-feature"
        assert 'cannot store 16-bit floats, which "heat" asks for.' in str(caught.value)
        with pytest.raises(FluidError, match="is too large for") as caught:
            simulation.parts[0].library.make("wide", b"", (1 << 20, 1, 1))
        assert caught.value.code == "device-feature"
    finally:
        engine.close()
