# SPDX-License-Identifier: GPL-3.0-or-later
"""Velocities of surfaces on voxels."""

from __future__ import annotations

import numpy as np
import pytest

from fluid_addon.volumes.mesh import Mesh
from fluid_addon.volumes.mesh_velocity import spread_velocity
from tests.volumes.meshes import box, sphere

SIZE = (24, 22, 20)


def test_a_body_that_is_pushed_has_one_velocity_all_through():
    mesh = sphere((11.0, 10.0, 9.0), 6.0)
    found = spread_velocity(mesh, np.tile((1.5, -0.5, 2.0), (len(mesh.points), 1)), SIZE, 4.0)
    assert found[11, 10, 9] == pytest.approx((1.5, -0.5, 2.0), abs=1e-6)
    assert found[1:21, 2:20, 2:19].reshape(-1, 3) == pytest.approx(np.tile((1.5, -0.5, 2.0), (20 * 18 * 17, 1)))
    assert not found[22:].any(), "it reaches as far as it was asked to"


def test_a_body_that_turns():
    centre = np.array((11.3, 10.1, 9.2))
    mesh = sphere(centre, 6.0, 24)
    spin = np.array((0.1, -0.2, 0.3))
    found = spread_velocity(mesh, np.cross(spin, mesh.points - centre), SIZE, 4.0)
    places = np.stack(np.meshgrid(*map(np.arange, SIZE), indexing="ij"), axis=-1) - centre
    away = np.linalg.norm(places, axis=-1)
    assert np.where(away[..., None] < 9.0, found - np.cross(spin, places), 0.0) == pytest.approx(0.0, abs=1e-6)


def test_a_body_that_changes_its_shape():
    centre = np.array((11.3, 10.1, 9.2))
    mesh = sphere(centre, 6.0, 24)

    def motion(places: np.ndarray) -> np.ndarray:
        x, y, z = np.moveaxis(places, -1, 0)
        return np.stack([0.5 + 0.3 * np.sin(0.4 * y), 0.02 * x * z, np.cos(0.3 * x)], axis=-1)

    found = spread_velocity(mesh, motion(mesh.points - centre), SIZE, 4.0)
    places = np.stack(np.meshgrid(*map(np.arange, SIZE), indexing="ij"), axis=-1) - centre
    away = np.linalg.norm(places, axis=-1)
    wrong = np.linalg.norm(found - motion(places), axis=-1)
    fastest = np.linalg.norm(motion(places), axis=-1)[away < 6.0].max()
    assert wrong[abs(away - 6.0) < 0.5].mean() < 0.05 * fastest
    on_surface = places * (6.0 / np.maximum(away, 1.0))[..., None]
    wrong = np.linalg.norm(found - motion(on_surface), axis=-1)
    assert wrong[abs(away - 6.0) < 2.0].mean() < 0.1 * fastest, "farther off it is as on the surface nearby"


def test_a_large_face_has_no_gaps_and_costs_no_more_than_the_domain():
    floor = box((-3000.0, -3000.0, -50.0), (3000.0, 3000.0, 5.4))
    found = spread_velocity(floor, np.tile((1.0, 0.0, 0.0), (8, 1)), SIZE, 4.0)
    assert found[:, :, :8, 0] == pytest.approx(1.0)


def test_what_lies_elsewhere_or_has_no_faces_gives_nothing():
    away = box((100, 100, 100), (110, 110, 110))
    assert not spread_velocity(away, np.ones((8, 3)), SIZE, 4.0).any()
    assert not spread_velocity(Mesh(away.points, away.triangles[:0]), np.ones((8, 3)), SIZE, 4.0).any()
