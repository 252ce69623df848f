# SPDX-License-Identifier: GPL-3.0-or-later
"""Physics that needs nothing but stencils, against exact numbers of the discrete schemes."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fluid_addon.engine import Format

LAPLACE = """
    float c = ReadField("u", idx);
    float laplace = ReadField("u", coord + ivec3(1, 0, 0)) + ReadField("u", coord - ivec3(1, 0, 0))
                  + ReadField("u", coord + ivec3(0, 1, 0)) + ReadField("u", coord - ivec3(0, 1, 0))
                  + ReadField("u", coord + ivec3(0, 0, 1)) + ReadField("u", coord - ivec3(0, 0, 1)) - 6.0 * c;
"""


@pytest.mark.parametrize(("n", "steps", "amplitude"), [(32, 164, 0.09249455), (64, 655, 0.09350085)])
def test_v1_the_heat_equation_decays_as_its_discrete_mode(make_engine, define, set_field, n, steps, amplitude):
    """FTCS, r = nu dt / h^2 = 1/8: one mode shrinks by 1 - 4 r sum(sin^2(k h / 2)) a step."""
    engine = make_engine((n, n, n), boundary="periodic")
    engine.add_field("u", Format.R32F, 0)
    wave = np.sin(2 * np.pi * np.arange(n) / n)
    mode = wave[:, None, None] * wave[None, :, None] * wave[None, None, :]
    set_field(engine, "u", mode)
    engine.add_stencil(define("heat", LAPLACE + 'WriteField("u_new", idx, c + 0.125 * laplace);', "u", "u_new"))
    for _ in range(steps):
        engine.step(1.0)
    found = float((engine.array("u").astype(np.float64) * mode).sum() / (mode * mode).sum())
    assert found == pytest.approx(amplitude, rel=1e-5)


@pytest.mark.parametrize("points", [8, 16, 32])
@pytest.mark.parametrize("direction", ["axis", "diagonal"])
def test_v3_waves_travel_at_the_speed_of_the_scheme(make_engine, define, set_field, points, direction):
    """Leapfrog with Courant number 1/2: sin^2(w dt / 2) = C^2 sum(sin^2(k_i h / 2)).

    `points` cells hold a wavelength along each axis that the wave vector has a part in, which a periodic box can
    hold; the published ratio of the axis is that of the closed form, which the kernel is then held to.
    """
    n, courant, steps = 32, 0.5, 40
    k = np.array(
        [2 * np.pi / points] * (3 if direction == "diagonal" else 1) + [0.0] * (0 if direction == "diagonal" else 2)
    )
    omega = 2 * math.asin(courant * math.sqrt(float((np.sin(k / 2) ** 2).sum())))
    published = {8: 0.980542, 16: 0.995169, 32: 0.998794}[points]
    if direction == "axis":
        assert omega / (courant * k[0]) == pytest.approx(published, abs=1e-6)
    engine = make_engine((n, n, n), boundary="periodic")
    engine.add_field("u", Format.R32F, 0)
    engine.add_field("before", Format.R32F, 0)
    phase = np.tensordot(k, np.indices((n, n, n)), axes=1)
    set_field(engine, "u", np.cos(phase))
    set_field(engine, "before", np.cos(phase + omega))
    code = (
        LAPLACE
        + """
        WriteField("u_new", idx, 2.0 * c - ReadField("before", idx) + 0.25 * laplace);
        WriteField("before", idx, c);
    """
    )
    engine.add_stencil(define("wave", code, "u before", "u_new before"))
    for _ in range(steps):
        engine.step(1.0)
    final = engine.array("u").astype(np.float64)
    travelled = math.atan2((final * np.sin(phase)).sum(), (final * np.cos(phase)).sum())
    missed = math.remainder(travelled - omega * steps, 2 * math.pi)
    assert abs(missed) / (omega * steps) < 1e-5
    amplitude = math.hypot((final * np.sin(phase)).mean(), (final * np.cos(phase)).mean()) * 2
    assert amplitude == pytest.approx(1, abs=1e-5)


def gray_scott(u, v, feed, kill, steps):
    """numpy's twin in 64 bits: diffusion 0.16 and 0.08, dt 1."""
    u, v = u.astype(np.float64), v.astype(np.float64)
    for _ in range(steps):
        laplace = [sum(np.roll(f, s, a) for a in range(3) for s in (1, -1)) - 6 * f for f in (u, v)]
        reaction = u * v * v
        u, v = (
            u + 0.16 * laplace[0] - reaction + feed * (1 - u),
            v + 0.08 * laplace[1] + reaction - (feed + kill) * v,
        )
    return u, v


