# SPDX-License-Identifier: GPL-3.0-or-later
"""Engines for tests: real Vulkan, closed when the test ends."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from fluid_addon.diagnostics import FluidError
from fluid_addon.engine import EngineEnvironment, FluidEngine, StencilDefinition
from fluid_addon.gpu.binding import vk
from fluid_addon.gpu.instance import VALIDATION_LAYER, validation_wanted
from fluid_addon.script.context import LuaContext


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which tests share compiled kernels, those of pytest's other workers too."""
    base = tmp_path_factory.getbasetemp()
    return (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "kernels"


@pytest.fixture(scope="module")
def loaded() -> Iterator[None]:
    """Keeps the drivers and the validation layer in memory from one engine of a file to the next.

    To load them takes as long as all else of opening a device. It is no Instance, which tests would count.
    """
    layers = [VALIDATION_LAYER] if validation_wanted() else []
    app = vk.VkApplicationInfo(pApplicationName="Fluid Script's tests", apiVersion=vk.VK_MAKE_VERSION(1, 3, 0))
    try:
        instance = vk.vkCreateInstance(vk.VkInstanceCreateInfo(pApplicationInfo=app, ppEnabledLayerNames=layers), None)
    except vk.VkError:  # no driver, or no layer: each engine says so
        yield
        return
    yield
    vk.vkDestroyInstance(instance, None)


@pytest.fixture
def make_engine(compiled: Path, loaded: None) -> Iterator[Callable[..., FluidEngine]]:
    """Makes engines; `make_engine((nx, ny, nz), boundary="clamp")`."""
    made: list[FluidEngine] = []

    def make(size: tuple[int, int, int] = (8, 8, 8), **options: Any) -> FluidEngine:
        environment = options.setdefault("environment", EngineEnvironment())
        environment.cache = environment.cache or compiled
        engine = FluidEngine(domain_size=size, **options)
        made.append(engine)
        return engine

    yield make
    for engine in made:
        engine.close()


@pytest.fixture
def define() -> Callable[..., StencilDefinition]:
    """`define("name", code, "a b", "a_new")` with inputs and outputs as words."""

    def make(name: str, code: str, inputs: str = "", outputs: str = "", **more: Any) -> StencilDefinition:
        return StencilDefinition(name, code, tuple(inputs.split()), tuple(outputs.split()), **more)

    return make


def set_field(engine: FluidEngine, name: str, values: npt.NDArray[Any]) -> None:
    """Put an array into a field that was just declared."""
    assert engine._simulation is not None
    field = engine.fields[name]
    assert not field.buffers, "only before the first step"
    with np.errstate(under="ignore"):
        engine._simulation.start_from(field, np.asarray(values, field.format.dtype))


@pytest.fixture(name="set_field")
def set_field_fixture() -> Callable[[FluidEngine, str, npt.NDArray[Any]], None]:
    return set_field


@pytest.fixture
def run_lua(compiled: Path, loaded: None) -> Iterator[Callable[..., FluidEngine]]:
    """Runs a script to its end and gives the engine that it made last, still open; `run_lua(text, lines.append)`."""
    contexts: list[LuaContext] = []

    def run(source: str, log: Callable[[str], None] = print) -> FluidEngine:
        context = LuaContext(log=log)
        contexts.append(context)
        context.bind_engine(partial(FluidEngine, environment=EngineEnvironment(cache=compiled)))
        context.run_source(source, "test.lua")
        engine = context.engines[-1]
        assert isinstance(engine, FluidEngine)
        return engine

    yield run
    for context in contexts:
        context.close()


@pytest.fixture
def refused() -> Callable[[str], FluidError]:
    """The error of a script that is wrong, found without a device."""

    def check(source: str) -> FluidError:
        with LuaContext() as context, pytest.raises(FluidError) as caught:
            context.bind_engine(lambda **options: FluidEngine(**options, environment=EngineEnvironment(check=True)))
            context.run_source(source, "test.lua")
        return caught.value

    return check
