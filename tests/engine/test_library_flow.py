# SPDX-License-Identifier: GPL-3.0-or-later
"""The library's advection and projection: what is exact, what is bounded, what is kept."""

from __future__ import annotations

import numpy as np
import pytest

from fluid_addon.diagnostics import FluidError, render

BLOBS = """
sim:add_stencil("blobs", {outputs = {"density", "heat"}, enabled = false, code = [[
    WriteField("density", idx, Random(coord, 3));
    WriteField("heat", idx, length(vec3(coord) - vec3(6, 8, 7)) < 3.5 ? 1.0 : 0.0);
]]})
sim:run_stencil("blobs")
"""
CARRIED = (
    """
local gas = require("fluid.gas")
sim = FluidEngine.new{domain_size = {16, 16, 16}, voxel_size = 0.5, boundary = "periodic"}
gas.fields(sim, {"density", "heat"})
"""
    + BLOBS
)


@pytest.mark.parametrize("trace", [1, 2])
@pytest.mark.parametrize("scheme", ["maccormack", "semilagrangian"])
def test_whole_voxels_are_carried_exactly(run_lua, scheme: str, trace: int) -> None:
    script = CARRIED + (
        'sim:fill("velocity", {1, -2, 0.5})\n'
        f'gas.advect(sim, {{fields = {{"density", "heat"}}, scheme = "{scheme}", trace = {trace}}})'
    )
    engine = run_lua(script)
    before = {name: engine.array(name) for name in ("density", "heat")}
    engine.step(1)
    for name in before:
        moved = np.roll(before[name], (2, -4, 1), axis=(0, 1, 2))
        np.testing.assert_array_equal(engine.array(name), moved)


def test_an_even_flow_carries_itself_nowhere(run_lua) -> None:
    engine = run_lua(CARRIED + 'sim:fill("velocity", {1, -2, 0.7})\ngas.advect_velocity(sim)\nsim:step(0.3)')
    np.testing.assert_allclose(engine.array("velocity"), np.broadcast_to((1, -2, 0.7), (16, 16, 16, 3)), rtol=1e-6)


def turning(clamp: str, trace: int = 2) -> str:
    return (
        """
local gas = require("fluid.gas")
sim = FluidEngine.new{domain_size = {32, 32, 1}, voxel_size = 1, boundary = {"open", "open", "periodic"}}
gas.fields(sim, {"density", "heat"})
sim:add_stencil("start", {outputs = {"density", "velocity"}, enabled = false, code = [[
    vec2 p = vec2(coord.xy) - vec2(15.5);
    WriteField("density", idx, exp(-dot(p - vec2(0, 6), p - vec2(0, 6)) / 8.0));
    WriteField("velocity", idx, vec3(-p.y, p.x, 0.0)); // turns about the middle by 1 a second
]]})
sim:run_stencil("start")
"""
        + f"gas.advect(sim, {{clamp = {clamp}, trace = {trace}}})\n"
        + "for i = 1, 64 do sim:step(math.pi / 32) end"
    )


def test_the_clamp_makes_no_new_extremes_and_without_it_there_are_some(run_lua) -> None:
    clamped, free = run_lua(turning("true")).array("density"), run_lua(turning("false")).array("density")
    assert clamped.min() >= 0
    assert clamped.max() <= 1
    assert free.min() < -1e-3


def test_a_turn_by_the_flow_half_way_ends_where_it_began(run_lua) -> None:
    x, y = np.meshgrid(np.arange(32), np.arange(32), indexing="ij")

    def middle(density: np.ndarray) -> tuple[float, float]:
        return float((x * density).sum() / density.sum()), float((y * density).sum() / density.sum())

    engine = run_lua(turning("false", 1).rsplit("\n", 1)[0])
    begun = engine.array("density")[..., 0]
    for _ in range(64):
        engine.step(np.pi / 32)
    once, twice = (e.array("density")[..., 0] for e in (engine, run_lua(turning("false", 2))))
    off_once, off_twice = (np.hypot(*np.subtract(middle(turned), middle(begun))) for turned in (once, twice))
    assert off_twice < 0.1
    assert off_once > 5 * off_twice


VORTICES = """
local gas = require("fluid.gas")
sim = FluidEngine.new{domain_size = {24, 24, 24}, voxel_size = 2 * math.pi / 24, boundary = "periodic"}
gas.fields(sim, {})
sim:add_stencil("vortices", {outputs = {"velocity"}, enabled = false, code = [[
    vec3 c = (vec3(coord) + 0.5) * voxel_size, f = vec3(coord) * voxel_size;
    WriteField("velocity", idx, vec3(cos(f.x) * sin(c.y) * cos(c.z), -sin(c.x) * cos(f.y) * cos(c.z), 0.0));
]]})
sim:run_stencil("vortices")
"""


def energy(velocity: np.ndarray) -> float:
    return float(np.square(velocity, dtype=np.float64).sum())


