# SPDX-License-Identifier: GPL-3.0-or-later
"""Distances and velocities of a mesh in some leaves of a box are those of the whole box, at the price of leaves."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from fluid_addon.volumes.mesh import Mesh, shells_of
from fluid_addon.volumes.mesh_distance import BAND, MeshDistance, signed_distance
from fluid_addon.volumes.mesh_velocity import MeshVelocity, spread_velocity
from tests.volumes.leaf_cubes import all_coords, cut
from tests.volumes.meshes import box, joined, sphere

SIZE = (43, 29, 34)
BALL = sphere((20, 13, 17.5), 11.3)
MESHES = {
    "ball": BALL,
    "room": joined(box((3, 3, 3), (40, 26, 31)), box((9, 9, 9), (33, 20, 24), inward=True)),
    "all around": box((-50, -60, -70), (100, 90, 80)),
    "half outside": sphere((40, 10, 0), 25),
    "far away": sphere((200, 0, 0), 5),
    "open": Mesh(BALL.points, BALL.triangles[60:]),
    "nothing": Mesh(np.zeros((0, 3)), np.zeros((0, 3), np.int32)),
}
pytestmark = pytest.mark.usefixtures("library")


def some_leaves() -> np.ndarray:
    every = all_coords(SIZE)
    return every[np.random.default_rng(0).random(len(every)) < 0.3]


@pytest.mark.parametrize("name", MESHES)
def test_the_distances_of_leaves_are_those_of_the_box(name):
    mesh = MESHES[name]
    dense = cut(signed_distance(mesh, shells_of(mesh), SIZE), beyond=BAND)
    distance = MeshDistance(mesh, shells_of(mesh), SIZE)
    for leaves in (all_coords(SIZE), some_leaves(), all_coords(SIZE)[:0]):
        np.testing.assert_array_equal(distance.leaves(leaves), dense[tuple(leaves.T)])
    np.testing.assert_array_equal(
        distance.touched(inside=False), np.argwhere((np.abs(dense) < BAND).any(axis=(3, 4, 5)))
    )
    np.testing.assert_array_equal(distance.touched(inside=True), np.argwhere((dense < BAND).any(axis=(3, 4, 5))))


def test_leaves_are_found_beyond_the_boxes_in_which_they_are_looked_for():
    mesh = box((100, 3, 4), (150, 12, 14))
    size = (301, 20, 17)
    dense = cut(signed_distance(mesh, shells_of(mesh), size), beyond=BAND)
    expected = np.argwhere((dense < BAND).any(axis=(3, 4, 5)))
    assert expected[0][0] * 8 < 128 < expected[-1][0] * 8
    np.testing.assert_array_equal(MeshDistance(mesh, shells_of(mesh), size).touched(inside=True), expected)


@pytest.mark.parametrize("name", MESHES)
@pytest.mark.parametrize("motion", ["rigid", "bending"])
def test_the_velocities_of_leaves_are_those_of_the_box(name, motion):
    mesh = MESHES[name]
    way = mesh.points @ np.array([[0, 0.1, 0], [-0.1, 0, 0.02], [0, 0, 0]]) + (1.0, 2.0, -0.5)
    if motion == "bending":
        way += np.sin(mesh.points / 3)
    dense = cut(spread_velocity(mesh, way, SIZE, BAND))
    velocity = MeshVelocity(mesh, way, SIZE, BAND)
    for leaves in (all_coords(SIZE), some_leaves(), all_coords(SIZE)[:0]):
        np.testing.assert_array_equal(velocity.leaves(leaves), dense[tuple(leaves.T)])


def test_memory_follows_the_leaves_and_not_the_box():
    mesh = sphere((700.3, 500, 480), 12)
    tracemalloc.start()
    distance = MeshDistance(mesh, shells_of(mesh), (1024, 1024, 1024))
    leaves = distance.touched(inside=True)
    values = distance.leaves(leaves)
    way = MeshVelocity(mesh, np.sin(mesh.points), (1024, 1024, 1024), BAND).leaves(leaves)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64 << 20  # the box would take 4 GiB for the distance and 12 for the velocity
    assert values.min() == -BAND and np.abs(way).max() > 0.5
