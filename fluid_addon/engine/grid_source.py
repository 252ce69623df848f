# SPDX-License-Identifier: GPL-3.0-or-later
"""A grid file as the start of a simulation: it places the domain, and fields start from the grids of their names."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PureWindowsPath

import numpy as np
import numpy.typing as npt

from ..diagnostics import FluidError, fail, printable
from ..volumes.grid import LEAF, Grid
from ..volumes.nanovdb_reader import read_nvdb
from ..volumes.openvdb_files import read_vdb
from .address import Boundary
from .domain import Domain, check_size
from .environment import EngineEnvironment
from .field import Field
from .grid_leaves import leaves_of_grid
from .grid_values import UNNAMED, check_kind
from .leaves import LeafBox
from .resample import same_directions

__all__ = ["GridSource", "grid_path", "read_grid", "told_reading"]


def grid_path(folder: Path, name: str) -> Path:
    r"""Where a script's `grid_file` lies, seen from its folder.

    Raises grid-file-missing for a path such as `\\host\share\smoke.vdb` that leads to another machine than the
    folder's: opening it would tell that machine who runs the script.
    """
    drive = PureWindowsPath(name).drive
    if drive.startswith("\\\\") and drive != folder.drive:
        raise fail("grid-file-missing", f'"{name}" is on another machine.', "Copy the file beside the script.")
    return folder / Path(name)


@contextmanager
def told_reading(environment: EngineEnvironment, path: Path) -> Iterator[None]:
    """Whoever listens knows which file is being read: should a library end the process over it, that is the reason."""
    environment.observe("reading", {"path": printable(path.name)})
    try:
        yield
    finally:
        environment.observe("reading", {"path": None})


def _reader(path: Path) -> Callable[..., list[Grid]]:
    """What reads a file, by its ending. Raises FluidError `grid-file-kind`."""
    readers: dict[str, Callable[..., list[Grid]]] = {".nvdb": read_nvdb, ".vdb": read_vdb}
    if path.suffix.lower() not in readers:
        hint = "NanoVDB (.nvdb) and OpenVDB (.vdb) files can be read."
        raise fail("grid-file-kind", f'"{path.name}" is not a grid file by its ending.', hint)
    return readers[path.suffix.lower()]


def read_grid(path: Path, name: str) -> Grid:
    """One grid of a file; of two with one name the first.

    Raises:
        FluidError: `grid-file-missing`, `grid-file-corrupt`, `grid-file-kind` also where it has no such grid.
    """
    read = _reader(path)
    try:
        return read(path, {name})[0]
    except FluidError as error:
        if name != UNNAMED or error.code != "grid-file-kind":
            raise
        try:
            return read(path, {""})[0]
        except FluidError:
            raise error from None


class GridSource:
    """The grids of a `.nvdb` or `.vdb` file.

    Raises:
        FluidError: `grid-file-missing`, `grid-file-corrupt`, `grid-file-kind`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        grids = _reader(path)(path)
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
            hint = "Take a file in which there is something, or leave grid_file out and give the domain a size."
            raise fail("grid-file-kind", f'"{self.path.name}" has no active voxel to place the domain on.', hint)
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

    def leaves(self, domain: Domain) -> npt.NDArray[np.int32]:
        """The linear indices, sorted, of the leaves of a domain that the file's grids reach."""
        box = LeafBox(domain.size, domain.boundary)
        found = [leaves_of_grid(g, domain) for g in self.grids.values() if same_directions(g, domain)]
        linear: npt.NDArray[np.int32] = np.unique(np.concatenate([box.index(leaves) for leaves in found]))
        return linear

    def grid_for(self, field: Field, domain: Domain) -> Grid | None:
        """What a field starts from; None where the file has no grid of its name.

        Raises:
            FluidError: `grid-mismatch` also when it lies on another lattice.
        """
        grid = self.grids.get(field.name)
        if grid is None:
            return None
        check_kind(grid, field, self.path.name)
        if not np.allclose(grid.transform, domain.transform, rtol=1e-6, atol=1e-9):
            message = f'The grid "{field.name}" of "{self.path.name}" lies on another lattice than the field.'
            raise fail("grid-mismatch", message, "Resample it to the first grid's voxels, or rename the field.")
        return grid
