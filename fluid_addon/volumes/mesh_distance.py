# SPDX-License-Identifier: GPL-3.0-or-later
"""Signed distances from a mesh, on the voxels of a box.

OpenVDB makes a level set of each set of pieces; what lies far outside of the box is first folded onto a larger box
around it, so that the work follows the box and not the mesh.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .mesh import Mesh, Shells
from .openvdb_library import openvdb

__all__ = ["BAND", "THICKNESS", "signed_distance"]

#: Distances are right up to this many voxels; beyond, they are this many, with their sign.
BAND = 4.0
#: An open surface becomes a sheet that reaches this many voxels to both sides: at least one voxel lies inside.
THICKNESS = 0.75

_FOLD = 2 * BAND  # voxels between the box and the box onto which is folded
_MOST_SETS = 16

Corners = NDArray[np.float64]


def signed_distance(mesh: Mesh, shells: Shells, size: tuple[int, int, int]) -> NDArray[np.float32]:
    """Distances (nx, ny, nz) in voxels at the centres (0, 0, 0) … size − 1, negative inside, between ±`BAND`.

    Overlapping pieces are joined. A piece that is oriented against the largest one, such as the inner wall of a room,
    is a cavity. A mesh with open edges has no inside; where its holes are smaller than a voxel it gets one all the
    same, otherwise it is a sheet of `THICKNESS`.

    Args:
        mesh: its points are in voxels.
    """
    distance = np.full(size, np.float32(BAND))
    corners = mesh.points[mesh.triangles]
    if not len(corners):
        return distance
    if not shells.closed:
        beside = _beside(corners, np.full(3, -_FOLD), np.array(size) - 1 + _FOLD)
        found = _level_set(_folded(corners[~beside], size), size)
        return np.where(found < BAND, np.maximum(found - np.float32(THICKNESS), np.float32(-BAND)), found)
    for pieces, is_cavity in _sets(corners, shells):
        found = _level_set(_folded(corners[pieces], size), size)
        distance = np.maximum(distance, -found) if is_cavity else np.minimum(distance, found)
    return distance


def _sets(corners: Corners, shells: Shells) -> list[tuple[NDArray[np.bool_], bool]]:
    """Triangles by set, and whether it is cut out: pieces from the largest to the smallest, neighbours of one
    orientation together, so that what lies inside a cavity is added after it was cut."""
    centre = corners.mean(axis=(0, 1))
    a, b, c = (corners[:, side] - centre for side in range(3))
    volume = np.bincount(shells.piece, np.einsum("ij,ij->i", a, np.cross(b, c)), shells.count)
    order = np.argsort(-np.abs(volume), kind="stable")
    cavity = np.sign(volume[order]) == -np.sign(volume[order[0]])
    number = np.concatenate([[0], np.cumsum(cavity[1:] != cavity[:-1])])
    number = np.minimum(number, _MOST_SETS)  # the smallest pieces of a mesh that is not worth more
    set_of = np.empty(shells.count, np.intp)
    set_of[order] = number
    of_triangle = set_of[shells.piece]
    firsts = np.unique(number, return_index=True)[1]
    return [(of_triangle == number[first], bool(cavity[first])) for first in firsts]


def _level_set(corners: Corners, size: tuple[int, int, int]) -> NDArray[np.float32]:
    values = np.full(size, np.float32(BAND))
    if not len(corners):
        return values
    with np.errstate(under="ignore"):
        points = np.ascontiguousarray(corners.reshape(-1, 3), np.float32)
    triangles = np.arange(len(points), dtype=np.uint32).reshape(-1, 3)
    library = openvdb()
    lattice = library.createLinearTransform(1.0)
    make = library.FloatGrid.createLevelSetFromPolygons
    make(points, triangles=triangles, transform=lattice, halfWidth=BAND + 1).copyToArray(values)  # it frays at its end
    return np.clip(values, -BAND, BAND, out=values)


# ----- Folding


def _beside(corners: Corners, low: NDArray[np.float64], high: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Triangles that lie on the far side of one of the planes of a box."""
    beside: NDArray[np.bool_] = ((corners.max(axis=1) < low) | (corners.min(axis=1) > high)).any(axis=1)
    return beside


def _folded(corners: Corners, size: tuple[int, int, int]) -> Corners:
    """The triangles, with all that lies beyond a box around the voxels moved onto its sides.

    That maps space onto the box without tearing, so a closed mesh stays closed and a voxel inside stays inside.
    Triangles are cut where they meet a side's plane, or moving their corners would move them inside of it as well.
    """
    for axis in range(3):
        low, high = -_FOLD, size[axis] - 1 + _FOLD
        for plane in (low, high):
            corners = _cut(corners, axis, plane)
        corners[..., axis] = np.clip(corners[..., axis], low, high)
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    kept: Corners = corners[area > 0]
    return kept


def _cut(corners: Corners, axis: int, plane: float) -> Corners:
    """The triangles, with those that a plane goes through cut into three along it."""
    above = corners[..., axis] > plane
    count = above.sum(axis=1)
    through = (count == 1) | (count == 2)
    if not through.any():
        return corners.copy()
    split, side = corners[through], above[through]
    alone = np.where(count[through] == 1, side.argmax(axis=1), (~side).argmax(axis=1))
    a, b, c = (np.take_along_axis(split, ((alone + k) % 3)[:, None, None], axis=1)[:, 0] for k in range(3))
    ab, ac = _meet(a, b, axis, plane), _meet(a, c, axis, plane)
    pieces = [np.stack(three, axis=1) for three in ((a, ab, ac), (ab, b, c), (ab, c, ac))]
    return np.concatenate([corners[~through], *pieces])


def _meet(a: Corners, b: Corners, axis: int, plane: float) -> Corners:
    """Where the edges from `a` to `b` meet the plane: the same place to the last bit for both triangles of an edge."""
    swap = (a[:, axis] > b[:, axis])[:, None]
    low, high = np.where(swap, b, a), np.where(swap, a, b)
    part = (plane - low[:, axis]) / (high[:, axis] - low[:, axis])
    met: Corners = low + part[:, None] * (high - low)
    met[:, axis] = plane
    return met
