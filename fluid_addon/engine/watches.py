# SPDX-License-Identifier: GPL-3.0-or-later
"""What a status word is about, and what an artist reads where it was filled."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

from ..diagnostics import FluidError, fail
from .address import DenseAddress
from .body import place_in_code
from .declarations import Stencil
from .field import Field
from .glsl_loops import MOST_TURNS
from .stencil import BACK_BUFFER_SUFFIX, StencilDefinition

__all__ = ["ComputedReads", "Moment", "NanWatch", "StopWatch", "TurnsWatch", "Watch", "watches"]


@dataclass(frozen=True)
class Moment:
    """When something was computed, and for how long (`dt`, seconds). `step` counts from 1; None is a run by hand."""

    frame: int
    step: int | None = None
    dt: float = 0.0

    def __str__(self) -> str:
        if self.step is None:
            return f"when run by hand after frame {self.frame}"
        return f"in frame {self.frame} (step {self.step})"


@dataclass(frozen=True)
class Watch:
    """A word of a stencil.

    Attributes:
        stencil: what was noticed.
        address: of the voxels that it runs over.
    """

    stencil: StencilDefinition
    address: DenseAddress

    def voxel(self, index: int) -> str:
        x, y, z = self.address.coord(index)
        return f"{{{x}, {y}, {z}}}"


@dataclass(frozen=True)
class StopWatch(Watch, ABC):
    """A word that ends the run."""

    @abstractmethod
    def error(self, index: int, moment: Moment) -> FluidError:
        """What the artist reads when it was filled."""

    def _fail(self, code: str, message: str, hint: str, start: int, width: int) -> FluidError:
        """At a place of the stencil's code."""
        text = self.stencil.code
        column = start - text.rfind("\n", 0, start)
        return fail(code, message, hint, place_in_code(self.stencil, text.count("\n", 0, start), column, width))


@dataclass(frozen=True)
class NanWatch(StopWatch):
    """NaN among the values that a stencil stores.

    Attributes:
        output: the name that the stencil writes, `X` or `X_new`.
        field: the name of the field behind it.
    """

    output: str = ""
    field: str = ""

    def error(self, index: int, moment: Moment) -> FluidError:
        voxel = self.voxel(index)
        message = f'"{self.stencil.name}" wrote NaN into "{self.field}" {moment}, first at voxel {voxel}.'
        hint = "NaN comes from 0/0, the root or logarithm of a negative number, or values that grew without bounds."
        found = re.search(rf"WriteField\s*\(\s*[\"']?{re.escape(self.output)}\b", self.stencil.code)
        if found is None:
            return fail("not-a-number", message, hint, place_in_code(self.stencil, 0))
        return self._fail("not-a-number", message, hint, found.start(), len("WriteField"))


@dataclass(frozen=True)
class TurnsWatch(StopWatch):
    """A loop that had no turns left.

    Attributes:
        start: where it begins in the code.
        word: that it begins with.
    """

    start: int = 0
    word: str = "for"

    def error(self, index: int, moment: Moment) -> FluidError:
        message = (
            f'The loops of "{self.stencil.name}" took more than {MOST_TURNS:,} turns {moment}, '
            f"first at voxel {self.voxel(index)}."
        )
        hint = f"This one was ended: a voxel has {MOST_TURNS:,} turns for all of its loops. Let it end earlier."
        return self._fail("glsl-turns", message, hint, self.start, len(self.word))


@dataclass(frozen=True)
class ComputedReads(Watch):
    """Reads at a number that no voxel has, or at a position that is NaN or infinite."""

    def note(self, index: int, moment: Moment) -> str:
        """What is worth knowing; the run goes on, as such a read gives the background or the nearest voxel."""
        return (
            f'"{self.stencil.name}" read a field at a place that is none {moment}, first at voxel {self.voxel(index)}: '
            "a number beyond the last voxel, or a position that is NaN or infinite."
        )


def watches(stencil: Stencil, fields: Mapping[str, Field], address: DenseAddress) -> list[Watch]:
    """The words of a stencil, in the order in which its kernel numbers them."""
    definition = stencil.definition
    found: list[Watch] = [TurnsWatch(definition, address, start, word) for start, word in stencil.loops]
    for output in definition.outputs:
        name = output.removesuffix(BACK_BUFFER_SUFFIX)
        if fields[name].format.is_float:
            found.append(NanWatch(definition, address, output, name))
    return [*found, ComputedReads(definition, address)] if stencil.far else found
