# SPDX-License-Identifier: GPL-3.0-or-later
"""What an artist declares as a solver: the unknown, its right side, its sides, and when it is good enough."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Literal

from ..diagnostics import did_you_mean, fail
from .address import Boundary
from .domain import Domain
from .field import Field, find_field
from .formats import Format

__all__ = ["METHODS", "Side", "Solved", "Solver", "SolverDefinition", "checked_solver"]

METHODS = ("multigrid", "conjugate", "sweeps")
MOST_CYCLES = 10_000


class Side(IntEnum):
    """What an end of the domain is to a solver."""

    CLOSED = 0  # no flow through the domain's outermost face
    OPEN = 1  # the outermost layer of voxels is open air, where the unknown is 0
    PERIODIC = 2  # the other end follows


@dataclass(frozen=True)
class SolverDefinition:
    """A solver as declared: find x with  sum over faces of w (x_neighbour - x) - shift x = b.

    Attributes:
        unknown: name of the field x, R32F; what it holds is the start.
        rhs: name of the field b, R32F.
        faces: name of a R32UI field packed by `PackFaces`: w of the low faces, and open air; None: w = 1.
        sides: "open" or "closed" for all, for each axis, or for x low, x high, y low, … z high.
        shift: at least 0, in units of one over a voxel's area.
        shift_per_dt: seconds, at least 0: `shift_per_dt / dt` is added to the shift in a step of dt seconds.
        tolerance: of |r| / |b|, above 0.
        most: cycles at most (sweeps for the method "sweeps").
        method: one of `METHODS`.
        enabled: whether `step` runs it; `run_stencil` runs it either way.
    """

    name: str
    unknown: str
    rhs: str
    faces: str | None = None
    sides: str | Sequence[str] = "closed"
    shift: float = 0.0
    shift_per_dt: float = 0.0
    tolerance: float = 1e-3
    most: int = 30
    method: str = "multigrid"
    enabled: bool = True


@dataclass(frozen=True)
class Solved:
    """How a solve ended: |r| / |b|, and the cycles that it took."""

    residual: float = 0.0
    iterations: int = 0


@dataclass
class Solver:
    """A solver that was checked.

    Attributes:
        sides: of x low, x high, y low, y high, z low, z high.
    """

    definition: SolverDefinition
    enabled: bool
    unknown: Field
    rhs: Field
    faces: Field | None
    sides: tuple[Side, ...]

    @property
    def fields(self) -> list[Field]:
        """The fields that it works on."""
        return [field for field in (self.unknown, self.rhs, self.faces) if field is not None]


def checked_solver(definition: SolverDefinition, fields: Mapping[str, Field], domain: Domain) -> Solver:
    """Hold a definition against the fields and the domain.

    Raises:
        FluidError: `unknown-field`, `duplicate-name` for a field in two places, `bad-argument`, `not-finite`,
            `other-resolution`.
    """
    name = definition.name
    unknown, rhs = (_field(fields, name, part, getattr(definition, part), Format.R32F) for part in ("unknown", "rhs"))
    faces = None
    if definition.faces is not None:
        faces = _field(fields, name, "faces", definition.faces, Format.R32UI)
    named = [field.name for field in (unknown, rhs, faces) if field is not None]
    if len(set(named)) != len(named):
        twice = next(field for field in named if named.count(field) > 1)
        raise fail("duplicate-name", f'"{name}" uses the field "{twice}" twice.', "Give it a field for each part.")
    for field in (rhs, faces):
        if field is not None and field.resolution != unknown.resolution:
            message = f'"{unknown.name}" and "{field.name}" of "{name}" have different resolutions.'
            raise fail("other-resolution", message, "Give the fields of a solver the same resolution.")
    for option in ("shift", "shift_per_dt", "tolerance"):
        value = getattr(definition, option)
        if not math.isfinite(value):
            raise fail("not-finite", f'"{option}" of "{name}" is {value:g}.')
        if value < 0 and option != "tolerance":
            raise fail("bad-argument", f'"{option}" of "{name}" is {value:g}; it is at least 0.')
    if definition.tolerance <= 0:
        hint = "It is the part of the right side that may be left over, for instance 1e-3."
        raise fail("bad-argument", f'"tolerance" of "{name}" is {definition.tolerance:g}; it is above 0.', hint)
    if not 1 <= definition.most <= MOST_CYCLES:
        raise fail("bad-argument", f'"most" of "{name}" is {definition.most}; it lies between 1 and {MOST_CYCLES}.')
    if definition.method not in METHODS:
        raise fail(
            "bad-argument", f'There is no method "{definition.method}".', did_you_mean(definition.method, METHODS)
        )
    sides = _sides(definition, domain.boundary, domain.at(unknown.resolution).size)
    return Solver(definition, definition.enabled, unknown, rhs, faces, sides)


def _field(
    fields: Mapping[str, Field], solver: str, part: Literal["unknown", "rhs", "faces"] | str, name: str, kind: Format
) -> Field:
    field = find_field(dict(fields), name)
    if field.format is not kind:
        message = (
            f'"{part}" of "{solver}" is "{name}" of Format.{field.format.name}; it has to be of Format.{kind.name}.'
        )
        raise fail("bad-argument", message, f'Declare it with sim:add_field("{name}", Format.{kind.name}, 0).')
    return field


def _sides(definition: SolverDefinition, boundary: Sequence[Boundary], size: Sequence[int]) -> tuple[Side, ...]:
    given = [definition.sides] if isinstance(definition.sides, str) else list(definition.sides)
    if len(given) not in (1, 3, 6):
        message = f'"sides" of "{definition.name}" takes one side, three or six, not {len(given)}.'
        raise fail("bad-argument", message, 'Write sides = "open", {x, y, z} or {x low, x high, y low, … z high}.')
    known = {"open": Side.OPEN, "closed": Side.CLOSED}
    for side in given:
        if side not in known:
            hint = did_you_mean(side, known)
            if side == "periodic":
                hint = 'An axis is periodic where the boundary of FluidEngine.new is "periodic".'
            raise fail("bad-argument", f'There is no side "{side}".', hint)
    each = given * 6 if len(given) == 1 else given if len(given) == 6 else [side for side in given for _ in range(2)]
    sides = []
    for index, side in enumerate(each[:6]):
        axis = index // 2
        if boundary[axis] is Boundary.PERIODIC:
            sides.append(Side.PERIODIC)
        elif size[axis] == 1:
            sides.append(Side.CLOSED)  # an axis of one voxel is no axis: the problem has two dimensions
        else:
            sides.append(known[side])
    return tuple(sides)
