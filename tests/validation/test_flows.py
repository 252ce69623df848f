# SPDX-License-Identifier: GPL-3.0-or-later
"""V4, V5, V10 and V11: whole flows against closed forms and published tables. Domains are one voxel deep along y."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path

import numpy as np
import pytest

# ===== V4 Taylor-Green

ENERGY = math.exp(-0.04)  # 0.960789: exp(-4 nu t) with nu = 0.01 and t = 1


def taylor_green_error(played):
    """Root mean square of the error of u, relative to that of u."""
    u = played.plane("velocity")[..., 0]
    h = 2 * math.pi / len(u)
    x = np.arange(len(u)) * h
    exact = np.cos(x)[:, None] * np.sin(x + h / 2) * math.exp(-0.02)
    return float(np.sqrt(((u - exact) ** 2).mean() / (exact**2).mean()))


def orders(errors):
    return [math.log2(coarse / fine) for coarse, fine in itertools.pairwise(errors)]


def test_v4_a_few_vortices_decay_as_they_should(play):
    """The fast one: advection-reflection on few voxels."""
    played = play("taylor_green", n=32, steps=16, reflection=True)
    (energy,) = played.numbers()[-1]
    assert energy == pytest.approx(ENERGY, abs=1e-3)
    assert taylor_green_error(played) < 5e-4


@pytest.mark.long
@pytest.mark.parametrize("reflection", [True, False], ids=["reflection", "plain"])
def test_v4_taylor_green(play, record, reflection):
    """Plain splitting is of first order in time: its time step has to shrink with the voxel's square to show space."""
    sizes = {32: 32, 64: 64, 128: 128} if reflection else {32: 32, 64: 128, 128: 512}
    errors, energies = [], []
    for n, steps in sizes.items():
        played = play("taylor_green", n=n, steps=steps, reflection=reflection)
        errors.append(taylor_green_error(played))
        energies.append(played.numbers()[-1][0])
    name = "V4 Taylor–Green, " + ("advection-reflection" if reflection else "advection and projection")
    steps = ", ".join(str(s) for s in sizes.values())
    record(
        name,
        setup=f"32², 64², 128² on [0, 2π]², ν = 0.01, t = 1 in {steps} steps",
        expected=f"energy ratio {ENERGY:.6f}; order 2",
        found=f"{energies[-1]:.6f} at 128²; errors of u {', '.join(f'{e:.2e}' for e in errors)}, "
        f"order {', '.join(f'{o:.2f}' for o in orders(errors))}",
        accepted="energy within 1e-3, order ≥ 1.9",
        curves={"sizes": list(sizes), "errors": errors},
    )
    assert energies[-1] == pytest.approx(ENERGY, abs=1e-3)
    assert min(orders(errors)) >= 1.9


# ===== V5 lid-driven cavity: tables I and II of U. Ghia, K. Ghia, C. Shin, J. Comput. Phys. 48, 1982

GHIA = json.loads((Path(__file__).parent / "ghia_1982.json").read_text("utf-8"))


