# SPDX-License-Identifier: GPL-3.0-or-later
"""Meshes for tests: boxes and spheres with outward normals, and OBJ files of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fluid_addon.volumes.mesh import Mesh

_QUADS = np.array([[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]])


def box(low: Sequence[float], high: Sequence[float], *, inward: bool = False) -> Mesh:
    points = np.array([low, high], float)[np.indices((2, 2, 2)).reshape(3, 8), np.arange(3)[:, None]].T
    triangles = np.concatenate([_QUADS[:, [0, 1, 2]], _QUADS[:, [0, 2, 3]]]).astype(np.int32)
    return Mesh(points, triangles[:, ::-1] if inward else triangles)


def sphere(centre: Sequence[float], radius: float, cuts: int = 16) -> Mesh:
    """A cube whose sides are cut into squares and blown up."""
    steps = np.tan(np.linspace(-np.pi / 4, np.pi / 4, cuts + 1))
    u, v = (axis.ravel() for axis in np.meshgrid(steps, steps, indexing="ij"))
    number = np.arange((cuts + 1) ** 2).reshape(cuts + 1, cuts + 1)
    a, b, c, d = (q.ravel() for q in (number[:-1, :-1], number[1:, :-1], number[1:, 1:], number[:-1, 1:]))
    side = np.concatenate([np.stack([a, b, c], axis=1), np.stack([a, c, d], axis=1)])
    points, triangles = [], []
    for axis in range(3):
        for sign in (-1.0, 1.0):
            three = np.empty((len(u), 3))
            three[:, axis], three[:, axis - 2], three[:, axis - 1] = sign, u, v
            triangles.append((side if sign > 0 else side[:, ::-1]) + len(u) * len(points))
            points.append(three)
    placed = np.concatenate(points)
    placed, same = np.unique(np.round(placed, 9), axis=0, return_inverse=True)
    placed *= radius / np.linalg.norm(placed, axis=1)[:, None]
    return Mesh(placed + centre, same.reshape(-1)[np.concatenate(triangles)].astype(np.int32))


def joined(*meshes: Mesh) -> Mesh:
    starts = np.cumsum([0, *(len(mesh.points) for mesh in meshes)])
    triangles = [mesh.triangles + start for mesh, start in zip(meshes, starts, strict=False)]
    return Mesh(np.concatenate([mesh.points for mesh in meshes]), np.concatenate(triangles).astype(np.int32))


def write_obj(path: Path, mesh: Mesh) -> Path:
    lines = [f"v {x!r} {y!r} {z!r}" for x, y, z in mesh.points.tolist()]
    lines += [f"f {a + 1} {b + 1} {c + 1}" for a, b, c in mesh.triangles.tolist()]
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path
