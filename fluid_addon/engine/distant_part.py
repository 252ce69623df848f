# SPDX-License-Identifier: GPL-3.0-or-later
"""A part of the domain that another process holds: all that is known of it here are its planes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy.typing as npt

from .carrier import Carrier, Load
from .domain import Domain
from .field import Field
from .part import Part
from .slab import Slab

__all__ = ["AnyPart", "DistantPart", "bring_to_first_rank", "local_parts"]


@dataclass
class DistantPart:
    """The twin of a `Part` of another rank.

    Attributes:
        rank: that holds it.
    """

    domain: Domain
    slab: Slab
    rank: int

    def widen(self, halo: int, _fields: dict[str, Field]) -> None:
        """Know that it holds more planes."""
        self.slab = self.slab.widened(halo)

    def close(self) -> None:
        """Its own process releases what it holds."""


AnyPart: TypeAlias = Part | DistantPart


def local_parts(parts: Sequence[AnyPart]) -> list[Part]:
    """Those that this process holds."""
    return [part for part in parts if isinstance(part, Part)]


def bring_to_first_rank(carrier: Carrier, parts: Sequence[AnyPart], field: Field, values: npt.NDArray[Any]) -> None:
    """Complete an array over the whole domain there, of which every rank has filled the planes of its own parts."""
    loads = []
    for part in parts:
        begin, end = part.slab.own(field.resolution)
        sender = carrier.rank if isinstance(part, Part) else part.rank
        if sender and carrier.rank in (0, sender):
            planes = values[begin:end]
            loads.append(Load(sender, 0, *((planes, None) if carrier.rank else (None, planes))))
    carrier.move(loads)
