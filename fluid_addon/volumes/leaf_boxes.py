# SPDX-License-Identifier: GPL-3.0-or-later
"""Leaves sorted into boxes: OpenVDB's Python module reads and writes boxes of voxels only, and each call takes time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from .leaf_array import LEAF

__all__ = ["boxes_of_leaves"]

_NODE = 128  # the longest edge of a box
_VOXELS_PER_CALL = 12_000  # one call of OpenVDB takes as long as copying this many voxels (measured)


def boxes_of_leaves(
    origins: NDArray[np.int64],
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]]:
    """Sort blocks of 8³ voxels (n, 3) into boxes that are worth one call: numbers of the blocks, low corner, size."""
    if not len(origins):
        return
    _, node = np.unique(origins // _NODE, axis=0, return_inverse=True)
    node = node.reshape(-1)  # numpy 2.0 gave it another shape
    order = np.argsort(node, kind="stable")
    for members in np.split(order, np.flatnonzero(np.diff(node[order])) + 1):
        low = origins[members].min(axis=0)
        size = origins[members].max(axis=0) + LEAF - low
        if size.prod() > len(members) * (_VOXELS_PER_CALL + LEAF**3):
            for member in members:
                yield member[None], origins[member], np.full(3, LEAF)
        else:
            yield members, low, size