def test_reflection_keeps_more_of_the_flow(run_lua) -> None:
    """The vortices of Taylor and Green: without viscosity their energy stays."""
    kept = {}
    for name, options in {"plain": "", "reflected": ", {reflection = {tolerance = 1e-4}}"}.items():
        script = VORTICES + f"gas.advect_velocity(sim{options})\ngas.project(sim, {{tolerance = 1e-4}})\n"
        engine = run_lua(script)
        begun = energy(engine.array("velocity"))
        for _ in range(12):
            engine.step(0.1)
        kept[name] = energy(engine.array("velocity")) / begun
    assert kept["plain"] < 1
    assert abs(1 - kept["reflected"]) < 0.5 * (1 - kept["plain"])


PUSHED = """
local gas = require("fluid.gas")
sim = FluidEngine.new{domain_size = {20, 17, 24}, voxel_size = 0.1, boundary = BOUNDARY}
gas.fields(sim, {})
sim:add_stencil("push", {outputs = {"velocity"}, enabled = false, code = [[
    WriteField("velocity", idx, Random3(coord, 5) - 0.5);
]]})
sim:run_stencil("push")
gas.project(sim, {sides = SIDES, tolerance = 1e-4, divergence = WANTED})
"""


def divergence(velocity: np.ndarray, periodic: tuple[bool, bool, bool]) -> np.ndarray:
    total = np.zeros(velocity.shape[:3])
    for axis, wraps in enumerate(periodic):
        own = velocity[..., axis].astype(np.float64)
        after = np.roll(own, -1, axis)
        if not wraps:
            low, high = ([slice(None)] * 3 for _ in range(2))
            low[axis], high[axis] = 0, -1
            own[tuple(low)] = 0
            after[tuple(high)] = 0
        total += after - own
    return total


@pytest.mark.parametrize(
    ("boundary", "sides"),
    [
        ('"periodic"', '"open"'),
        ('"clamp"', '"closed"'),
        ('"open"', '"open"'),
        ('{"periodic", "open", "clamp"}', '{"open", "open", "closed"}'),
    ],
    ids=["periodic", "closed", "open", "mixed"],
)
def test_divergence_that_is_left_is_the_solvers_residual(run_lua, boundary: str, sides: str) -> None:
    script = PUSHED.replace("BOUNDARY", boundary).replace("SIDES", sides)
    engine = run_lua(script.replace("WANTED", "nil"))
    before = engine.array("velocity")
    engine.step(1)
    solved = engine.solved("solve_pressure")
    assert solved.residual <= 1e-4
    periodic = tuple('"periodic"' in part for part in (boundary.split(",") * 3)[:3])
    inside = tuple(
        slice(None) if wraps or "open" not in side else slice(1, -1)
        for wraps, side in zip(periodic, (sides.split(",") * 3)[:3], strict=True)
    )
    left, was = (divergence(v, periodic)[inside] for v in (engine.array("velocity"), before))
    assert np.linalg.norm(left) <= 1.05e-4 * np.linalg.norm(was) + 1e-6 * np.sqrt(left.size)


def test_the_flow_gets_the_divergence_that_is_wanted(run_lua) -> None:
    script = PUSHED.replace("BOUNDARY", '"open"').replace("SIDES", '"open"')
    wanted = '"length(vec3(coord) - vec3(10, 8, 12)) < 3.0 ? 2.0 : 0.0"'
    engine = run_lua(script.replace("WANTED", wanted))
    engine.step(1)
    found = divergence(engine.array("velocity"), (False,) * 3) / 0.1
    x, y, z = np.meshgrid(*(np.arange(n) for n in (20, 17, 24)), indexing="ij")
    source = (x - 10) ** 2 + (y - 8) ** 2 + (z - 12) ** 2 < 9
    inside = (slice(1, -1),) * 3
    np.testing.assert_allclose(found[inside], 2.0 * source[inside], atol=0.02)


#: What a call says of itself.
MISTAKES = {
    'gas.advect(sim, {feilds = {"density"}})': '"feilds" is no option of gas.advect. Did you mean "fields"?',
    'gas.advect(sim, {scheme = "upwind"})': '"scheme" must be "maccormack", "semilagrangian", not "upwind".',
    'gas.advect(sim, {fields = {"smoke"}})': 'There is no field "smoke".',
    "gas.advect_velocity(sim, {trace = 3})": '"trace" must be "1", "2", not 3.',
    'gas.project(sim, {sides = "shut"})': '"sides" must be "open" or "closed", not the text "shut".',
    "gas.project(sim, {tolerance = 0})": '"tolerance" of "solve_pressure" is 0; it is above 0.',
    'gas.project(sim, "closed")': 'gas.project takes a table of options, not "closed".',
}


@pytest.mark.parametrize("call", MISTAKES)
def test_mistakes_are_told_at_the_scripts_line(run_lua, call: str) -> None:
    head = 'local gas = require("fluid.gas")\nsim = FluidEngine.new{domain_size = {8, 8, 8}}\ngas.fields(sim)\n'
    with pytest.raises(FluidError) as caught:
        run_lua(head + call)
    text = render(caught.value.diagnostics[0])
    assert MISTAKES[call] in text
    assert ":4:" in text.split("\n")[0]