def profiles(played):
    """(positions, u on the vertical, v on the horizontal), the walls' own values at the ends."""
    velocity = played.plane("velocity")
    n = len(velocity)
    at = np.concatenate([[0], (np.arange(n) + 0.5) / n, [1]])
    u = np.concatenate([[0], velocity[n // 2, :, 0], [1]])
    v = np.concatenate([[0], velocity[:, n // 2, 2], [0]])
    return at, u, v


def ghia_errors(played, reynolds):
    """Root mean squares over the 17 points of each table."""
    at, u, v = profiles(played)
    misses = (
        np.interp(GHIA["z"], at, u) - GHIA["u"][str(reynolds)],
        np.interp(GHIA["x"], at, v) - GHIA["v"][str(reynolds)],
    )
    return [float(np.sqrt((miss**2).mean())) for miss in misses]


def finer(velocity):
    """A velocity on faces, [x, y, z, component], for twice the voxels along x and z: linear between its faces."""
    n = len(velocity)
    faces, centers = np.arange(n + 1) / n, (np.arange(n) + 0.5) / n
    fine_faces, fine_centers = np.arange(2 * n) / (2 * n), (np.arange(2 * n) + 0.5) / (2 * n)
    result = np.zeros((2 * n, 1, 2 * n, 3), np.float32)
    for component, axis in ((0, 0), (2, 1)):  # the axes of a plane [x, z]
        plane = velocity[:, 0, :, component]
        wall = np.zeros((1, n) if axis == 0 else (n, 1))  # at the high end
        plane = np.concatenate([plane, wall], axis=axis)
        for along, at, fine in ((axis, faces, fine_faces), (1 - axis, centers, fine_centers)):
            plane = np.apply_along_axis(lambda line, at=at, fine=fine: np.interp(fine, at, line), along, plane)
        result[:, 0, :, component] = plane
    return result


def check_cavity(played, record, reynolds, limit, setup):
    (before,), (after,) = played.numbers()
    u_error, v_error = ghia_errors(played, reynolds)
    at, u, v = profiles(played)
    record(
        f"V5 lid-driven cavity, Re {reynolds}",
        setup=setup,
        expected="Ghia, Ghia and Shin, 17 points of u and of v",
        found=f"RMS {u_error:.4f} (u), {v_error:.4f} (v); the flow's norm changes by {abs(after / before - 1):.0e} "
        "in the last second",
        accepted=f"RMS ≤ {limit}",
        curves={"at": at, "u": u, "v": v, "reynolds": reynolds},
    )
    assert abs(after / before - 1) < 1e-3, "it is steady"
    assert max(u_error, v_error) <= limit


@pytest.mark.long
def test_v5_lid_driven_cavity_at_re_100(play, record):
    played = play("cavity", n=128, reynolds=100, dt=0.01, seconds=14)
    check_cavity(played, record, 100, 0.005, "128², from rest, 14 s in steps of 0.01, advection-reflection")


@pytest.mark.long
def test_v5_lid_driven_cavity_at_re_1000(play, record):
    """From rest on few voxels, then twice on with twice as many."""
    played = play("cavity", n=64, reynolds=1000, dt=0.02, seconds=40)
    for n, dt, seconds in ((64, 0.02, 20), (128, 0.01, 12)):
        u, v = ghia_errors(played, 1000)
        record(
            f"V5 lid-driven cavity, Re 1000, {n}²",
            setup="on the way to 256²",
            expected="—",
            found=f"RMS {u:.4f} (u), {v:.4f} (v)",
            accepted="recorded",
        )
        start = {"velocity": finer(played.engine.array("velocity"))}
        played = play("cavity", start, n=2 * n, reynolds=1000, dt=dt, seconds=seconds)
    setup = (
        "256², 12 s in steps of 0.01 from 128², 20 s in steps of 0.02 from 64², 40 s from rest; advection-reflection"
    )
    check_cavity(played, record, 1000, 0.01, setup)


# ===== V10 Kelvin-Helmholtz

GROWTH = 0.1897


def growth(played):
    """The slope of ln(strength) over time, from t = 5, when the scheme has made the wave its own."""
    time, strength = np.array(played.numbers()).T
    window = time >= 5
    return float(np.polyfit(time[window], np.log(strength[window]), 1)[0]), time, strength


def test_v10_a_shear_layer_grows_at_its_rate(play, record):
    rate, time, strength = growth(play("shear_layer"))
    record(
        "V10 Kelvin–Helmholtz, advection-reflection",
        setup="tanh layer, α = 0.4446, 120 × 128 voxels (δ = 8.5), growing wave at the start, steps of 0.2, t = 5…12",
        expected=f"growth {GROWTH} U₀/δ",
        found=f"{rate:.4f} ({rate / GROWTH - 1:+.1%})",
        accepted="5 %",
        curves={"time": time, "strength": strength},
    )
    assert rate == pytest.approx(GROWTH, rel=0.05)


@pytest.mark.long
def test_v10_without_reflection(play, record):
    """One projection a step is of first order in time: shorter steps."""
    rate, time, strength = growth(play("shear_layer", reflection=False, dt=0.05, every=20))
    record(
        "V10 Kelvin–Helmholtz, advection and projection",
        setup="the same, steps of 0.05",
        expected=f"growth {GROWTH} U₀/δ",
        found=f"{rate:.4f} ({rate / GROWTH - 1:+.1%})",
        accepted="5 %",
        curves={"time": time, "strength": strength},
    )
    assert rate == pytest.approx(GROWTH, rel=0.05)


# ===== V11 heated cavity


def nusselt(played):
    """The mean of u T - dT/dx over the cavity (the heat that would cross it without flow is 1)."""
    heat, velocity = played.plane("temperature"), played.plane("velocity")[..., 0]
    n = len(heat)
    middle = 0.5 * (velocity + np.vstack([velocity[1:], np.zeros((1, n))]))
    beyond = np.vstack([1 - heat[:1], heat, -1 - heat[-1:]])
    return float((middle * heat - 0.5 * n * (beyond[2:] - beyond[:-2])).mean())


@pytest.mark.long
@pytest.mark.parametrize(
    ("rayleigh", "n", "dt", "seconds", "wanted", "limit"),
    [(1e3, 64, 5e-4, 0.4, 1.118, 0.01), (1e4, 96, 2e-4, 0.25, 2.243, 0.015)],
    ids=["1e3", "1e4"],
)
def test_v11_heated_cavity(play, record, rayleigh, n, dt, seconds, wanted, limit):
    played = play("heated_cavity", n=n, rayleigh=rayleigh, dt=dt, seconds=seconds)
    (before,), (after,) = played.numbers()
    found = nusselt(played)
    record(
        f"V11 heated cavity, Ra {rayleigh:.0f}",
        setup=f"{n}², Pr 0.71, t = {seconds} in steps of {dt}",
        expected=f"mean Nusselt number {wanted} (de Vahl Davis)",
        found=f"{found:.4f} ({found / wanted - 1:+.2%})",
        accepted=f"{limit:.1%}",
        curves={"temperature": played.plane("temperature")},
    )
    assert abs(after / before - 1) < 1e-3, "it is steady"
    assert found == pytest.approx(wanted, rel=limit)
