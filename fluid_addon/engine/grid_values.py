# SPDX-License-Identifier: GPL-3.0-or-later
"""A grid of a file as the values of a field."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from ..diagnostics import FluidError, fail
from ..volumes.grid import LEAF, Grid
from .domain import Domain
from .field import Field
from .formats import Format
from .grid_leaves import resampled_leaves
from .resample import resampled, same_directions

__all__ = ["UNNAMED", "check_directions", "check_kind", "leaf_values_of", "outside_of", "values_of"]

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
    from_faces = grid.grid_class == "staggered"
    values = resampled(_counted(grid, field), domain, on_faces=field.staggered, from_faces=from_faces)
    if values.dtype.kind == "f" and np.isnan(values).any():
        raise _not_a_number(grid, field, file, np.argwhere(np.isnan(values))[0])
    return values


def leaf_values_of(
    grid: Grid, field: Field, domain: Domain, file: str, leaves: npt.NDArray[np.int32]
) -> npt.NDArray[Any]:
    """The values that `values_of` gives, of some leaves of a sparse domain only.

    Args:
        leaves: coordinates (n, 3) of leaves, as `leaves_of_grid` gives them.

    Returns:
        (n, E, E, E) or (n, E, E, E, 3), E = 8 times the field's resolution. Voxels beyond the domain have the field's
        background.

    Raises:
        FluidError: `not-a-number`.
    """
    edge = int(LEAF * field.resolution)
    from_faces = grid.grid_class == "staggered"
    stored = _counted(grid, field)
    found = resampled_leaves(stored, domain, leaves, edge, on_faces=field.staggered, from_faces=from_faces)
    values = found.trimmed(_background(grid, field)).values
    if values.dtype.kind == "f" and np.isnan(values).any():
        number, *inside = np.argwhere(np.isnan(values))[:, :4].T
        raise _not_a_number(grid, field, file, min((leaves[number] * edge + np.stack(inside, axis=-1)).tolist()))
    return values


def outside_of(grid: Grid, field: Field) -> tuple[float | int, ...]:
    """What `values_of` gives a field where a grid has no leaf: the field's background, or a level set's own."""
    if grid.grid_class != "level set":
        return field.background
    return grid.background if isinstance(grid.background, tuple) else (grid.background,)


def _counted(grid: Grid, field: Field) -> Grid:
    """What of a grid counts. Sets the field's grid class."""
    if grid.grid_class != "level set":
        return _active_only(grid, field)
    field.grid_class = "level set"
    return grid


def _not_a_number(grid: Grid, field: Field, file: str, voxel: Iterable[int]) -> FluidError:
    x, y, z = list(voxel)[:3]
    message = f'{_called(grid, file)} brings NaN into "{field.name}", first at voxel {{{x}, {y}, {z}}}.'
    return fail("not-a-number", message, "Write the file again without it.")


def _called(grid: Grid, file: str) -> str:
    return f'The grid "{grid.name or UNNAMED}" of "{file}"'


def _background(grid: Grid, field: Field) -> npt.NDArray[Any]:
    return np.asarray(field.background if grid.components else field.background[0], grid.dtype)


def _active_only(grid: Grid, field: Field) -> Grid:
    """The grid with the field's background wherever it is not active."""
    background = _background(grid, field)
    wide = (..., *([None] * len(grid.components)))
    tiles = grid.tiles
    return dataclasses.replace(
        grid,
        background=background.tolist(),
        leaf_values=np.where(grid.leaf_masks[wide], grid.leaf_values, background),
        tiles=dataclasses.replace(tiles, values=np.where(tiles.active[wide], tiles.values, background)),
    )