REACT = """
    float u = ReadField("u", idx), v = ReadField("v", idx);
    float du = -6.0 * u, dv = -6.0 * v;
    for (int axis = 0; axis < 3; axis++) {
        ivec3 o = ivec3(axis == 0, axis == 1, axis == 2);
        du += ReadField("u", coord + o) + ReadField("u", coord - o);
        dv += ReadField("v", coord + o) + ReadField("v", coord - o);
    }
    float reaction = u * v * v;
    WriteField("u_new", idx, u + 0.16 * du - reaction + FEED * (1.0 - u));
    WriteField("v_new", idx, v + 0.08 * dv + reaction - (FEED + KILL) * v);
"""


@pytest.mark.parametrize("case", ["uniform", "square"])
def test_v8_gray_scott(make_engine, define, set_field, case):
    """The steady state of F=.025, k=.05 stays for 100 steps; a seeded square agrees with numpy."""
    feed, kill = (0.025, 0.05) if case == "uniform" else (0.037, 0.06)
    n = 16 if case == "uniform" else 24
    if case == "uniform":
        u, v = np.full((n, n, n), 0.34188612), np.full((n, n, n), 0.21937129)
    else:
        u, v = np.ones((n, n, n)), np.zeros((n, n, n))
        u[8:16, 8:16, 8:16], v[8:16, 8:16, 8:16] = 0.5, 0.25
    engine = make_engine((n, n, n), boundary="periodic")
    engine.add_field("u", Format.R32F, 0)
    engine.add_field("v", Format.R32F, 0)
    set_field(engine, "u", u)
    set_field(engine, "v", v)
    code = REACT.replace("FEED", repr(feed)).replace("KILL", repr(kill))
    engine.add_stencil(define("react", code, "u v", "u_new v_new"))
    for _ in range(100):
        engine.step(1.0)
    want_u, want_v = (u, v) if case == "uniform" else gray_scott(u, v, feed, kill, 100)
    assert np.abs(engine.array("u") - want_u).max() <= 1e-5
    assert np.abs(engine.array("v") - want_v).max() <= 1e-5
    if case == "square":
        assert engine.array("v").max() > 0.2, "the pattern lives"


def test_v12_a_conservative_stencil_keeps_its_mass(make_engine, define, set_field):
    """First-order upwind in flux form: what leaves a voxel enters its neighbour."""
    size = (24, 20, 28)
    engine = make_engine(size, boundary="periodic")
    engine.add_field("mass", Format.R32F, 0)
    engine.add_field("velocity", Format.R32G32B32F, 0)
    rng = np.random.default_rng(1)
    start = rng.random(size).astype(np.float32)
    set_field(engine, "mass", start)
    set_field(engine, "velocity", rng.uniform(-0.3, 0.3, (*size, 3)))
    flux = """
        float total = 0.0;
        for (int axis = 0; axis < 3; axis++) {
            ivec3 o = ivec3(axis == 0, axis == 1, axis == 2);
            float low = ReadField("velocity", idx)[axis];
            float high = ReadField("velocity", coord + o)[axis];
            total += max(low, 0.0) * ReadField("mass", coord - o) + min(low, 0.0) * ReadField("mass", idx);
            total -= max(high, 0.0) * ReadField("mass", idx) + min(high, 0.0) * ReadField("mass", coord + o);
        }
        WriteField("mass_new", idx, ReadField("mass", idx) + total);
    """
    engine.add_stencil(define("carry", flux, "mass velocity", "mass_new"))
    for _ in range(50):
        engine.step(1.0)
    moved = engine.array("mass").astype(np.float64)
    assert moved.sum() == pytest.approx(start.astype(np.float64).sum(), rel=1e-6)
    assert np.abs(moved - start).max() > 0.1, "something moved"
