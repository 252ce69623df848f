# SPDX-License-Identifier: GPL-3.0-or-later
"""A triangle mesh: checked points and triangles, and what can be told from its topology alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..diagnostics import fail

__all__ = ["MAX_TRIANGLES", "MAX_VERTICES", "Mesh", "Shells", "checked_mesh", "shells_of"]

MAX_VERTICES = MAX_TRIANGLES = 5_000_000
FARTHEST = 1e30

Points = NDArray[np.float64]
Triangles = NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Mesh:
    """`points` (n, 3) in scene units and `triangles` (m, 3), three numbers of points each. Both may be empty."""

    points: Points
    triangles: Triangles

    def same_topology(self, other: Mesh) -> bool:
        """Whether point i of one is point i of the other."""
        if len(self.points) != len(other.points):
            return False
        return self.triangles is other.triangles or np.array_equal(self.triangles, other.triangles)


def checked_mesh(what: str, points: NDArray[Any], triangles: NDArray[Any]) -> Mesh:
    """A mesh of arrays from outside; `what` names it in messages.

    Raises:
        FluidError: `mesh-broken` for points that are not finite, triangles of points that are not there, or more than
            `MAX_VERTICES` or `MAX_TRIANGLES`.
    """
    for kind, count, most in (("vertices", len(points), MAX_VERTICES), ("triangles", len(triangles), MAX_TRIANGLES)):
        if count > most:
            message = f"{what} has {count:,} {kind}; {most:,} is the most."
            raise fail("mesh-broken", message, "Decimate or remesh a copy of it, and use that.")
    there = (np.abs(points) < FARTHEST).all(axis=1)  # false for what is no number, too
    if not there.all():
        number = int(np.flatnonzero(~there)[0]) + 1
        message = f"Vertex {number} of {what} is not at a finite place."
        raise fail("mesh-broken", message, "A modifier or an importer has put it there; look at the mesh.")
    if len(triangles) and not 0 <= int(triangles.min()) <= int(triangles.max()) < len(points):
        raise fail("mesh-broken", f"A face of {what} names a vertex that is not there.", "Write the file again.")
    return Mesh(np.asarray(points, np.float64), np.ascontiguousarray(triangles, np.int32))


@dataclass(frozen=True, eq=False)
class Shells:
    """The connected pieces of a mesh: `piece` (m,) numbers that of each triangle, and whether every edge is shared by
    an even number of triangles, so that an inside can be told."""

    piece: NDArray[np.intp]
    count: int
    closed: bool


def shells_of(mesh: Mesh) -> Shells:
    """The connected pieces. Points at the same place count as one where the mesh is open otherwise, since many files
    repeat the points of each face."""
    triangles = _proper(mesh.triangles)
    closed = _is_closed(triangles)
    corners = mesh.triangles.astype(np.intp)
    if not closed:
        _, same = np.unique(mesh.points, axis=0, return_inverse=True)
        welded = same.reshape(-1)[mesh.triangles].astype(np.int32)
        if _is_closed(_proper(welded)):
            closed, corners = True, welded.astype(np.intp)
    label = _connected(corners, len(mesh.points))
    found, piece = np.unique(label[corners[:, 0]], return_inverse=True)
    return Shells(piece.reshape(-1), len(found), closed)


def _proper(triangles: Triangles) -> Triangles:
    """Those triangles whose corners differ."""
    a, b, c = triangles.T
    proper: Triangles = triangles[(a != b) & (b != c) & (c != a)]
    return proper


def _is_closed(triangles: Triangles) -> bool:
    ends = np.sort(triangles[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1).astype(np.int64)
    _, counts = np.unique(ends[:, 0] << 32 | ends[:, 1], return_counts=True)
    return not (counts % 2).any()


def _connected(corners: NDArray[np.intp], points: int) -> NDArray[np.intp]:
    """For each point, the lowest number of one that it is connected with (Shiloach and Vishkin: hook, then jump)."""
    label = np.arange(points)
    while True:
        lowest = label[corners].min(axis=1)
        before = label.copy()
        for side in range(3):
            np.minimum.at(label, before[corners[:, side]], lowest)
            np.minimum.at(label, corners[:, side], lowest)
        while not np.array_equal(label, jumped := label[label]):
            label = jumped
        if np.array_equal(label, before):
            return label
