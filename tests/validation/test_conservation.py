# SPDX-License-Identifier: GPL-3.0-or-later
"""What a plume has to keep: its symmetry, the mass of its smoke, and the volume of its gas."""

from __future__ import annotations

import numpy as np
import pytest

EPSILON = float(np.finfo(np.float32).eps)


def inside(values):
    """Without the outermost voxels, which are open air around an open domain."""
    return values[1:-1, 1:-1, 1:-1]


def check_divergence(played, tolerance, closed):
    """Velocity on faces: the divergence after a projection is the residual of its pressure, and rounding."""
    assert played.notes == []
    before = played.engine.array("divergence").astype(np.float64)
    after = played.engine.array("pressure").astype(np.float64)
    if not closed:
        before = inside(before)
    rounding = 4 * EPSILON * np.abs(played.engine.array("velocity")).max() * np.sqrt(after.size)
    assert np.linalg.norm(after) <= tolerance * np.linalg.norm(before) + rounding
    assert np.linalg.norm(before) > 100 * rounding, "there was something to take out"
    assert not played.engine.array("leak").any(), "nothing flows through the domain's outermost faces"


def asymmetry(played, field, component=None):
    """The larger one of the relative differences to the mirror images in x and y (root of the sum of squares)."""
    values = played.engine.array(field).astype(np.float64)
    if component is not None:
        values = values[..., component]
    mirrored = (values[::-1], values[:, ::-1])
    return max(float(np.linalg.norm(values - image)) for image in mirrored) / float(np.linalg.norm(values))


def asymmetries(played):
    return {"density": asymmetry(played, "density"), "w": asymmetry(played, "velocity", 2)}


def told(found):
    return ", ".join(f"{name} {value:.1e}" for name, value in found.items())


def test_a_symmetric_plume_stays_symmetric(play, record):
    """Red-black sweeps are no mirror images of themselves: what they leave is, as far as they are driven."""
    played = play("plume", steps=100, lift=0.25, tolerance=1e-5)
    check_divergence(played, 1e-5, closed=False)
    found = asymmetries(played)
    record(
        "Symmetry of a plume",
        setup="24³, a round source, 100 steps of 1/24 s, open sides, pressure to 1e-5",
        expected="its own mirror image in x and in y",
        found=told(found),
        accepted="1e-6",
    )
    assert max(found.values()) <= 1e-6


@pytest.mark.long
def test_a_symmetric_plume_with_the_usual_tolerance(play, record):
    for lift in (0.25, 1.0):
        found = asymmetries(play("plume", steps=100, lift=lift, tolerance=1e-3))
        record(
            "Symmetry of a plume, pressure to 1e-3",
            setup=f"the same, lift {lift}",
            expected="—",
            found=told(found),
            accepted="recorded",
        )
        assert max(found.values()) <= 1e-2


@pytest.mark.parametrize("scheme", ["MacCormack", pytest.param("semi-Lagrangian", marks=pytest.mark.long)])
def test_a_closed_box_keeps_its_gas_and_nearly_its_smoke(play, record, scheme):
    limit = 0.15
    played = play("plume", steps=48, closed=True, weigh=True, lift=1.0, maccormack=scheme == "MacCormack")
    check_divergence(played, 1e-3, closed=True)
    mass = np.array(played.numbers())[:, 0]
    drift = np.abs(mass / mass[0] - 1).max()
    record(
        f"Mass of smoke in a closed box, {scheme}",
        setup="24³, a ball of radius 4.8 voxels rises to the ceiling, 48 steps of 1/24 s",
        expected="lookups do not conserve mass; the drift is bounded",
        found=f"largest drift {drift:.1%}, at the end {mass[-1] / mass[0] - 1:+.1%}",
        accepted=f"{limit:.0%}",
    )
    assert drift <= limit
    density = played.engine.array("density")
    assert density.min() >= 0, "no new extremes"
    assert density.max() <= 1
