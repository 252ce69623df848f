# SPDX-License-Identifier: GPL-3.0-or-later
"""The velocity of a moving surface, on the voxels of a box: scattered from the surface, then carried off it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .mesh import Mesh

__all__ = ["spread_velocity"]

_SPACING = 0.7  # voxels between two samples of the surface
_MOST_CUTS = 512  # of a triangle's edge; larger triangles leave gaps that are filled
_NEGLIGIBLE = 1e-4  # of the largest velocity
_AT_ONCE = 1 << 20  # samples that are in memory at the same time

Floats = NDArray[np.float64]


def spread_velocity(mesh: Mesh, velocity: Floats, size: tuple[int, int, int], reach: float) -> NDArray[np.float32]:
    """Velocities (nx, ny, nz, 3) at voxel centres, taken from those of the points (n, 3).

    The best linear motion, which is all of a rigid one, is worked out at each voxel. Of what is left, voxels near the
    surface get the mean of its samples; all others within the surface's box, grown by `reach`, are filled from coarser
    and coarser means (the pull-push of Gortler et al., "The Lumigraph", SIGGRAPH 1996). Outside of that it is zero.

    Args:
        mesh: its points are in voxels.
        reach: voxels.
    """
    spread = np.zeros((*size, 3), np.float32)
    if not len(mesh.triangles):
        return spread
    corners = mesh.points[mesh.triangles]
    grown = int(np.ceil(reach))
    low = np.clip(np.floor(corners.min(axis=(0, 1))) - grown, 0, size).astype(int)
    high = np.clip(np.ceil(corners.max(axis=(0, 1))) + grown + 1, 0, size).astype(int)
    if (low >= high).any():
        return spread
    inside = tuple(slice(*ends) for ends in zip(low, high, strict=True))
    with np.errstate(under="ignore"):
        matrix, offset = _linear_motion(mesh.points, velocity)
        left = velocity - (mesh.points @ matrix + offset)
        x, y, z = (np.arange(a, b)[:, None] * row for a, b, row in zip(low, high, matrix, strict=True))
        spread[inside] = x[:, None, None] + y[:, None] + z + offset
        if np.abs(left).max() > _NEGLIGIBLE * np.abs(velocity).max():
            sums = _scattered(corners, left[mesh.triangles], low, high)
            if sums[..., 3].any():
                spread[inside] += _filled(sums)
    return spread


def _linear_motion(points: Floats, velocity: Floats) -> tuple[Floats, Floats]:
    """Matrix and offset with the least squares of velocity − (points @ matrix + offset); of several, the smallest."""
    centre = points.mean(axis=0)
    scale = float(np.abs(points - centre).max()) or 1.0
    away = (points - centre) / scale
    mean = velocity.mean(axis=0)
    solved = np.linalg.lstsq(away.T @ away, away.T @ (velocity - mean), rcond=1e-9)[0]
    matrix: Floats = solved / scale
    return matrix, mean - centre @ matrix


def _scattered(corners: Floats, velocity: Floats, low: NDArray[np.int_], high: NDArray[np.int_]) -> NDArray[np.float32]:
    """Sums of velocity and, last, numbers of samples (…, 4) over the box from `low` to `high`."""
    near = ((corners.max(axis=1) >= low - 1) & (corners.min(axis=1) <= high)).all(axis=1)
    corners, velocity = corners[near] - low, velocity[near]
    shape = tuple((high - low).tolist())
    sums = np.zeros((int(np.prod(shape)), 4))
    longest = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2).max(axis=1, initial=0)
    cuts = np.clip(np.ceil(longest / _SPACING), 1, _MOST_CUTS).astype(int)
    cuts = 1 << np.ceil(np.log2(cuts)).astype(int)  # few different numbers, each worked through at once
    for count in np.unique(cuts):
        weights = _weights(int(count))
        members = np.flatnonzero(cuts == count)
        for some in np.array_split(members, max(1, len(members) * len(weights) // _AT_ONCE)):
            places = np.rint(np.einsum("sk,tkc->tsc", weights, corners[some]).reshape(-1, 3)).astype(int)
            moving = np.einsum("sk,tkc->tsc", weights, velocity[some]).reshape(-1, 3)
            inside = ((places >= 0) & (places < shape)).all(axis=1)
            index = np.ravel_multi_index(tuple(places[inside].T), shape)
            for component in range(3):
                sums[:, component] += np.bincount(index, moving[inside, component], len(sums))
            sums[:, 3] += np.bincount(index, minlength=len(sums))
    return sums.astype(np.float32).reshape(*shape, 4)


def _weights(cuts: int) -> Floats:
    """Barycentric coordinates (s, 3) of the centres of the small triangles that `cuts` of each edge make."""
    i, j = np.meshgrid(np.arange(cuts), np.arange(cuts), indexing="ij")
    upright, turned = i + j < cuts, i + j < cuts - 1
    u = np.concatenate([(i[upright] + 1 / 3), (i[turned] + 2 / 3)]) / cuts
    v = np.concatenate([(j[upright] + 1 / 3), (j[turned] + 2 / 3)]) / cuts
    return np.stack([1 - u - v, u, v], axis=1)


def _filled(sums: NDArray[np.float32]) -> NDArray[np.float32]:
    """Means (…, 3), where there is no sample those of the coarser level around it."""
    weight = sums[..., 3:]
    own: NDArray[np.float32] = sums[..., :3] / np.maximum(weight, 1)
    if weight.all() or max(weight.shape) == 1:
        return own
    # A voxel counts once on the coarser level, however many samples it has.
    summed = np.concatenate([own, np.minimum(weight, 1)], axis=-1)
    for axis in range(3):
        summed = _halved(summed, axis)
    fine = _filled(summed)
    for axis in range(3):
        fine = _doubled(fine, axis, weight.shape[axis])
    return np.where(weight > 0, own, fine)


def _halved(values: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
    """Sums of two neighbours along an axis; a last one without a neighbour stays."""
    along = np.moveaxis(values, axis, 0)
    halved = along[::2].copy()
    halved[: len(along) // 2] += along[1::2]
    return np.moveaxis(halved, 0, axis)


def _doubled(values: NDArray[np.float32], axis: int, count: int) -> NDArray[np.float32]:
    """Twice as many values along an axis, each a quarter of the way to the neighbour; the first `count` of them."""
    along = np.moveaxis(values, axis, 0)
    doubled = np.empty((2 * len(along), *along.shape[1:]), np.float32)
    doubled[::2] = doubled[1::2] = 0.75 * along
    doubled[2::2] += 0.25 * along[:-1]
    doubled[1:-1:2] += 0.25 * along[1:]
    doubled[0] += 0.25 * along[0]
    doubled[-1] += 0.25 * along[-1]
    return np.moveaxis(doubled[:count], 0, axis)
