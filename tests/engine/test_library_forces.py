# SPDX-License-Identifier: GPL-3.0-or-later
"""The library's forces, against closed forms and against numpy in 64 bits."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest

N, H = 16, 0.125
ORIGIN = (-1.0, -1.0, -1.0)
HEAD = f"""
local gas = require("fluid.gas")
sim = FluidEngine.new{{domain_size = {{{N}, {N}, {N}}}, voxel_size = {H}, origin = {{-1, -1, -1}}, boundary = "%s"}}
sim:add_field("density", Format.R32F, 0)
sim:add_field("temperature", Format.R32F, 0)
sim:add_field("velocity", Format.R32G32B32F, {{0, 0, 0}}, {{staggered = true}})
sim:add_stencil("start", {{outputs = {{"density", "temperature", "velocity"}}, enabled = false, code = [[
    WriteField("density", idx, float(coord.x));
    WriteField("temperature", idx, 0.25 * float(coord.y * coord.z));
    WriteField("velocity", idx, vec3(1.0, -2.0, 0.5));
]]}})
"""
OPEN, PERIODIC = HEAD % "open", HEAD % "periodic"
STARTED = OPEN + 'sim:run_stencil("start")\n'
Array = npt.NDArray[np.float64]


def places(axis: int | None = None, n: int = N, h: float = H) -> Array:
    """Positions of the voxels' centres, or of their low faces along an axis; shape (n, n, n, 3)."""
    centres = np.indices((n, n, n), np.float64) + 0.5
    if axis is not None:
        centres[axis] -= 0.5
    return np.moveaxis(centres * h, 0, -1) + ORIGIN


def faces_of(centred: Array, axis: int) -> Array:
    """Means of the two voxels beside each low face; beyond the domain is nothing."""
    behind = np.zeros_like(centred)
    inside = [slice(None)] * 3
    inside[axis] = slice(1, None)
    before = [slice(None)] * 3
    before[axis] = slice(None, -1)
    behind[tuple(inside)] = centred[tuple(before)]
    return 0.5 * (centred + behind)


def test_buoyancy_is_the_mean_of_the_voxels_beside_a_face(run_lua) -> None:
    engine = run_lua(
        f'{STARTED}gas.buoyancy(sim, {{temperature = 3, density = "2.0 * dt", direction = {{1, 0, 2}}}})\n'
        "sim:step(0.25)"
    )
    x, y, z = np.indices((N, N, N), np.float64)
    lift = 3 * 0.25 * y * z - 0.5 * x
    expected = np.stack(
        [1 + 0.25 * faces_of(lift, 0), np.full_like(x, -2), 0.5 + 0.25 * 2 * faces_of(lift, 2)], axis=-1
    )
    assert np.allclose(engine.array("velocity"), expected, rtol=2e-6)


