# SPDX-License-Identifier: GPL-3.0-or-later
"""Distances from meshes against what geometry says, and meshes that have no proper inside."""

from __future__ import annotations

import numpy as np
import pytest

from fluid_addon.volumes.mesh import Mesh, shells_of
from fluid_addon.volumes.mesh_distance import BAND, THICKNESS, signed_distance
from tests.volumes.meshes import box, joined, sphere

SIZE = (24, 20, 22)


def distance(mesh: Mesh, size=SIZE) -> np.ndarray:
    return signed_distance(mesh, shells_of(mesh), size)


def places(size=SIZE) -> np.ndarray:
    return np.stack(np.meshgrid(*map(np.arange, size), indexing="ij"), axis=-1).astype(float)


def of_box(low, high, size=SIZE) -> np.ndarray:
    beyond = np.maximum(np.subtract(low, places(size)), places(size) - high)
    outside = np.linalg.norm(np.maximum(beyond, 0), axis=-1)
    return np.clip(outside + np.minimum(beyond.max(axis=-1), 0), -BAND, BAND)


def of_sphere(centre, radius) -> np.ndarray:
    return np.clip(np.linalg.norm(places() - centre, axis=-1) - radius, -BAND, BAND)


def test_distances_from_a_box_are_exact():
    low, high = (5.3, 4.2, 6.1), (16.7, 13.4, 15.8)
    assert distance(box(low, high)) == pytest.approx(of_box(low, high), abs=1e-5)


def test_a_box_turned_inside_out_is_the_same_box():
    low, high = (5.3, 4.2, 6.1), (16.7, 13.4, 15.8)
    assert np.array_equal(distance(box(low, high, inward=True)), distance(box(low, high)))


def test_distances_from_a_sphere():
    centre = (11.2, 9.7, 10.4)
    found = distance(sphere(centre, 7.0, 32))
    near = abs(of_sphere(centre, 7.0)) < 1.5
    assert found[near] == pytest.approx(of_sphere(centre, 7.0)[near], abs=0.03)  # its triangles cut the round corners
    assert found == pytest.approx(of_sphere(centre, 7.0), abs=0.35)  # OpenVDB's own, towards the end of the band
    assert (np.sign(found) == np.sign(of_sphere(centre, 7.0)))[abs(of_sphere(centre, 7.0)) > 0.03].all()


def test_overlapping_pieces_are_joined_and_apart_ones_kept():
    mesh = joined(box((2, 2, 2), (10.5, 9, 9)), box((8, 4, 4), (16.4, 8, 8)), box((18.5, 14, 14), (21, 17, 17)))
    found = distance(mesh)
    assert found[9, 6, 6] < -0.9 and found[20, 15, 15] < -0.9 and found[17, 12, 12] > 0


def test_a_room_is_hollow_and_what_stands_in_it_is_solid():
    room = (box((1.5, 1.5, 1.5), (21.5, 17.5, 19.5)), box((4.5, 4.5, 4.5), (18.5, 14.5, 16.5), inward=True))
    found = distance(joined(*room, box((9.5, 7.5, 8.5), (13.5, 11.5, 12.5))))
    walls = np.maximum(of_box((1.5, 1.5, 1.5), (21.5, 17.5, 19.5)), -of_box((4.5, 4.5, 4.5), (18.5, 14.5, 16.5)))
    expected = np.minimum(walls, of_box((9.5, 7.5, 8.5), (13.5, 11.5, 12.5)))
    assert found == pytest.approx(expected, abs=1e-5)
    assert found[2, 10, 10] < 0 < found[6, 10, 10] and found[11, 9, 10] < 0


@pytest.mark.parametrize(
    ("low", "high"),
    [
        ((-900.0, -700.0, -800.0), (12.3, 900.0, 900.0)),  # reaches out on five sides
        ((-1e6, -1e6, -1e6), (1e6, 1e6, 1e6)),  # the whole domain is inside
        ((-5000.0, -5000.0, -3.0), (5000.0, 5000.0, 6.4)),  # a floor
    ],
)
def test_a_mesh_far_larger_than_the_domain_costs_no_more(low, high):
    assert distance(box(low, high)) == pytest.approx(of_box(low, high), abs=1e-4)


