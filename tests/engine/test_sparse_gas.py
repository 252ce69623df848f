# SPDX-License-Identifier: GPL-3.0-or-later
"""The gas library in a sparse domain: what is awake, and that it is what a dense domain computes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from fluid_addon.engine import FluidEngine
from fluid_addon.engine.leaves import LEAF
from fluid_addon.script.context import LuaContext

RunLua = Callable[..., FluidEngine]
Array = npt.NDArray[Any]


def awake(engine: FluidEngine) -> Array:
    """Which voxels lie in active leaves."""
    assert engine._simulation is not None
    leaves = engine._simulation.leaves
    assert leaves is not None
    mask = np.zeros(leaves.box.shape, bool)
    mask.reshape(-1)[leaves.active] = True
    whole = mask.repeat(LEAF, 0).repeat(LEAF, 1).repeat(LEAF, 2)
    x, y, z = engine.domain_size
    return whole[:x, :y, :z]


def count(engine: FluidEngine) -> int:
    assert engine._simulation is not None
    assert engine._simulation.leaves is not None
    return len(engine._simulation.leaves.active)


# ===== A flow that is what it is: every stencil gives the dense answer

DRIFT = """
    local gas = require("fluid.gas")
    sim = FluidEngine.new{domain_size = {40, 24, 61}, voxel_size = 1 / 16, sparse = SPARSE, boundary = "BOUNDARY"}
    sim:add_field("density", Format.R32F, 0)
    sim:add_field("heat", Format.R32F, 1)
    sim:add_field("velocity", Format.R32G32B32F, {0.9, -0.35, 2.1}, {staggered = true})
    gas.emit(sim, {
        shape = gas.sphere{center = {0.7, 0.9, 0.6}, radius = 0.2}, fields = {density = 1, heat = 3}, to = 3,
        noise = {scale = 0.1},
    })
    gas.advect(sim, {fields = {"density", "heat"}, active = {above = ABOVE, below = ABOVE, margin = 0.25}})
    for i = 1, STEPS do sim:step(1 / 24) end
"""


def drift(run_lua: RunLua, sparse: bool, above: float, steps: int = 12, boundary: str = "open") -> FluidEngine:
    text = DRIFT.replace("SPARSE", str(sparse).lower()).replace("ABOVE", str(above))
    return run_lua(text.replace("STEPS", str(steps)).replace("BOUNDARY", boundary))


@pytest.mark.parametrize("boundary", ["open", "periodic"])
def test_leaves_that_follow_all_of_it_give_the_dense_domain_to_the_last_bit(run_lua, boundary):
    dense, sparse = drift(run_lua, False, 0, boundary=boundary), drift(run_lua, True, 0, boundary=boundary)
    for name in ("density", "heat"):
        expected = dense.array(name)
        assert (expected != expected[0, 0, 0]).any()
        np.testing.assert_array_equal(sparse.array(name), expected)
        assert sparse.reduce(name, "sum") == dense.reduce(name, "sum")
    active = awake(sparse)
    assert 0.02 < active.mean() < 0.7
    assert not dense.array("density")[~active].any()


def test_what_falls_asleep_is_below_the_threshold(run_lua):
    above = 0.02
    dense, sparse = drift(run_lua, False, above), drift(run_lua, True, above)
    expected, found, active = dense.array("density"), sparse.array("density"), awake(sparse)
    assert not found[~active].any()
    assert expected[~active].max() < above
    assert np.abs(found - expected).max() < above
    assert dense.reduce("density", "sum") == pytest.approx(expected.sum(dtype=np.float64))
    lost = dense.reduce("density", "sum") - sparse.reduce("density", "sum")
    assert abs(lost) <= expected[expected < above].sum(dtype=np.float64)
    assert abs(lost) < 1e-3 * expected.sum(dtype=np.float64)
    assert count(sparse) < count(drift(run_lua, True, 0))


# ===== A plume: the pressure ends where the leaves end

PLUME = """
    local gas = require("fluid.gas")
    sim = FluidEngine.new{domain_size = {64, 64, 32}, voxel_size = 1 / 16, origin = {-2, -2, 0}, OPTIONS}
    gas.fields(sim, {"density"})
    gas.emit(sim, {
        shape = gas.cylinder{center = {0, 0, 0.3}, radius = 0.2, height = 0.2}, fields = {density = 1},
        noise = {scale = 0.2, speed = 3},
    })
    gas.advect(sim, {active = {margin = MARGIN}})
    gas.advect_velocity(sim, {scheme = "semilagrangian"})
    gas.buoyancy(sim, {temperature = 0, density = -8})
    gas.project(sim)
    for i = 1, 5 do sim:step(1 / 24) end
