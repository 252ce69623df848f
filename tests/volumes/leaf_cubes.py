# SPDX-License-Identifier: GPL-3.0-or-later
"""Dense arrays cut into leaves: what tests hold the sparse twins of dense functions against."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fluid_addon.volumes.leaf_array import LeafArray


def cut(array: NDArray[Any], edge: int = 8, beyond: Any = 0) -> NDArray[Any]:
    """The leaves (lx, ly, lz, E, E, E[, components]) of an array, with `beyond` in voxels that it does not have."""
    counts = [-(-n // edge) for n in array.shape[:3]]
    padded = np.empty((*(n * edge for n in counts), *array.shape[3:]), array.dtype)
    padded[...] = beyond
    padded[tuple(slice(0, n) for n in array.shape[:3])] = array
    split = padded.reshape(*(n for count in counts for n in (count, edge)), *array.shape[3:])
    return split.transpose(0, 2, 4, 1, 3, 5, *range(6, split.ndim))


def all_coords(size: tuple[int, ...], edge: int = 8) -> NDArray[np.int32]:
    """The coordinates (n, 3) of all leaves of a box."""
    return np.argwhere(np.ones([-(-n // edge) for n in size[:3]], np.bool_)).astype(np.int32)


def as_leaf_array(array: NDArray[Any], edge: int = 8, beyond: Any = 0, background: Any = None) -> LeafArray:
    """All leaves of an array, or only those that differ from `background` somewhere."""
    leaves, coords = cut(array, edge, beyond), all_coords(array.shape, edge)
    values = leaves[tuple(coords.T)]
    if background is not None:
        inside = cut(array, edge, background)[tuple(coords.T)]
        kept = (inside != np.asarray(background)).reshape(len(coords), -1).any(axis=1)
        coords, values = coords[kept], values[kept]
    return LeafArray(coords, values, tuple(array.shape[:3]))
