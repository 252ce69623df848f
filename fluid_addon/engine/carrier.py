# SPDX-License-Identifier: GPL-3.0-or-later
"""How the parts of a simulation that lie in several processes hear of each other: by memory in one, by MPI in several.

Every process (rank) holds some neighbouring parts, in the order of the ranks, and makes the same calls in the same
order; what all of them have to know travels by a carrier, so that all decide the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

__all__ = ["Carrier", "Load", "LocalCarrier"]

T = TypeVar("T")


@dataclass(frozen=True)
class Load:
    """Memory that moves from one rank to another, or stays on one.

    Attributes:
        sender, receiver: ranks.
        source: what is moved, in one piece; None on ranks other than the sender.
        target: where it goes, of the same size; None on ranks other than the receiver.
    """

    sender: int
    receiver: int
    source: npt.NDArray[Any] | None
    target: npt.NDArray[Any] | None


class Carrier(Protocol):
    """What ranks say to each other.

    `move`, `allgather` and `broadcast` raise FluidError `cancelled`, and what ended another rank.
    """

    @property
    def rank(self) -> int:
        """The number of this process, from 0."""
        ...

    @property
    def ranks(self) -> int:
        """Processes of the run."""
        ...

    def move(self, loads: Sequence[Load]) -> None:
        """Move memory; returns once all targets here are filled. Every rank names its loads in the same order."""
        ...

    def allgather(self, value: T) -> list[T]:
        """What each rank gives, in their order, on every rank."""
        ...

    def broadcast(self, ask: Callable[[], T]) -> T:
        """What `ask` returns or raises on the first rank, on every rank; it is called there alone."""
        ...

    def machine(self) -> str:
        """The name of the machine that this rank runs on."""
        ...


class LocalCarrier:
    """The only process there is."""

    rank = 0
    ranks = 1

    def move(self, loads: Sequence[Load]) -> None:
        for load in loads:
            copy_here(load)

    def allgather(self, value: T) -> list[T]:
        return [value]

    def broadcast(self, ask: Callable[[], T]) -> T:
        return ask()

    def machine(self) -> str:
        return ""


def copy_here(load: Load) -> None:
    """Move a load whose two ends lie in this process."""
    assert load.source is not None and load.target is not None, "sender and receiver are this rank"
    np.copyto(load.target, load.source)
