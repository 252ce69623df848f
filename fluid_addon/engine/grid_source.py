# SPDX-License-Identifier: GPL-3.0-or-later
"""A grid file as the start of a simulation: it places the domain, and fields start from the grids of their names."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np
import numpy.typing as npt

from ..diagnostics import fail
from ..volumes.grid import LEAF, Grid
from ..volumes.nanovdb_reader import read_nvdb
from ..volumes.openvdb_files import read_vdb
from .address import Boundary
from .domain import Domain, check_size
from .faces import neighbour_means
from .field import Field
from .formats import Format

__all__ = ["GridSource", "grid_path"]

UNNAMED = "density"
_FITS = {
    "float": (Format.R32F, Format.R16F),
    "half": (Format.R32F, Format.R16F),
    "vec3f": (Format.R32G32B32F, Format.R16G16B16F),
    "int32": (Format.R32I, Format.R32UI),
}


def grid_path(folder: Path, name: str) -> Path:
    r"""Where a script's `grid_file` lies, seen from its folder.

    Raises grid-file-missing for a path such as `\\host\share\smoke.vdb` that leads to another machine than the
    folder's: opening it would tell that machine who runs the script.
    """
    drive = PureWindowsPath(name).drive
    if drive.startswith("\\\\") and drive != folder.drive:
        raise fail("grid-file-missing", f'"{name}" is on another machine.', "Copy the file beside the script.")
    return folder / Path(name)


class GridSource:
    """The grids of a `.nvdb` or `.vdb` file.

    Raises:
        FluidError: `grid-file-missing`, `grid-file-corrupt`, `grid-file-kind`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        readers = {".nvdb": read_nvdb, ".vdb": read_vdb}
        if path.suffix.lower() not in readers:
            hint = "NanoVDB (.nvdb) and OpenVDB (.vdb) files can be read."
            raise fail("grid-file-kind", f'"{path.name}" is not a grid file by its ending.', hint)
        grids = readers[path.suffix.lower()](path)
        if not grids:
            raise fail("grid-file-kind", f'"{path.name}" holds no grid that a field can start from.')
        self.grids = {grid.name or UNNAMED: grid for grid in reversed(grids)}  # of two with one name the first counts

    def domain(self, size: Sequence[int] | None, boundary: tuple[Boundary, Boundary, Boundary]) -> Domain:
        """The domain that the file places.

        Args:
            size: voxels; the box is then centred on the active voxels and snapped to leaves of 8.
                None takes just the box of the active voxels.

        Raises:
            FluidError: `grid-file-kind` when nothing is active, `bad-extent`.
        """
        boxes = [box for grid in self.grids.values() if (box := grid.active_box()) is not None]
        if not boxes:
            raise fail("grid-file-kind", f'"{self.path.name}" has no active voxel to place the domain on.')
        low = np.min([box[0] for box in boxes], axis=0)
        high = np.max([box[1] for box in boxes], axis=0)
        transform = next(iter(self.grids.values())).transform
        if size is None:
            extent = check_size([int(n) for n in high - low])
        else:
            extent = check_size(size)
            low = np.floor((low + high - np.array(extent)) / 2 / LEAF + 0.5).astype(np.int64) * LEAF
        x, y, z = (int(n) for n in low)
        return Domain(extent, (x, y, z), np.array(transform, np.float64), boundary)

    def values(self, field: Field, domain: Domain) -> npt.NDArray[Any] | None:
        """The start of a field, or None where the file has no grid of its name. Sets the field's grid class.

        A level set counts with its signed inside and outside; of all other grids only the active voxels do, and the
        rest takes the field's background. Vectors at centres become means on the faces of a staggered field, and those
        of a staggered grid means at the centres of any other field.

        Raises:
            FluidError: `grid-mismatch` when the format cannot hold the grid or it lies on another lattice.
        """
        grid = self.grids.get(field.name)
        if grid is None:
            return None
        if field.format not in _FITS[grid.kind]:
            fitting = " or ".join(f"Format.{f.name}" for f in _FITS[grid.kind])
            message = (
                f'The grid "{field.name}" of "{self.path.name}" is {grid.kind} and does not fit {field.format.name}.'
            )
            raise fail("grid-mismatch", message, f"Use {fitting}.")
        if not np.allclose(grid.transform, domain.transform, rtol=1e-6, atol=1e-9):
            message = f'The grid "{field.name}" of "{self.path.name}" lies on another lattice than the field.'
            raise fail("grid-mismatch", message, "Resample it to the first grid's voxels, or rename the field.")
        level_set = grid.grid_class == "level set"
        if grid.grid_class in ("level set", "staggered"):
            field.grid_class = grid.grid_class
        stored = grid if level_set else _on(grid, field)
        if grid.kind != "vec3f" or field.staggered == (grid.grid_class == "staggered"):
            return stored.dense(domain.low, domain.size)
        below = 1 if field.staggered else 0  # faces want one more voxel below, centres one above
        low, size = [n - below for n in domain.low], [n + 1 for n in domain.size]
        return neighbour_means(stored.dense(low, size), extra_first=field.staggered)


def _on(grid: Grid, field: Field) -> Grid:
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
