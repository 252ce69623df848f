# SPDX-License-Identifier: GPL-3.0-or-later
"""What a script asks of an engine, and what it sets in the fields."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from ..diagnostics import fail
from .declarations import Declarations
from .domain import Domain
from .field import Field, Value, check_value, find_field
from .field_load import FieldLoads
from .journal import EngineJournal, file_digest
from .reduction import OPERATIONS, check_operation
from .simulation import Simulation
from .stepping import Stepping

__all__ = ["EngineValues"]


class EngineValues:
    """The values of an engine's fields. In a check nothing is computed, and they are the backgrounds.

    Attributes:
        domain: the box in its own voxels.
        guessed: in a check, values were asked for that only a run knows.
    """

    domain: Domain
    guessed: bool
    _simulation: Simulation | None
    _declarations: Declarations
    _stepping: Stepping
    _loads: FieldLoads
    _journal: EngineJournal

    @property
    def fields(self) -> dict[str, Field]:
        """The declared fields by name."""
        return self._declarations.fields

    @property
    def frame(self) -> int:
        """Frames computed so far."""
        return self._stepping.frame

    @property
    def time(self) -> float:
        """Seconds simulated so far."""
        return self._stepping.time

    @property
    def domain_size(self) -> tuple[int, int, int]:
        """Voxels along x, y, z."""
        return self.domain.size

    @property
    def voxel_size(self) -> float:
        """Edge of a voxel in world units."""
        return self.domain.voxel_size

    @property
    def origin(self) -> tuple[float, float, float]:
        """World position of the low corner of the domain."""
        return self.domain.origin

    @property
    def boundary(self) -> tuple[str, str, str]:
        """The rule of each axis: "open", "clamp" or "periodic"."""
        x, y, z = (rule.name.lower() for rule in self.domain.boundary)
        return x, y, z

    def reduce(self, field: str, op: str) -> float | int | tuple[float | int, ...]:
        """One number for a whole field: "sum", "min", "max" (by component) or "norm" (over all components).

        Raises:
            FluidError: `unknown-field`, `bad-argument`.
        """
        found = find_field(self.fields, field)
        check_operation(op)
        if self._simulation is not None:
            values = tuple(self._journal.ask(f"reduce {field} {op}", partial(self._simulation.reduce, found, op)))
        else:  # in a check a field is what it was at its start
            self.guessed = True
            scale = self.domain.at(found.resolution).address.voxels if op == "sum" else 1
            values = tuple(v * scale for v in found.background)
            values = (math.hypot(*values),) if OPERATIONS[op].root else values
        return values[0] if len(values) == 1 else values

    def read(self, field: str, coord: Sequence[int]) -> float | int | tuple[float | int, ...]:
        """The value of one voxel.

        Raises:
            FluidError: `unknown-field`, `bad-argument` for a coordinate outside the field.
        """
        found = find_field(self.fields, field)
        extent = self.domain.at(found.resolution).size
        if len(coord) != 3 or any(int(c) != c or not 0 <= c < n for c, n in zip(coord, extent, strict=True)):
            given = ", ".join(f"{c:g}" for c in coord)
            size = ", ".join(str(n) for n in extent)
            what = "a domain" if found.resolution == 1 else f'"{field}"'
            raise fail(
                "bad-argument", f"There is no voxel {{{given}}} in {what} of {{{size}}}.", "Voxels count from 0."
            )
        x, y, z = (int(c) for c in coord)
        values = found.background
        if self._simulation is not None:
            read = partial(self._simulation.read, found, (x, y, z))
            values = tuple(self._journal.ask(f"read {field} {x} {y} {z}", read))
        self.guessed = self.guessed or self._simulation is None
        return values[0] if len(values) == 1 else values

    def fill(self, field: str, value: Value) -> None:
        """Set every voxel of a field. Raises FluidError `unknown-field`, `bad-argument`, `not-finite`."""
        found = find_field(self.fields, field)
        parts = check_value(field, found.format, value)
        if self._simulation is not None:
            self._journal.ask(f"fill {field} {parts}", partial(self._fill, self._simulation, found, parts))

    def _fill(self, simulation: Simulation, field: Field, value: tuple[float | int, ...]) -> None:
        self._stepping.announce_plan()
        simulation.fill(field, value)

    def load(self, field: str, path: str, grid: str | None = None) -> None:
        """Let a field take the values of a grid (by default of its own name) in a .vdb or .nvdb file, now.

        Args:
            path: relative to the script's folder, or an export of this run, which is waited for.

        Behind the run's last frame nothing is computed, and nothing is loaded.

        Raises:
            FluidError: `unknown-field`, `grid-file-…`, `grid-mismatch`, `not-a-number`, and those of the export.
        """
        found = find_field(self.fields, field)
        if self._stepping.is_over:
            return  # what the file would hold was not computed either
        load = partial(self._loads.load, found, path, grid or field)
        if self._simulation is None:
            load()
        else:
            self._stepping.announce_plan()
            if (file := self._loads.foreign_file(path)) is not None:
                self._journal.same(f"file {path}", file_digest(file), f'the file "{path}" was changed')
            self._journal.ask(f"load {field} {path} {grid or field}", load)

    def array(self, field: str) -> npt.NDArray[Any]:
        """A copy of a field as numpy sees it, shape (nx, ny, nz) or (nx, ny, nz, components); background in a check."""
        found = find_field(self.fields, field)
        if self._simulation is not None:
            return self._simulation.array(found)
        shape = self.domain.at(found.resolution).address.shape(found.format.components)
        return np.broadcast_to(np.array(found.background, found.format.dtype), shape).copy()
