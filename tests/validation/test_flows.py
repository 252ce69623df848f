# SPDX-License-Identifier: GPL-3.0-or-later
"""V4, V5, V10 and V11: whole flows against closed forms and published tables. Domains are one voxel deep along y."""

from __future__ import annotations

import math

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
    return [math.log2(coarse / fine) for coarse, fine in zip(errors, errors[1:], strict=False)]


def test_v4_taylor_green_with_reflection(play):
    """The time step halves with the voxel."""
    found = [play("taylor_green", n=n, steps=n // 2, reflection=True) for n in (16, 32)]
    (energy,) = found[-1].numbers()[-1]
    assert energy == pytest.approx(ENERGY, abs=1e-3)
    assert min(orders([taylor_green_error(played) for played in found])) >= 1.9


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

HEIGHTS = [1, 0.9766, 0.9688, 0.9609, 0.9531, 0.8516, 0.7344, 0.6172, 0.5, 0.4531, 0.2813, 0.1719, 0.1016, 0.0703, 0.0625, 0.0547, 0]  # fmt: skip
PLACES = [1, 0.9688, 0.9609, 0.9531, 0.9453, 0.9063, 0.8594, 0.8047, 0.5, 0.2344, 0.2266, 0.1563, 0.0938, 0.0781, 0.0703, 0.0625, 0]  # fmt: skip
ALONG = {  # u on the vertical through the middle, at HEIGHTS
    100: [1, 0.84123, 0.78871, 0.73722, 0.68717, 0.23151, 0.00332, -0.13641, -0.20581, -0.21090, -0.15662, -0.10150, -0.06434, -0.04775, -0.04192, -0.03717, 0],  # fmt: skip
    1000: [1, 0.65928, 0.57492, 0.51117, 0.46604, 0.33304, 0.18719, 0.05702, -0.06080, -0.10648, -0.27805, -0.38289, -0.29730, -0.22220, -0.20196, -0.18109, 0],  # fmt: skip
}
UPWARD = {  # v on the horizontal through the middle, at PLACES
    100: [0, -0.05906, -0.07391, -0.08864, -0.10313, -0.16914, -0.22445, -0.24533, 0.05454, 0.17527, 0.17507, 0.16077, 0.12317, 0.10890, 0.10091, 0.09233, 0],  # fmt: skip
    1000: [0, -0.21388, -0.27669, -0.33714, -0.39188, -0.51550, -0.42665, -0.31966, 0.02426, 0.32235, 0.33075, 0.37095, 0.32627, 0.30353, 0.29012, 0.27485, 0],  # fmt: skip
}


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
    misses = (np.interp(HEIGHTS, at, u) - ALONG[reynolds], np.interp(PLACES, at, v) - UPWARD[reynolds])
    return [float(np.sqrt((miss**2).mean())) for miss in misses]


@pytest.mark.long
@pytest.mark.parametrize(("reynolds", "n", "dt", "seconds", "limit"), [(100, 128, 0.005, 14, 0.005), (1000, 256, 0.005, 50, 0.01)])  # fmt: skip
def test_v5_lid_driven_cavity(play, record, reynolds, n, dt, seconds, limit):
    played = play("cavity", n=n, reynolds=reynolds, dt=dt, seconds=seconds)
    (before,), (after,) = played.numbers()
    u_error, v_error = ghia_errors(played, reynolds)
    at, u, v = profiles(played)
    record(
        f"V5 lid-driven cavity, Re {reynolds}",
        setup=f"{n}², from rest, t = {seconds} in steps of {dt}",
        expected="Ghia, Ghia and Shin, 17 points of u and of v",
        found=f"RMS {u_error:.4f} (u), {v_error:.4f} (v); the flow's norm changes by {abs(after / before - 1):.0e} "
        "in the last second",
        accepted=f"RMS ≤ {limit}",
        curves={"at": at, "u": u, "v": v, "heights": HEIGHTS, "places": PLACES, "ghia_u": ALONG[reynolds], "ghia_v": UPWARD[reynolds]},  # fmt: skip
    )
    assert abs(after / before - 1) < 1e-3, "it is steady"
    assert max(u_error, v_error) <= limit


# ===== V10 Kelvin-Helmholtz

GROWTH = 0.1897


def growth(played):
    """The slope of ln(strength) over time, from t = 2, when the scheme has made the wave its own."""
    time, strength = np.array(played.numbers()).T
    window = time >= 2
    return float(np.polyfit(time[window], np.log(strength[window]), 1)[0]), time, strength


def test_v10_a_shear_layer_grows_at_its_rate(play, record):
    rate, time, strength = growth(play("shear_layer"))
    record(
        "V10 Kelvin–Helmholtz, advection-reflection",
        setup="tanh layer, α = 0.4446, 120 × 128 voxels (δ = 8.5), t = 2…10 in steps of 0.1",
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
@pytest.mark.parametrize(("rayleigh", "n", "dt", "seconds", "wanted", "limit"), [(1e3, 64, 5e-4, 0.4, 1.118, 0.01), (1e4, 96, 2e-4, 0.25, 2.243, 0.015)])  # fmt: skip
def test_v11_heated_cavity(play, record, rayleigh, n, dt, seconds, wanted, limit):
    played = play("heated_cavity", n=n, rayleigh=rayleigh, dt=dt, seconds=seconds)
    (before,), (after,) = played.numbers()
    found = nusselt(played)
    record(
        f"V11 heated cavity, Ra {rayleigh:.0e}",
        setup=f"{n}², Pr 0.71, t = {seconds} in steps of {dt}",
        expected=f"mean Nusselt number {wanted} (de Vahl Davis)",
        found=f"{found:.4f} ({found / wanted - 1:+.2%})",
        accepted=f"{limit:.1%}",
        curves={"temperature": played.plane("temperature")},
    )
    assert abs(after / before - 1) < 1e-3, "it is steady"
    assert found == pytest.approx(wanted, rel=limit)
