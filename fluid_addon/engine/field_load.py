# SPDX-License-Identifier: GPL-3.0-or-later
"""A field takes the values of a file's grid, at the start or in the middle of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..diagnostics import FluidError
from ..volumes.export_path import same_file_key
from ..volumes.grid import Grid
from .activation import checked_rule
from .active_leaves import ActiveLeaves
from .domain import Domain
from .environment import EngineEnvironment
from .field import Field
from .grid_leaves import leaves_of_grid
from .grid_source import grid_path, read_grid, told_reading
from .grid_values import check_directions, check_kind, leaf_values_of, outside_of, values_of
from .places import leaf_edge
from .simulation import Simulation

__all__ = ["FieldLoads"]

#: A scalar that a file fills is followed from so much on, unless the script says otherwise.
ABOVE = 1e-4


class FieldLoads:
    """The loads of one engine.

    Args:
        simulation: None in a check, where files are looked at once and nothing is taken.
    """

    def __init__(self, domain: Domain, simulation: Simulation | None, environment: EngineEnvironment) -> None:
        self._domain, self._simulation, self._environment = domain, simulation, environment
        self._seen: set[tuple[str, str, str]] = set()

    def foreign_file(self, path: str) -> Path | None:
        """The file that a load of this path would read; None for an export of this run, and where there is none."""
        if same_file_key(path) in self._environment.exported:
            return None
        try:
            file = grid_path(self._environment.folder, path)
        except FluidError:  # the load says so
            return None
        return file if file.is_file() else None

    def load(self, field: Field, path: str, grid_name: str) -> None:
        """Let a field take a grid's values. Work that is under way goes on while the file is read.

        Args:
            path: an export of this run, which is waited for; else relative to the script's folder.

        Raises:
            FluidError: `grid-file-missing`, `grid-file-corrupt`, `grid-file-kind`, `grid-mismatch`, `not-a-number`,
                and those of the export.
        """
        exported = self._environment.exported.get(same_file_key(path))
        if exported is not None:
            file = exported()
            if file is None:
                return
        else:
            file = grid_path(self._environment.folder, path)
        if self._simulation is None:
            key = (field.name, str(file), grid_name)
            if key in self._seen:
                return
            self._seen.add(key)
        # The first rank alone has what the run exports.
        with told_reading(self._environment, file):
            grid = self._environment.carrier.broadcast(lambda: read_grid(file, grid_name))
        domain = self._domain.at(field.resolution)
        check_kind(grid, field, file.name)
        check_directions(grid, domain, file.name)
        if self._simulation is None:
            return
        if self._simulation.leaves is None:
            self._simulation.write(field, values_of(grid, field, domain, file.name))
        else:
            self._load_leaves(self._simulation, self._simulation.leaves, field, grid, file.name)

    def start(self, field: Field, grid: Grid, file: str) -> None:
        """Let a field that was just declared start from a grid that fits. Raises FluidError `not-a-number`.

        Args:
            file: its name, for messages.
        """
        if self._simulation is None:
            self._leaf_values(field, grid, file)
        elif self._simulation.leaves is None:
            values = values_of(grid, field, self._domain.at(field.resolution), file)
            self._simulation.start_from(field, values)
        else:
            self._load_leaves(self._simulation, self._simulation.leaves, field, grid, file)

    def _leaf_values(self, field: Field, grid: Grid, file: str) -> tuple[npt.NDArray[np.int32], npt.NDArray[Any]]:
        """The coordinates of the leaves that a grid reaches, and the field's values in them."""
        domain = self._domain.at(field.resolution)
        leaves = leaves_of_grid(grid, domain, leaf_edge(field.resolution), on_faces=field.staggered)
        return leaves, leaf_values_of(grid, field, domain, file, leaves)

    def _load_leaves(self, simulation: Simulation, active: ActiveLeaves, field: Field, grid: Grid, file: str) -> None:
        """The leaves that the grid reaches wake. A fog is followed from then on; what else a field may hold, such as
        distances or a flow, has no end that could be followed, and its leaves stay awake."""
        leaves, values = self._leaf_values(field, grid, file)
        if grid.grid_class != "level set" and field.format.components == 1 and field.format.is_float:
            active.defaults.setdefault(field.name, checked_rule(field.name, ABOVE))
        else:
            active.keep(field.name, active.box.index(leaves))
        active.start_from(active.box.index(leaves))
        simulation.write_leaves(field, leaves, values, outside_of(grid, field))
