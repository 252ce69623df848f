# SPDX-License-Identifier: GPL-3.0-or-later
"""A grid of a file as the values of a field."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

from ..diagnostics import fail
from ..volumes.grid import Grid
from .domain import Domain
from .field import Field
from .formats import Format
from .resample import resampled, same_directions

__all__ = ["UNNAMED", "check_directions", "check_kind", "values_of"]

#: What a grid without a name counts as.
UNNAMED = "density"
_FITS = {
    "float": (Format.R32F, Format.R16F),
    "half": (Format.R32F, Format.R16F),
    "vec3f": (Format.R32G32B32F, Format.R16G16B16F),
    "int32": (Format.R32I, Format.R32UI),
}


def check_kind(grid: Grid, field: Field, file: str) -> None:
    """Raises FluidError `grid-mismatch` when the field's format cannot hold the grid."""
    if field.format not in _FITS[grid.kind]:
        fitting = " or ".join(f"Format.{f.name}" for f in _FITS[grid.kind])
        message = f"{_called(grid, file)} is {grid.kind} and does not fit {field.format.name}."
        raise fail("grid-mismatch", message, f"Use {fitting}.")


def check_directions(grid: Grid, domain: Domain, file: str) -> None:
    """Raises FluidError `grid-mismatch` when the grid's axes are turned against the domain's."""
    if not same_directions(grid, domain):
        message = f"{_called(grid, file)} is turned against the domain."
        raise fail("grid-mismatch", message, "Only voxels along the domain's axes can be resampled: rotate it before.")


def values_of(grid: Grid, field: Field, domain: Domain, file: str) -> npt.NDArray[Any]:
    """A grid that fits as the values of a field, resampled where their voxels differ. Sets the field's grid class.

    A level set counts with its signed inside and outside; of all other grids only the active voxels do, and the rest is
    the field's background. Vectors go between voxel centres and faces as the grid and the field have them.

    Args:
        domain: the box in the field's voxels.
        file: its name, for messages.

    Returns:
        (nx, ny, nz) or (nx, ny, nz, 3).

    Raises:
        FluidError: `not-a-number`.
    """
    level_set = grid.grid_class == "level set"
    if level_set:
        field.grid_class = "level set"
    stored = grid if level_set else _active_only(grid, field)
    values = resampled(stored, domain, on_faces=field.staggered, from_faces=grid.grid_class == "staggered")
    if values.dtype.kind == "f" and np.isnan(values).any():
        x, y, z = (int(n) for n in np.argwhere(np.isnan(values))[0][:3])
        message = f'{_called(grid, file)} brings NaN into "{field.name}", first at voxel {{{x}, {y}, {z}}}.'
        raise fail("not-a-number", message, "Write the file again without it.")
    return values


def _called(grid: Grid, file: str) -> str:
    return f'The grid "{grid.name or UNNAMED}" of "{file}"'


def _active_only(grid: Grid, field: Field) -> Grid:
    """The grid with the field's background wherever it is not active."""
    background = np.asarray(field.background if grid.components else field.background[0], grid.dtype)
    wide = (..., *([None] * len(grid.components)))
    tiles = grid.tiles
    return dataclasses.replace(
        grid,
        background=background.tolist(),
        leaf_values=np.where(grid.leaf_masks[wide], grid.leaf_values, background),
        tiles=dataclasses.replace(tiles, values=np.where(tiles.active[wide], tiles.values, background)),
    )
