# SPDX-License-Identifier: GPL-3.0-or-later
"""A field: a value per voxel under the artist's name, with a back buffer once a stencil writes `X_new`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from ..diagnostics import did_you_mean, fail
from ..gpu.memory import Buffer
from ..volumes.grid import GridClass
from .formats import Format
from .stencil import BACK_BUFFER_SUFFIX

__all__ = [
    "DOMAIN",
    "RESOLUTIONS",
    "Field",
    "Value",
    "check_name",
    "check_staggered",
    "check_value",
    "parse_format",
    "parse_resolution",
]

Value = float | int | tuple[float, ...]

DOMAIN = Fraction(1)
RESOLUTIONS = (Fraction(1, 4), Fraction(1, 2), DOMAIN, Fraction(2), Fraction(3), Fraction(4))

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,62}\Z")
_GLSL_WORDS = frozenset(["dt", "time", "frame", "voxel_size", "domain_size", "params", "idx", "coord"])


@dataclass
class Field:
    """A declared field.

    Attributes:
        background: value at the start, of reads outside an open domain, and of voxels that are not active.
        has_back: a stencil writes `X_new`.
        buffers: the field's one or two buffers, made when the simulation is; `front` of them is the field.
        grid_class: OpenVDB's word for what the values are.
        staggered: component i lies in the middle of the voxel's low face along axis i, at coord - 0.5 e_i.
        resolution: voxels along each axis for one of the domain, one of `RESOLUTIONS`.
    """

    name: str
    format: Format
    background: tuple[float | int, ...]
    has_back: bool = False
    buffers: list[Buffer] = field(default_factory=list)
    front: int = 0
    grid_class: GridClass = "fog volume"
    staggered: bool = False
    resolution: Fraction = DOMAIN

    def buffer(self, role: str) -> Buffer:
        """The buffer that `name` or `name_new` stands for at this moment."""
        return self.buffers[(self.front if role == self.name else 1 - self.front) % len(self.buffers)]

    def swap(self) -> None:
        """`X_new` becomes `X`: by name, no voxel moves."""
        self.front = 1 - self.front

    def pattern(self, value: tuple[float | int, ...]) -> bytes:
        """One voxel of `value` as it lies in memory."""
        with np.errstate(over="ignore"):
            return np.array(value).astype(self.format.dtype).tobytes()

    def glsl(self, value: tuple[float | int, ...]) -> str:
        """`value` as a GLSL constant of the field's type."""
        if not self.format.is_float:
            return f"{self.format.glsl}({int(value[0])}{'u' if self.format is Format.R32UI else ''})"
        return f"{self.format.glsl}({', '.join(self.glsl_components(value))})"

    def glsl_components(self, value: tuple[float | int, ...]) -> list[str]:
        """The components of `value`, floats, as GLSL constants of what a voxel stores."""
        stored: npt.NDArray[np.float32] = np.array(value).astype(self.format.dtype).astype(np.float32)
        return [repr(float(v)) for v in stored]


def check_name(name: str, what: str) -> None:
    """A name that GLSL, VDB files and messages can all carry.

    Raises:
        FluidError: `bad-name`.
    """
    if not _NAME.match(name) or "__" in name or name.startswith(("fs_", "gl_")):
        hint = "Use letters, digits and single underscores, a letter first, at most 63."
        raise fail("bad-name", f'"{name}" cannot be the name of a {what}.', hint)
    if what == "field" and (name in _GLSL_WORDS or name.endswith(BACK_BUFFER_SUFFIX)):
        hint = "A stencil sees that name already as something else; choose another."
        if name.endswith(BACK_BUFFER_SUFFIX):
            base = name.removesuffix(BACK_BUFFER_SUFFIX)
            hint = f'"{name}" is the back buffer that "{base}" gets by itself once a stencil writes it.'
        raise fail("bad-name", f'"{name}" cannot be the name of a field.', hint)


def check_staggered(name: str, format_: Format) -> None:
    """Three components have three faces. Raises FluidError `bad-argument` for a format without them."""
    if not (format_.is_float and format_.components == 3):
        message = f'"{name}" is {format_.name}, and only a vector of three lies on the faces of voxels.'
        raise fail("bad-argument", message, "Use Format.R32G32B32F or Format.R16G16B16F, or leave staggered out.")


def parse_resolution(given: float) -> Fraction:
    """One of `RESOLUTIONS`. Raises FluidError `bad-argument` for any other."""
    if given not in RESOLUTIONS:
        known = ", ".join(map(str, RESOLUTIONS[:-1]))
        raise fail("bad-argument", f'"resolution" is {given:g}; it is {known} or {RESOLUTIONS[-1]}.')
    return Fraction(given)


def parse_format(given: int) -> Format:
    """A format by its Vulkan number.

    Raises:
        FluidError: `unknown-format`.
    """
    try:
        return Format(given)
    except ValueError:
        known = ", ".join(f"Format.{f.name}" for f in Format)
        raise fail("unknown-format", f"{given} is not the number of a field's format.", f"Known: {known}.") from None


def check_value(name: str, format_: Format, value: Value | Sequence[float]) -> tuple[float | int, ...]:
    """A value that a voxel of the format can hold, one number per component; a single number serves all components.

    Raises:
        FluidError: `bad-argument` for a wrong number of components or a fraction or range that an integer cannot hold,
            `not-finite`.
    """
    parts: tuple[float | int, ...] = (value,) if isinstance(value, (int, float)) else tuple(value)
    if len(parts) == 1 and format_.components > 1:
        parts = parts * format_.components
    if len(parts) != format_.components:
        expected = f"{format_.components} numbers" if format_.components > 1 else "one number"
        raise fail("bad-argument", f'"{name}" is {format_.name} and takes {expected}, got {len(parts)}.')
    if not all(np.isfinite(p) for p in parts):
        raise fail("not-finite", f'The value of "{name}" is not a finite number.')
    if not format_.is_float:
        limits = np.iinfo(format_.dtype.name)
        for part in parts:
            if int(part) != part or not limits.min <= part <= limits.max:
                raise fail("bad-argument", f'"{name}" is {format_.name} and cannot hold {part:g}.')
        return tuple(int(p) for p in parts)
    largest = float(np.finfo(format_.dtype.name).max)
    for part in parts:
        if abs(part) > largest:
            raise fail("bad-argument", f'"{name}" is {format_.name} and cannot hold {part:g}.')
    return tuple(float(p) for p in parts)


def find_field(fields: dict[str, Field], name: str) -> Field:
    """The field of that name.

    Raises:
        FluidError: `unknown-field`.
    """
    if name not in fields:
        hint = did_you_mean(name, fields) or "Declare it with add_field first."
        raise fail("unknown-field", f'There is no field "{name}".', hint)
    return fields[name]
