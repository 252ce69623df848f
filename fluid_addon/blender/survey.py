# SPDX-License-Identifier: GPL-3.0-or-later
"""What the frames of a bake hold: how large the values are, and where in the world something can be seen."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..volumes.grid import LEAF, Grid
from ..volumes.manifest import Measured
from ..volumes.openvdb_files import read_vdb

__all__ = ["Box", "Survey", "survey_frame", "survey_grids", "survey_of_records"]

#: A voxel can be seen where it holds at least this share of the grid's largest value.
VISIBLE_SHARE = 0.02


@dataclass(frozen=True)
class Box:
    """A box along the world axes, in scene units; `low` and `high` have the shape (3,)."""

    low: NDArray[np.float64]
    high: NDArray[np.float64]

    @property
    def corners(self) -> NDArray[np.float64]:
        """(8, 3)."""
        return np.array(np.meshgrid(*zip(self.low, self.high, strict=True))).reshape(3, 8).T

    @property
    def centre(self) -> NDArray[np.float64]:
        return (self.low + self.high) / 2.0

    @property
    def longest_side(self) -> float:
        return float((self.high - self.low).max())

    def united(self, other: Box | None) -> Box:
        if other is None:
            return self
        return Box(np.minimum(self.low, other.low), np.maximum(self.high, other.high))


@dataclass
class Survey:
    """`peaks`: the largest value of each grid. `level_sets`: the grids that store signed distances. `visible`: where
    something stands out; None where nothing does."""

    peaks: dict[str, float] = field(default_factory=dict)
    level_sets: set[str] = field(default_factory=set)
    visible: Box | None = None

    @property
    def extent(self) -> float | None:
        """The longest side of what is visible, in scene units."""
        return self.visible.longest_side if self.visible else None


def survey_frame(file: Path, shapes: Sequence[str]) -> Survey:
    """Measure the scalar grids of a VDB file that `shapes` names.

    Raises grid-file-missing, grid-file-corrupt, package-missing.
    """
    return survey_grids(read_vdb(file, shapes) if shapes else [])


def survey_grids(grids: Iterable[Grid]) -> Survey:
    """Measure scalar grids."""
    survey = Survey()
    for grid in grids:
        if grid.grid_class == "level set":
            survey.level_sets.add(grid.name)
        values = _active_values(grid)
        if values.size == 0:
            continue
        survey.peaks[grid.name] = peak = float(values.max())
        if box := _box_of_voxels(grid, peak):
            survey.visible = box.united(survey.visible)
    return survey


def survey_of_records(records: Iterable[Measured]) -> Survey:
    """What the run itself has measured of some frames. What is visible is the whole domain then: a frame at the start
    of a run says little about how far its fluid will go."""
    survey = Survey()
    for record in records:
        survey.level_sets.update(record.level_sets)
        for name, peak in record.peaks.items():
            if peak > 0.0:  # a source that has not begun says nothing about how thick the smoke will be
                survey.peaks[name] = max(peak, survey.peaks.get(name, peak))
        low, high = record.box
        survey.visible = Box(np.array(low), np.array(high)).united(survey.visible)
    return survey


def _active_values(grid: Grid) -> NDArray[Any]:
    return np.concatenate([grid.leaf_values[grid.leaf_masks], grid.tiles.values[grid.tiles.active]])


def _box_of_voxels(grid: Grid, peak: float) -> Box | None:
    """The world box of the voxels that stand out; of a level set, whose inside is negative, of all active ones."""
    level_set = grid.grid_class == "level set"
    if not level_set and peak <= 0.0:
        return None
    least = -np.inf if level_set else VISIBLE_SHARE * peak
    seen = grid.leaf_masks & (grid.leaf_values >= least)
    tiles = grid.tiles.active & (grid.tiles.values >= least)
    lows, highs = [], []
    for axis in range(3):
        in_leaves = seen.any(axis=tuple({1, 2, 3} - {axis + 1}))
        along = (grid.leaf_origins[:, axis, None] + np.arange(LEAF))[in_leaves]
        tile_low = grid.tiles.origins[tiles, axis]
        along = np.concatenate([along, tile_low, tile_low + grid.tiles.edges[tiles] - 1])
        if along.size == 0:
            return None
        lows.append(along.min() - 0.5)
        highs.append(along.max() + 0.5)
    corners = Box(np.array(lows), np.array(highs)).corners
    world = corners @ grid.transform[:3, :3].T + grid.transform[:3, 3]
    return Box(world.min(axis=0), world.max(axis=0))
