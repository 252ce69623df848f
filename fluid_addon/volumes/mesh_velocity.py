# SPDX-License-Identifier: GPL-3.0-or-later
"""The velocity of a moving surface, on the voxels of a box or of some of its leaves: scattered from the surface, then
carried off it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .leaf_array import LEAF
from .mesh import Mesh

__all__ = ["MeshVelocity", "spread_velocity"]

_SPACING = 0.7  # voxels between two samples of the surface
_MOST_CUTS = 512  # of a triangle's edge; larger triangles leave gaps that are filled
_NEGLIGIBLE = 1e-4  # of the largest velocity
_AT_ONCE = 1 << 20  # samples that are in memory at the same time
_LEAVES_AT_ONCE = 512

Floats = NDArray[np.float64]


def spread_velocity(mesh: Mesh, velocity: Floats, size: tuple[int, int, int], reach: float) -> NDArray[np.float32]:
    """The velocities (nx, ny, nz, 3) of `MeshVelocity` at all voxels of the box."""
    return MeshVelocity(mesh, velocity, size, reach).dense()


class MeshVelocity:
    """Velocities at the voxel centres (0, 0, 0) … size − 1 of a box, taken from those of a mesh's points (n, 3).

    The best linear motion, which is all of a rigid one, is worked out at each voxel. Of what is left, voxels near the
    surface get the mean of its samples; all others within the surface's box, grown by `reach`, are filled from coarser
    and coarser means (the pull-push of Gortler et al., "The Lumigraph", SIGGRAPH 1996). Outside of that it is zero.
    Only where something is left is that box held in memory.

    Args:
        mesh: its points are in voxels.
        reach: voxels.
    """

    def __init__(self, mesh: Mesh, velocity: Floats, size: tuple[int, int, int], reach: float) -> None:
        self._size = size
        self._low, self._high = np.zeros(3, int), np.zeros(3, int)
        self._matrix, self._offset = np.zeros((3, 3)), np.zeros(3)
        self._rest: NDArray[np.float32] | None = None
        if not len(mesh.triangles):
            return
        corners = mesh.points[mesh.triangles]
        grown = int(np.ceil(reach))
        self._low = np.clip(np.floor(corners.min(axis=(0, 1))) - grown, 0, size).astype(int)
        self._high = np.clip(np.ceil(corners.max(axis=(0, 1))) + grown + 1, 0, size).astype(int)
        if (self._low >= self._high).any():
            return
        with np.errstate(under="ignore"):
            self._matrix, self._offset = _linear_motion(mesh.points, velocity)
            left = velocity - (mesh.points @ self._matrix + self._offset)
            if np.abs(left).max() > _NEGLIGIBLE * np.abs(velocity).max():
                sums = _scattered(corners, left[mesh.triangles], self._low, self._high)
                if sums[..., 3].any():
                    self._rest = _filled(sums)

    def dense(self) -> NDArray[np.float32]:
        """The velocities (nx, ny, nz, 3) of the whole box."""
        spread = np.zeros((*self._size, 3), np.float32)
        if (self._low < self._high).all():
            inside = tuple(slice(*ends) for ends in zip(self._low, self._high, strict=True))
            x, y, z = (np.arange(*ends) for ends in zip(self._low, self._high, strict=True))
            with np.errstate(under="ignore"):
                spread[inside] = self._linear(x[:, None, None], y[:, None], z)
            if self._rest is not None:
                spread[inside] += self._rest
        return spread

    def leaves(self, coords: NDArray[np.int32]) -> NDArray[np.float32]:
        """The velocities (n, 8, 8, 8, 3) in the leaves `coords` (n, 3) of the box; zero in voxels beyond it."""
        spread = np.zeros((len(coords), LEAF, LEAF, LEAF, 3), np.float32)
        first = coords.astype(np.int64) * LEAF
        near = np.flatnonzero(((first < self._high) & (first + LEAF > self._low)).all(axis=1))
        for start in range(0, len(near), _LEAVES_AT_ONCE):
            some = near[start : start + _LEAVES_AT_ONCE]
            along = first[some, :, None] + np.arange(LEAF)
            place = [along[:, axis].reshape(-1, *shape) for axis, shape in enumerate(((8, 1, 1), (1, 8, 1), (1, 1, 8)))]
            with np.errstate(under="ignore"):
                values = self._linear(*place).astype(np.float32)
            inside = np.ones(values.shape[:4], np.bool_)
            for numbers, low, high in zip(place, self._low, self._high, strict=True):
                inside &= (numbers >= low) & (numbers < high)
            if self._rest is not None:
                x, y, z = (
                    np.clip(n, low, high - 1) - low for n, low, high in zip(place, self._low, self._high, strict=True)
                )
                values += self._rest[x, y, z]
            values[~inside] = 0
            spread[some] = values
        return spread

    def _linear(self, x: NDArray[np.int64], y: NDArray[np.int64], z: NDArray[np.int64]) -> Floats:
        """The linear motion (…, 3) at coordinates that broadcast against each other."""
        of_x, of_y, of_z = (n[..., None] * row for n, row in zip((x, y, z), self._matrix, strict=True))
        motion: Floats = of_x + of_y + of_z + self._offset
        return motion


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