"""


def plume(run_lua: RunLua, options: str, margin: float = 1) -> FluidEngine:
    return run_lua(PLUME.replace("OPTIONS", options).replace("MARGIN", str(margin)))


def length(values: Array) -> float:
    """In 64 bits: squares of what is nearly nothing are too small for 32."""
    return float(np.sqrt(np.square(values.astype(np.float64)).sum()))


def test_a_sparse_plume_is_near_the_dense_one_and_always_the_same(run_lua):
    """The wider its margin, the nearer; and on every run to the last bit."""
    dense = plume(run_lua, "sparse = false")
    density, speed = dense.array("density"), dense.array("velocity")
    smoke, apart = density > 0.01, []
    once = plume(run_lua, "sparse = true")
    for sparse in (once, plume(run_lua, "sparse = true", 2)):
        assert awake(sparse).mean() < 0.9
        apart.append(length(sparse.array("density") - density) / length(density))
        flow = length((sparse.array("velocity") - speed)[smoke]) / length(speed[smoke])
        assert flow < 0.1
    assert apart[1] < apart[0] < 0.1
    again = plume(run_lua, "sparse = true")
    np.testing.assert_array_equal(awake(again), awake(once))
    for name in ("density", "velocity", "pressure"):
        np.testing.assert_array_equal(again.array(name), once.array(name))


# ===== What wakes leaves

BOX = "sim = FluidEngine.new{domain_size = {64, 64, 64}, voxel_size = 1 / 8, sparse = true}\n"


def test_sources_wake_the_leaves_of_their_bounds_and_those_around(run_lua):
    engine = run_lua(
        BOX
        + """
        local gas = require("fluid.gas")
        gas.fields(sim, {"density"})
        assert(sim.sparse == true)
        local ball = gas.sphere{center = {1.5, 1.5, 1.5}, radius = 0.25}
        local far = gas.box{center = {6.5, 6.5, 6.5}, size = {0.5, 0.5, 0.5}}
        gas.emit(sim, {shape = gas.union(ball, gas.grown(far, 0.05)), fields = {density = 1}})
        local x = "1.5 + 4.0 * time"
        gas.emit(sim, {
            shape = gas.sphere{center = {x, 6.5, 1.5}, radius = 0.3}, fields = {density = 1}, from = 3,
            within = {low = {1, 6, 1}, high = {7, 7, 2}},
        })
        gas.advect(sim)
        for i = 1, 3 do sim:step(0.25) end
        """
    )
    density = engine.array("density")
    assert density[12, 12, 12] == density[52, 52, 52] == density[28, 52, 12] == 1
    assert density[12, 52, 12] == 0
    active = awake(engine)
    assert active[4:20, 4:20, 4:20].all()
    assert active[8:56, 48:56, 8:16].all()
    assert active.mean() < 0.4


def test_a_shape_that_may_be_anywhere_wakes_everything_and_says_so():
    notes: list[str] = []
    with LuaContext(log=lambda _line: None, note=notes.append) as context:
        engines: list[FluidEngine] = []

        def make(**options: Any) -> FluidEngine:
            engines.append(FluidEngine(**options))
            return engines[-1]

        context.bind_engine(make)
        context.run_source(
            "sim = FluidEngine.new{domain_size = {24, 16, 20}, sparse = true}\n"
            'sim:add_field("density", Format.R32F, 0)\n'
            'local gas = require("fluid.gas")\n'
            'gas.emit(sim, {shape = gas.sphere{center = {"time", 1, 1}, radius = 0.5}, fields = {density = 1}})\n'
            "sim:step(1)\n",
            "everywhere.lua",
        )
        assert awake(engines[-1]).all()
    assert len(notes) == 1
    assert "the whole domain stays awake" in notes[0]


def test_a_default_gives_way_to_what_the_script_says(run_lua):
    text = """
        local gas = require("fluid.gas")
        gas.fields(sim, {"density", "fuel", "heat"})
        sim:activate{field = "density", above = 0.5}
        gas.advect(sim, {fields = {"density", "fuel"}})
        gas.advect(sim, {fields = {"heat"}, active = false})
        gas.burn(sim, {temperature = false, flame = false})
        sim:activate{field = "fuel", above = 0.25, margin = 2}
        sim:step(0.1)
    """
    simulation = run_lua(BOX + text)._simulation
    assert simulation is not None
    assert simulation.leaves is not None
    rules = {rule.field: (rule.above, rule.below, rule.margin) for rule in simulation.leaves._in_force()}
    assert rules == {"density": (0.5, 0.25, 1), "fuel": (0.25, 0.125, 2)}


def test_nothing_awake_is_noted_and_nothing_said_is_everything(run_lua, make_engine, define):
    notes: list[str] = []
    from fluid_addon.engine import EngineEnvironment, Format

    engine = make_engine((16, 16, 16), sparse=True, environment=EngineEnvironment(note=notes.append))
    engine.add_field("a", Format.R32F, 0.0)
    engine.activate("a")
    for _ in range(2):
        engine.step(0.1)
    assert len(notes) == 1
    assert "No leaf is active" in notes[0]
    everything = make_engine((16, 16, 16), sparse=True)
    everything.add_field("a", Format.R32F, 0.0)
    everything.fill("a", 2.0)
    everything.add_stencil(define("one", 'WriteField("a", idx, ReadField("a", idx) + 1.0);', "a", "a"))
    everything.run_stencil("one")
    assert everything.array("a").min() == 3
    assert count(everything) == 8


def test_a_box_wakes_at_once_and_stays(run_lua):
    engine = run_lua(
        BOX
        + """
        sim:add_field("density", Format.R32F, 0)
        sim:activate{field = "density"}
        sim:add_stencil("one", {outputs = {"density"}, enabled = false, code = [[ WriteField("density", idx, 1.0); ]]})
        sim:run_stencil("one")
        assert(sim:reduce("density", "sum") == 0)
        sim:activate{low = {2, 2, 2}, high = {2.9, 2.9, 3.1}}
        sim:run_stencil("one")
        assert(sim:reduce("density", "sum") == 2 * 512)
        sim:fill("density", 0)
        for i = 1, 6 do sim:step(0.1) end
        """
    )
    assert count(engine) == 2


# ===== Obstacles

WALL = """
    local gas = require("fluid.gas")
    sim = FluidEngine.new{domain_size = {32, 24, 48}, voxel_size = 1 / 16, sparse = SPARSE}
    sim:add_field("density", Format.R32F, 0)
    sim:add_field("velocity", Format.R32G32B32F, {0, 0, 2.5}, {staggered = true})
    gas.obstacle(sim, {shape = gas.sphere{center = {1, 0.75, 1.6}, radius = 0.35}, velocity = {0, 0.5, 0}})
    gas.obstacle(sim, {shape = gas.box{center = {1, 0.75, 2.4}, size = {1, 1, 0.2}}})
    gas.faces(sim)
    gas.emit(sim, {shape = gas.sphere{center = {1, 0.75, 0.4}, radius = 0.2}, fields = {density = 1}})
    gas.advect(sim)
    for i = 1, 8 do sim:step(1 / 24) end
"""


def test_obstacles_are_there_in_leaves_that_wake_later(run_lua):
    dense, sparse = (run_lua(WALL.replace("SPARSE", word)) for word in ("false", "true"))
    active = awake(sparse)
    assert active[16, 12, 24] and not active[0, 0, 47]
    solid = dense.array("solid")
    assert (solid[active] < 0).any()
    for name in ("solid", "solid_velocity"):
        np.testing.assert_array_equal(sparse.array(name)[active], dense.array(name)[active])
    # Faces look at the distances beside and around their voxel, which lie outside of the leaves at their ends.
    inner = active.copy()
    for axis in range(3):
        inner &= np.roll(active, 1, axis) & np.roll(active, -1, axis)
    for axis in range(3):
        inner &= np.roll(inner, 1, axis) & np.roll(inner, -1, axis)
    faces = dense.array("faces")
    assert (faces[inner] != 0xFFFFFF).any()
    np.testing.assert_array_equal(sparse.array("faces")[inner], faces[inner])