def test_a_large_turned_mesh_is_right_inside_the_domain():
    rotation = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))[0]
    low, high = np.array([-400.0, -300.0, -350.0]), np.array([3.3, 310.0, 420.0])
    flat = box(low, high)
    centre = np.array([11.0, 9.0, 10.0])
    turned = Mesh(flat.points @ rotation.T + centre, flat.triangles)
    local = (places() - centre) @ rotation
    beyond = np.maximum(low - local, local - high)
    expected = np.linalg.norm(np.maximum(beyond, 0), axis=-1) + np.minimum(beyond.max(axis=-1), 0)
    assert distance(turned) == pytest.approx(np.clip(expected, -BAND, BAND), abs=0.01)


def test_a_mesh_elsewhere_leaves_the_background():
    assert (distance(box((100, 100, 100), (120, 120, 120))) == BAND).all()
    assert (distance(box((-30, 2, 2), (-9, 9, 9))) == BAND).all()


def test_an_open_mesh_is_a_sheet_and_no_inside_leaks():
    corners = np.array([[3, 3, 8.5], [18, 3, 8.5], [18, 15, 8.5], [3, 15, 8.5]], float)
    sheet = Mesh(corners, np.array([[0, 1, 2], [0, 2, 3]], np.int32))
    shells = shells_of(sheet)
    assert not shells.closed
    found = signed_distance(sheet, shells, SIZE)
    assert found[10, 9, 5:12] == pytest.approx(abs(np.arange(5, 12) - 8.5) - THICKNESS, abs=1e-5)
    assert (found[:, :, :7] > 0).all() and (found[:, :, 11:] > 0).all()


def test_an_open_sheet_beyond_all_sides_of_the_domain():
    far = 1e5
    corners = np.array([[-far, -far, 8.5], [far, -far, 8.5], [far, far, 8.5], [-far, far, 8.5]])
    found = distance(Mesh(corners, np.array([[0, 1, 2], [0, 2, 3]], np.int32)))
    assert found[:, :, 8] == pytest.approx(0.5 - THICKNESS, abs=1e-3)
    assert (found[:, :, 3] > 0).all() and (found[:, :, 15] == BAND).all()


def test_a_box_without_a_side_is_a_box_of_sheets():
    whole = box((4.5, 4.5, 4.5), (17.5, 14.5, 16.5))
    open_box = Mesh(whole.points, whole.triangles[[i for i in range(12) if i not in (1, 7)]])
    found = distance(open_box)
    assert found[11, 9, 10] == BAND and found[4, 9, 10] == pytest.approx(0.5 - THICKNESS, abs=1e-5)


def test_points_that_are_repeated_for_each_face_close_all_the_same():
    whole = sphere((11, 9, 10), 6.0, 4)
    loose = Mesh(whole.points[whole.triangles].reshape(-1, 3), np.arange(3 * len(whole.triangles)).reshape(-1, 3))
    assert shells_of(loose).closed and shells_of(loose).count == 1
    assert distance(loose) == pytest.approx(distance(whole), abs=1e-5)


def test_faces_without_area_change_nothing():
    whole = box((5.3, 4.2, 6.1), (16.7, 13.4, 15.8))
    flat = np.array([[0, 0, 1], [2, 2, 2], [0, 1, 1]], np.int32)
    assert np.array_equal(distance(Mesh(whole.points, np.concatenate([whole.triangles, flat]))), distance(whole))
    point = Mesh(np.zeros((4, 3)) + 9.0, whole.triangles[:2] % 4)
    assert (distance(point) == BAND).all()
    assert (distance(Mesh(np.zeros((0, 3)), np.zeros((0, 3), np.int32))) == BAND).all()


def test_a_mesh_that_cuts_itself_has_an_inside():
    eight = joined(sphere((8, 9, 10), 5.0), sphere((14, 9, 10), 5.0))
    found = distance(eight)
    expected = np.minimum(of_sphere((8, 9, 10), 5.0), of_sphere((14, 9, 10), 5.0))
    outside = expected > 0.1
    assert (found[outside] > 0).all() and (found[expected < -0.1] < 0).all()
