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

from .address import Boundary

__all__ = ["at_centres"]


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