def test_gravity_and_a_force_of_ones_own(run_lua) -> None:
    engine = run_lua(
        STARTED
        + """
        gas.gravity(sim, {0, 0, -4})
        gas.gravity(sim, "vec3(0.0, 8.0, 0.0)", {where = 'ReadField( density , coord )'})
        gas.force(sim, {acceleration = {"p.x * p.y", 0, 1}, where = "step(0.0, p.z)"})
        sim:step(0.5)
    """
    )
    x = np.indices((N, N, N), np.float64)[0]
    p = [places(axis) for axis in range(3)]
    expected = np.stack(
        [
            1 + 0.5 * p[0][..., 0] * p[0][..., 1] * (p[0][..., 2] >= 0),
            -2 + 0.5 * 8 * faces_of(x, 1),
            0.5 - 2 + 0.5 * (p[2][..., 2] >= 0),
        ],
        axis=-1,
    )
    assert np.allclose(engine.array("velocity"), expected, rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize("steps", [1, 4])
def test_wind_is_approached_exponentially_whatever_the_steps(run_lua, steps) -> None:
    engine = run_lua(
        f"""{STARTED}
        gas.wind(sim, {{velocity = {{3, 0, 0}}, strength = 1.5}})
        for i = 1, {steps} do sim:step(0.5 / {steps}) end
    """
    )
    wind, start = np.array([3, 0, 0]), np.array([1, -2, 0.5])
    expected = wind + (start - wind) * math.exp(-0.75)
    assert np.allclose(engine.array("velocity"), expected, rtol=1e-6)


def test_a_point_attracts_and_repels(run_lua) -> None:
    falloffs = ["smooth", "linear", "constant", "inverse square"]
    script = OPEN + 'sim:fill("velocity", {0, 0, 0})\n'
    center = np.array([0.1, 0, 0.2])
    script += "".join(
        f'sim:add_field("v{i}", Format.R32G32B32F, {{0, 0, 0}}, {{staggered = true}})\n'
        f'gas.point(sim, {{center = {{0.1, 0, 0.2}}, strength = {2 - i}, radius = 0.5, falloff = "{falloff}",\n'
        f'    velocity = "v{i}"}})\n'
        for i, falloff in enumerate(falloffs)
    )
    engine = run_lua(script + "sim:step(0.5)")
    for i, falloff in enumerate(falloffs):
        found = engine.array(f"v{i}")
        for axis in range(3):
            way = center - places(axis)
            away = np.linalg.norm(way, axis=-1)
            s = away / 0.5
            share = {
                "smooth": np.where(s < 1, (1 - s**2) ** 2, 0),
                "linear": np.maximum(1 - s, 0),
                "constant": s < 1,
                "inverse square": 1 / np.maximum(s**2, 1),
            }[falloff]
            expected = 0.5 * (2 - i) * share * way[..., axis] / away
            assert np.allclose(found[..., axis], expected, atol=2e-6), falloff


def test_a_vortex_turns_with_its_greatest_speed_at_its_radius(run_lua) -> None:
    engine = run_lua(
        f"{OPEN}gas.vortex(sim, {{center = {{0, 0, 0}}, axis = {{0, 0, 3}}, strength = 2, radius = 0.5}})\n"
        "sim:step(0.5)"
    )
    found = engine.array("velocity")
    for axis, sign, other in ((0, -1, 1), (1, 1, 0)):
        p = places(axis)
        s = np.hypot(p[..., 0], p[..., 1]) / 0.5
        expected = sign * 0.5 * 2 * p[..., other] / 0.5 * np.exp((1 - s**2) / 2)
        assert np.allclose(found[..., axis], expected, atol=2e-6)
    assert (found[..., 2] == 0).all()
    # on the x axis (the z faces' x, y = ±h/2 apart) the flow goes towards +y, at 1 = strength · dt where x = radius
    assert np.interp(0.5, places(1)[:, 8, 8, 0], found[:, 8, 8, 1]) == pytest.approx(1, abs=0.02)


def divergence(velocity: Array) -> Array:
    """Of a staggered periodic velocity, per voxel."""
    return sum(np.roll(velocity[..., axis], -1, axis) - velocity[..., axis] for axis in range(3))


def test_curl_noise_has_its_strength_and_no_divergence(run_lua) -> None:
    def stirred(options: str, steps: int = 1, n: int = 48) -> list[Array]:
        """The velocity after each step."""
        engine = run_lua(
            f"""
            sim = FluidEngine.new{{domain_size = {{{n}, {n}, {n}}}, voxel_size = 0.0625}}
            sim:add_field("velocity", Format.R32G32B32F, {{0, 0, 0}}, {{staggered = true}})
            require("fluid.gas").turbulence(sim, {{{options}}})
        """
        )
        found = []
        for _ in range(steps):
            engine.step(0.5)
            found.append(engine.array("velocity").astype(np.float64))
        return found

    plain, still = stirred("scale = 0.5, strength = 4", 2)
    assert np.sqrt((plain**2).sum(-1).mean()) == pytest.approx(0.5 * 4, rel=0.05)
    assert np.abs(plain.mean((0, 1, 2))).max() < 0.1
    assert np.abs(divergence(plain)[:-1, :-1, :-1]).max() < 1e-5 * np.abs(plain).max()
    (rough,) = stirred("scale = 0.5, strength = 4, octaves = 3, seed = 2", n=32)
    assert np.sqrt((rough**2).sum(-1).mean()) == pytest.approx(0.5 * 4, rel=0.15)
    assert np.abs(divergence(rough)[:-1, :-1, :-1]).max() < 1e-5 * np.abs(rough).max()
    assert np.allclose(still, 2 * plain, atol=1e-5), "it stands, and adds up"
    started, moving = stirred("scale = 0.5, strength = 4, speed = 1", 2, n=16)
    assert np.allclose(started, plain[:16, :16, :16], atol=1e-5), "the domain's size is nothing to it"
    assert 0.1 < np.abs(moving - still[:16, :16, :16]).mean() < 2


# ===== Vorticity confinement


def confined(velocity: Array, epsilon: Array | float, dt: float, h: float, periodic: bool) -> Array:
    """Fedkiw, Stam and Jensen 2001 in numpy, 64 bits, for a staggered velocity."""

    def shifted(values: Array, axis: int, step: int) -> Array:
        moved = np.roll(values, -step, axis)
        if not periodic:
            edge = [slice(None)] * values.ndim
            edge[axis] = slice(-1, None) if step > 0 else slice(0, 1)
            moved[tuple(edge)] = 0
        return moved

    def slope(values: Array, axis: int) -> Array:
        if periodic:
            return (np.roll(values, -1, axis) - np.roll(values, 1, axis)) / 2
        return np.gradient(values, axis=axis)  # one-sided at the ends

    walled = velocity.copy()
    if not periodic:  # both outermost faces of each axis are walls
        walled[0, :, :, 0] = walled[:, 0, :, 1] = walled[:, :, 0, 2] = 0
    centred = np.stack([0.5 * (walled[..., a] + shifted(walled[..., a], a, 1)) for a in range(3)], -1)
    u, v, w = np.moveaxis(centred, -1, 0)
    curl = np.stack([slope(w, 1) - slope(v, 2), slope(u, 2) - slope(w, 0), slope(v, 0) - slope(u, 1)], -1) / h
    strength = np.linalg.norm(curl, axis=-1)
    uphill = np.stack([slope(strength, axis) for axis in range(3)], -1)
    uphill /= np.maximum(np.linalg.norm(uphill, axis=-1, keepdims=True), 1e-20)
    force = np.asarray(epsilon)[..., None] * h * np.cross(uphill, curl)
    push = np.stack([0.5 * (force[..., a] + shifted(force[..., a], a, -1)) for a in range(3)], -1)
    if not periodic:
        push[0, :, :, 0] = push[:, 0, :, 1] = push[:, :, 0, 2] = 0
    return velocity + dt * push


def ring(p: Array) -> Array:
    """Something that turns, with no special place in it."""
    x, y, z = np.moveaxis(p, -1, 0)
    fade = np.exp(-3 * (x**2 + y**2 + 0.3 * z**2 + 0.1 * x))
    return np.stack([-y * fade, x * fade, 0.2 * x * z * fade], -1)


@pytest.mark.parametrize("rule", ["open", "periodic"])
def test_confinement_is_that_of_the_paper(run_lua, rule) -> None:
    script = (
        HEAD % rule
        + """
        sim:add_stencil("turn", {outputs = {"velocity"}, enabled = false, code = [[
            vec3 flow;
            for (int axis = 0; axis < 3; axis++) {
                vec3 p = vec3(-1.0) + (vec3(coord) + 0.5 - 0.5 * vec3(axis == 0, axis == 1, axis == 2)) * voxel_size;
                flow[axis] = (vec3(-p.y, p.x, 0.2 * p.x * p.z)
                    * exp(-3.0 * (p.x * p.x + p.y * p.y + 0.3 * p.z * p.z + 0.1 * p.x)))[axis];
            }
            WriteField("velocity", idx, flow);
        ]]})
    """
    )
    strength = "2.0" if rule == "open" else '"1.0 + ReadField(density, idx)"'
    engine = run_lua(
        f'{script}sim:run_stencil("start") sim:run_stencil("turn")\ngas.confinement(sim, {{strength = {strength}}})'
    )
    before = engine.array("velocity").astype(np.float64)
    expected_start = np.stack([ring(places(axis))[..., axis] for axis in range(3)], -1)
    assert np.allclose(before, expected_start, atol=1e-6)
    epsilon = 2.0 if rule == "open" else 1 + np.indices((N, N, N))[0]
    engine.step(0.5)
    after = engine.array("velocity").astype(np.float64)
    expected = confined(before, epsilon, 0.5, H, rule == "periodic")
    assert np.abs(expected - before).max() > 0.05
    assert np.abs(after - expected).max() < 2e-5 * np.abs(expected).max()


def test_confinement_keeps_a_mirrored_flow_mirrored(run_lua) -> None:
    """Mirror in x: scalars and the other components equal, the x component at mirrored faces of the opposite sign."""
    engine = run_lua(
        OPEN
        + """
        sim:add_stencil("jet", {outputs = {"velocity"}, enabled = false, code = [[
            vec3 c = vec3(coord) - vec3(7.5, 7.0, 6.5);
            vec3 f = c - vec3(0.5, 0.0, 0.0);
            float away = exp(-0.05 * dot(c, c)) * (2.0 + sin(c.y + 0.7 * c.z));
            WriteField("velocity", idx, vec3(0.3 * f.x * exp(-0.05 * dot(f, f)), 0.4 * c.z * away, away));
        ]]})
        sim:run_stencil("jet")
        gas.confinement(sim, {strength = 4})
        for i = 1, 3 do sim:step(0.25) end
    """
    )
    found = engine.array("velocity").astype(np.float64)
    most = np.abs(found).max()
    assert np.abs(found[1:, :, :, 0] + found[:0:-1, :, :, 0]).max() <= 1e-6 * most
    assert np.abs(found[..., 1:] - found[::-1, :, :, 1:]).max() <= 1e-6 * most


def test_uniform_wind_is_not_confined(run_lua) -> None:
    engine = run_lua(f"{STARTED}gas.confinement(sim, {{strength = 50}})\nsim:step(1)")
    inside = engine.array("velocity")[1:-2, 1:-2, 1:-2]
    assert (inside == np.array([1, -2, 0.5], np.float32)).all()


# ===== Bad input

WRONG = {
    "gas.buoyancy(sim, {temprature = 2})": '"temprature" is no option of gas.buoyancy. Did you mean "temperature"?',
    "gas.buoyancy(sim, {temperature = 0})": 'gas.buoyancy does nothing: "temperature" and "density" are both 0.',
    "gas.buoyancy(sim, {direction = 1})": '"direction" must be {x, y, z} or a text of GLSL, not 1.',
    "gas.gravity(sim, {0, -9})": '"acceleration" must be {x, y, z} or a text of GLSL, not a table.',
    "gas.force(sim)": '"acceleration" must be {x, y, z} or a text of GLSL, not nil.',
    "gas.wind(sim, {velocity = {1, 0, 0}, strength = 1 / 0})": '"strength" is not a finite number.',
    "gas.point(sim, {center = {0, 0, 0}, falloff = 'soft'})": (
        '"falloff" must be "constant", "inverse square", "linear", "smooth", not "soft".'
    ),
    "gas.turbulence(sim, {octaves = 2.5})": '"octaves" must be a whole number from 1 to 8, not 2.5.',
    "gas.turbulence(sim, {octaves = {}})": '"octaves" must be a whole number from 1 to 8, not a table.',
    "gas.buoyancy(sim, {temperature_field = 'heat'})": 'There is no field "heat".',
    "gas.confinement(sim, {velocity = 'vel'})": 'There is no field "vel".',
}


@pytest.mark.parametrize("line", WRONG)
def test_a_wrong_call_is_told_at_its_line(refused, line) -> None:
    (diagnostic,) = refused(OPEN + line).diagnostics
    assert diagnostic.message == WRONG[line]
    assert diagnostic.place is not None
    assert (diagnostic.place.file, diagnostic.place.line) == ("test.lua", 1 + OPEN.count("\n"))
