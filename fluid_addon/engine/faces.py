# SPDX-License-Identifier: GPL-3.0-or-later
"""A vector field on the faces of its voxels as numpy sees it: files and pictures want it at voxel centres.

Component i of voxel c lies in the middle of the low face along axis i (the marker-and-cell grid of Harlow and Welch,
"Numerical calculation of time-dependent viscous incompressible flow", 1965).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..volumes.leaf_array import LeafArray
from .address import Boundary

__all__ = ["at_centres", "at_centres_of_leaves"]


def at_centres(
    faces: npt.NDArray[Any], background: Sequence[float], boundary: Sequence[Boundary]
) -> npt.NDArray[np.float32]:
    """The mean of each component over a voxel's two faces, as `SampleField` at the voxel's centre gives it.

    Args:
        faces: (nx, ny, nz, 3), what a staggered field stores.
        background: of the field, for the faces beyond the high end of an axis that is not periodic.
        boundary: of each axis.

    Returns:
        (nx, ny, nz, 3).
    """
    centres = np.empty(faces.shape, np.float32)
    for axis, (outside, rule) in enumerate(zip(background, boundary, strict=True)):
        low = np.moveaxis(faces[..., axis], axis, 0)
        mean = np.moveaxis(centres[..., axis], axis, 0)
        np.add(low[:-1], low[1:], out=mean[:-1], dtype=np.float32)
        beyond = low[0] if rule is Boundary.PERIODIC else faces.dtype.type(outside)
        np.add(low[-1], beyond, out=mean[-1], dtype=np.float32)
    centres *= np.float32(0.5)
    return centres


def at_centres_of_leaves(faces: LeafArray, background: Sequence[float], boundary: Sequence[Boundary]) -> LeafArray:
    """The twin of `at_centres` for a sparse field: the same bits, where a leaf that is not there is background.

    Args:
        faces: leaves (n, E, E, E, 3), sorted by x, then y, then z.

    Returns:
        The same leaves as float32.
    """
    values, edge = faces.values, faces.edge
    centres = np.empty(values.shape, np.float32)
    for axis, (outside, rule) in enumerate(zip(background, boundary, strict=True)):
        low = np.moveaxis(values[..., axis], axis + 1, 1)
        mean = np.moveaxis(centres[..., axis], axis + 1, 1)
        beyond = np.full((len(values), edge, edge), outside, values.dtype)
        neighbour = _next_leaves(faces, axis, rule)
        beyond[neighbour >= 0] = low[neighbour[neighbour >= 0], 0]
        np.add(low[:, :-1], low[:, 1:], out=mean[:, :-1], dtype=np.float32)
        np.add(low[:, -1], beyond, out=mean[:, -1], dtype=np.float32)
        last = (faces.size[axis] - 1) % edge
        if last < edge - 1:
            end = faces.coords[:, axis] == faces.leaf_counts[axis] - 1
            mean[end, last] = np.add(low[end, last], beyond[end], dtype=np.float32)
    centres *= np.float32(0.5)
    return faces.with_values(centres)


def _next_leaves(faces: LeafArray, axis: int, rule: Boundary) -> npt.NDArray[np.intp]:
    """The number of each leaf's next one along an axis, or -1."""
    counts = faces.leaf_counts
    linear = np.ravel_multi_index(tuple(faces.coords.T), counts)
    following = faces.coords.astype(np.int64)
    following[:, axis] += 1
    at_end = following[:, axis] == counts[axis]
    following[at_end, axis] = 0
    wanted = np.ravel_multi_index(tuple(following.T), counts)
    number = np.minimum(np.searchsorted(linear, wanted), len(linear) - 1)
    found = (linear[number] == wanted) & ((rule is Boundary.PERIODIC) | ~at_end)
    return np.where(found, number, -1)
