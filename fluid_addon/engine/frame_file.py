# SPDX-License-Identifier: GPL-3.0-or-later
"""One frame of a simulation as a file of its bake."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ..diagnostics import Place
from ..volumes.bake import Bake, Measured
from ..volumes.grid import Grid, GridClass, GridKind
from ..volumes.leaf_array import LeafArray
from ..volumes.nanovdb_writer import write_nvdb
from ..volumes.openvdb_files import VdbFrame, VdbGrid, write_vdb
from .domain import Domain
from .field import Field

__all__ = ["ExportRequest", "Values", "write_frame"]

#: A field on its way to a file: all of its domain, or its active leaves.
Values: TypeAlias = npt.NDArray[Any] | LeafArray


@dataclass(frozen=True)
class ExportRequest:
    """One file to write.

    Attributes:
        path: relative to the bake's folder; ends in `.vdb` or `.nvdb`.
        fields: what to write, in this order.
        half: store floats in 16 bits.
        frame: timeline frame.
        time: seconds since the start.
        place: script line that asked for it.
    """

    path: str
    fields: tuple[Field, ...]
    half: bool
    frame: int
    time: float
    place: Place | None


def write_frame(
    bake: Bake,
    domain: Domain,
    request: ExportRequest,
    values: Sequence[Values],
    backgrounds: Sequence[tuple[float | int, ...]],
) -> int:
    """Write one frame into a bake and its manifest; returns the size in bytes.

    Args:
        values: of each field, all of its domain or its active leaves.
        backgrounds: of each, the value of what is not active.
    """
    path, announce = bake.frame_path(request.path), bake.announcing(request.path)
    wide = [_wide(v) for v in values]
    rows = list(zip(request.fields, wide, backgrounds, strict=True))
    placed = [(f, v, _one_or_all(b), domain.at(f.resolution)) for f, v, b in rows]
    kinds: dict[str, GridKind]
    if request.path.lower().endswith(".nvdb"):
        grids = [
            Grid.from_leaves(f.name, v, on.low, on.transform, b, _grid_class(f))
            if isinstance(v, LeafArray)
            else Grid.from_dense(f.name, v, on.low, on.transform, b, _grid_class(f))
            for f, v, b, on in placed
        ]
        write_nvdb(path, grids, announce=announce)
        kinds = {grid.name: grid.kind for grid in grids}
    else:
        half = request.half
        made = [VdbGrid(f.name, v, on.low, on.transform, b, _grid_class(f), half) for f, v, b, on in placed]
        kinds = write_vdb(path, VdbFrame(made, request.frame, request.time), announce)
    measured = _measured(domain, rows)
    return bake.add_frame(request.path, time=request.time, grids=kinds, measured=measured).size


def _wide(values: Values) -> Values:
    """Halves as floats."""
    if isinstance(values, LeafArray):
        return values.with_values(values.values.astype(np.float32)) if values.values.dtype == np.float16 else values
    return values.astype(np.float32) if values.dtype == np.float16 else values


def _measured(domain: Domain, rows: Sequence[tuple[Field, Values, tuple[float | int, ...]]]) -> Measured | None:
    """What a material has to know of a frame, taken while its values are in memory."""
    box = domain.world_box
    if not np.isfinite(box).all():  # voxels of 1e308 units
        return None
    scalars = [(field, values, background) for field, values, background in rows if field.format.components == 1]
    peaks = {
        field.name: values.peak(background[0]) if isinstance(values, LeafArray) else _peak(values)
        for field, values, background in scalars
    }
    return Measured(
        {name: peak for name, peak in peaks.items() if peak is not None},
        tuple(field.name for field, _, _ in scalars if _grid_class(field) == "level set"),
        box,
    )


def _peak(array: npt.NDArray[Any]) -> float | None:
    """The largest value that is finite, if there is one."""
    peak = array.max()
    if not np.isfinite(peak):  # one bad voxel does not hide how large the others are
        good = array[np.isfinite(array)]
        return float(good.max()) if good.size else None
    return float(peak)


def _one_or_all(background: tuple[float | int, ...]) -> Any:
    return background[0] if len(background) == 1 else background


def _grid_class(field: Field) -> GridClass:
    return "unknown" if field.format.components > 1 or not field.format.is_float else field.grid_class
