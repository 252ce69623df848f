# SPDX-License-Identifier: GPL-3.0-or-later
"""What a plume has to keep: its symmetry, the mass of its smoke, and the volume of its gas."""

from __future__ import annotations

import numpy as np
import pytest

EPSILON = float(np.finfo(np.float32).eps)


def inside(values):
    """Without the outermost voxels, which are open air around an open domain."""
    return values[1:-1, 1:-1, 1:-1]


@pytest.mark.parametrize("closed", [False, True], ids=["open", "closed"])
def test_what_is_left_of_the_divergence_is_what_the_solver_says(play, closed):
    """Velocity on faces: the divergence after a projection is the residual of its pressure, and rounding."""
    tolerance = 1e-3
    played = play("plume", steps=12, closed=closed, tolerance=tolerance)
    assert played.notes == []
    before = played.engine.array("divergence").astype(np.float64)
    after = played.engine.array("pressure").astype(np.float64)
    velocity = np.abs(played.engine.array("velocity")).max()
    if not closed:
        before = inside(before)
    rounding = 4 * EPSILON * velocity * np.sqrt(after.size)
    assert np.linalg.norm(after) <= tolerance * np.linalg.norm(before) + rounding
    assert np.linalg.norm(before) > 100 * rounding, "there was something to take out"
    assert not played.engine.array("leak").any(), "nothing flows through a wall"


def asymmetry(played, field, component=None):
    """The largest differences to the mirror images in x and y, relative to the largest value."""
    values = played.engine.array(field).astype(np.float64)
    if component is not None:
        values = values[..., component]
    scale = np.abs(values).max()
    return max(np.abs(values - values[::-1]).max(), np.abs(values - values[:, ::-1]).max()) / scale


def test_a_symmetric_plume_stays_symmetric(play, record):
    played = play("plume", steps=100)
    found = {name: asymmetry(played, name) for name in ("density", "temperature")} | {"w": asymmetry(played, "velocity", 2)}
    record(
        "Symmetry of a plume",
        setup="24³, a round source, 100 steps of 1/24 s, open sides, pressure to 1e-3",
        expected="its own mirror image in x and in y",
        found=", ".join(f"{name} {value:.0e}" for name, value in found.items()) + " of the largest value",
        accepted="1e-6",
    )
    assert max(found.values()) <= 1e-6


@pytest.mark.parametrize(("scheme", "limit"), [("MacCormack", 0.05), ("semi-Lagrangian", 0.2)])
def test_a_closed_box_keeps_its_smoke(play, record, scheme, limit):
    played = play("plume", steps=48, closed=True, weigh=True, maccormack=scheme == "MacCormack")
    mass = np.array(played.numbers())[:, 0]
    drift = np.abs(mass / mass[0] - 1).max()
    record(
        f"Mass of smoke in a closed box, {scheme}",
        setup="24³, a ball rises and meets the ceiling, 48 steps of 1/24 s",
        expected="lookups do not conserve mass; bounded drift",
        found=f"largest drift {drift:.2%}, at the end {mass[-1] / mass[0] - 1:+.2%}",
        accepted=f"{limit:.0%}",
    )
    assert drift <= limit
    assert played.engine.array("density").min() >= 0
    assert played.engine.array("density").max() <= 1
