# SPDX-License-Identifier: GPL-3.0-or-later
"""Signed distances from a mesh, on the voxels of a box or of some of its leaves.

OpenVDB makes a level set of each set of pieces; what lies far outside of the box is first folded onto a larger box
around it, so that the work follows the box and not the mesh.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .grid import as_leaves
from .leaf_array import LEAF, LeafArray
from .leaf_boxes import boxes_of_leaves
from .mesh import Mesh, Shells
from .openvdb_library import openvdb

__all__ = ["BAND", "THICKNESS", "MeshDistance", "signed_distance"]

#: Distances are right up to this many voxels; beyond, they are this many, with their sign.
BAND = 4.0
#: An open surface becomes a sheet that reaches this many voxels to both sides: at least one voxel lies inside.
THICKNESS = 0.75

_FOLD = 2 * BAND  # voxels between the box and the box onto which is folded
_MOST_SETS = 16
_BRICK = 128  # the edge of the boxes in which leaves are looked for

Corners = NDArray[np.float64]


def signed_distance(mesh: Mesh, shells: Shells, size: tuple[int, int, int]) -> NDArray[np.float32]:
    """The distances (nx, ny, nz) of `MeshDistance` at all voxels of the box."""
    return MeshDistance(mesh, shells, size).box((0, 0, 0), size)


class MeshDistance:
    """Distances in voxels at the centres (0, 0, 0) … size − 1 of a box, negative inside, between ±`BAND`. Memory
    follows the surface; the box is never held as a whole.

    Overlapping pieces are joined. A piece that is oriented against the largest one, such as the inner wall of a room,
    is a cavity. A mesh with open edges has no inside; where its holes are smaller than a voxel it gets one all the
    same, otherwise it is a sheet of `THICKNESS`.

    Args:
        mesh: its points are in voxels.
    """

    def __init__(self, mesh: Mesh, shells: Shells, size: tuple[int, int, int]) -> None:
        self._size = size
        self._closed = shells.closed
        corners = mesh.points[mesh.triangles]
        if self._closed and len(corners):
            sets = _sets(corners, shells)
        else:
            sets = [(~_beside(corners, np.full(3, -_FOLD), np.array(size) - 1 + _FOLD), False)]
        made = [(_level_set(_folded(corners[pieces], size)), is_cavity) for pieces, is_cavity in sets]
        self._level_sets = [(level_set, is_cavity) for level_set, is_cavity in made if level_set is not None]

    def box(self, low: Sequence[int], size: Sequence[int]) -> NDArray[np.float32]:
        """The distances (nx, ny, nz) from voxel `low` on."""

        def fetch(level_set: Any) -> NDArray[np.float32]:
            values = np.empty(tuple(size), np.float32)
            level_set.copyToArray(values, tuple(low))
            return values

        return self._joined(tuple(size), fetch)

    def leaves(self, coords: NDArray[np.int32]) -> NDArray[np.float32]:
        """The distances (n, 8, 8, 8) in the leaves `coords` (n, 3) of the box; `BAND` in voxels beyond it."""
        origins = coords.astype(np.int64) * LEAF

        def fetch(level_set: Any) -> NDArray[np.float32]:
            values = np.empty((len(origins), LEAF, LEAF, LEAF), np.float32)
            for members, low, size in boxes_of_leaves(origins):
                box = np.empty(size, np.float32)
                level_set.copyToArray(box, tuple(low.tolist()))
                x, y, z = ((origins[members] - low) // LEAF).T
                values[members] = as_leaves(box, size // LEAF)[x, y, z]
            return values

        distance = self._joined((len(origins), LEAF, LEAF, LEAF), fetch)
        values: NDArray[np.float32] = LeafArray(coords, distance, self._size).trimmed(BAND).values
        return values

    def touched(self, *, inside: bool) -> NDArray[np.int32]:
        """The leaves with a voxel less than `BAND` from the surface, and those `inside` beyond that. All others
        are `BAND` everywhere, or −`BAND` without these.

        Returns:
            Coordinates (n, 3), sorted by x, then y, then z.
        """
        found = [np.zeros((0, 3), np.int64)]
        ends = np.array([level_set.evalActiveVoxelBoundingBox() for level_set, _ in self._level_sets])
        if len(ends):
            low = np.maximum(ends[:, 0].min(axis=0), 0) // _BRICK * _BRICK
            high = np.minimum(ends[:, 1].max(axis=0) + 1, self._size)
            for corner in product(*(range(*span, _BRICK) for span in zip(low.tolist(), high.tolist(), strict=True))):
                size = np.minimum(np.array(self._size) - corner, _BRICK)
                distance = self.box(corner, size.tolist())
                here = (distance if inside else np.abs(distance)) < BAND
                blocks = -(-size // LEAF)
                padded = np.pad(here, [(0, more) for more in blocks * LEAF - size])
                x, y, z = blocks
                touched = padded.reshape(x, LEAF, y, LEAF, z, LEAF).any(axis=1).any(axis=2).any(axis=3)
                found.append(np.argwhere(touched) + np.array(corner) // LEAF)
        leaves = np.concatenate(found).astype(np.int32)
        sorted_leaves: NDArray[np.int32] = leaves[np.lexsort(leaves.T[::-1])]
        return sorted_leaves

    def _joined(self, shape: tuple[int, ...], fetch: Callable[[Any], NDArray[np.float32]]) -> NDArray[np.float32]:
        """The distances that `fetch` takes out of each level set, put together."""
        distance = np.full(shape, np.float32(BAND))
        for level_set, is_cavity in self._level_sets:
            found = fetch(level_set)
            np.clip(found, -BAND, BAND, out=found)
            if not self._closed:
                return np.where(found < BAND, np.maximum(found - np.float32(THICKNESS), np.float32(-BAND)), found)
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


def _level_set(corners: Corners) -> Any:
    """OpenVDB's level set of triangles; None where there are none."""
    if not len(corners):
        return None
    with np.errstate(under="ignore"):
        points = np.ascontiguousarray(corners.reshape(-1, 3), np.float32)
    triangles = np.arange(len(points), dtype=np.uint32).reshape(-1, 3)
    library = openvdb()
    lattice = library.createLinearTransform(1.0)
    make = library.FloatGrid.createLevelSetFromPolygons
    return make(points, triangles=triangles, transform=lattice, halfWidth=BAND + 1)  # it frays at its end


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
