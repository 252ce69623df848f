# SPDX-License-Identifier: GPL-3.0-or-later
"""A field takes the values of a file's grid, at the start or in the middle of a run."""

from __future__ import annotations

from ..volumes.export_path import same_file_key
from .domain import Domain
from .environment import EngineEnvironment
from .field import Field
from .grid_source import grid_path, read_grid
from .grid_values import check_directions, check_kind, values_of
from .simulation import Simulation

__all__ = ["FieldLoads"]


class FieldLoads:
    """The loads of one engine.

    Args:
        simulation: None in a check, where files are looked at once and nothing is taken.
    """

    def __init__(self, domain: Domain, simulation: Simulation | None, environment: EngineEnvironment) -> None:
        self._domain, self._simulation, self._environment = domain, simulation, environment
        self._seen: set[tuple[str, str, str]] = set()

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
        grid, domain = read_grid(file, grid_name), self._domain.at(field.resolution)
        check_kind(grid, field, file.name)
        check_directions(grid, domain, file.name)
        if self._simulation is not None:
            self._simulation.write(field, values_of(grid, field, domain, file.name))
