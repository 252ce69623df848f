# SPDX-License-Identifier: GPL-3.0-or-later
"""How a domain is cut along x among devices: the planes that each computes, and those that it holds for reading."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from ..diagnostics import fail
from .address import Boundary
from .domain import Domain
from .leaves import LEAF

__all__ = ["HALO_STEP", "Slab", "check_count", "cut"]

#: Halos grow by whole numbers of so many voxels: a plane of a field with a quarter of the resolution.
HALO_STEP = 4


@dataclass(frozen=True)
class Slab:
    """Planes of a domain along x, in voxels of the domain.

    Attributes:
        begin, end: the planes that a device computes; both lie between leaves, or at the end of the domain.
        halo: planes that it holds beyond either end; on a periodic axis they wrap around.
        planes: of the whole domain.
    """

    begin: int
    end: int
    halo: int
    planes: int
    periodic: bool

    @staticmethod
    def whole(domain: Domain) -> Slab:
        """All of a domain on one device."""
        return Slab(0, domain.size[0], 0, domain.size[0], domain.boundary[0] is Boundary.PERIODIC)

    def widened(self, halo: int) -> Slab:
        return replace(self, halo=halo)

    def _plane(self, x: int, resolution: Fraction) -> int:
        """A plane of the domain as one of another resolution."""
        return math.ceil(x * resolution)

    def own(self, resolution: Fraction) -> tuple[int, int]:
        """The planes that are computed, first and behind the last, of a resolution."""
        return self._plane(self.begin, resolution), self._plane(self.end, resolution)

    def held(self, resolution: Fraction = Fraction(1)) -> tuple[int, int]:
        """The first plane that is held, negative where it wraps around, and how many are, of a resolution."""
        first, last = self.begin - self.halo, self.end + self.halo
        if not self.periodic:
            first, last = max(0, first), min(self.planes, last)
        elif last - first >= self.planes:
            first = max(first, self.end - self.planes)  # one turn, with what is computed in one piece
            last = first + self.planes
        low = self._plane(first, resolution)
        return low, self._plane(last, resolution) - low

    @property
    def halos(self) -> tuple[int, int]:
        """The planes that are held below and above what is computed."""
        first, count = self.held()
        return self.begin - first, first + count - self.end

    @property
    def holds_all(self) -> bool:
        return self.held()[1] == self.planes

    def leaf_planes(self) -> tuple[int, int]:
        """The leaf planes that are computed, first and behind the last."""
        return self.begin // LEAF, -(-self.end // LEAF)

    def computes(self, leaf_planes: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.bool_]:
        """Which leaves are computed, by their planes."""
        first, stop = self.leaf_planes()
        inside: npt.NDArray[np.bool_] = (leaf_planes >= first) & (leaf_planes < stop)
        return inside

    def holds(self, leaf_planes: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.bool_]:
        """Which leaves are held, computed here or not, by their planes."""
        held = np.zeros(-(-self.planes // LEAF), np.bool_)
        low, count = self.held()
        held[np.arange(low, low + count) % self.planes // LEAF] = True
        found: npt.NDArray[np.bool_] = held[leaf_planes]
        return found


def _leaf_planes(domain: Domain) -> int:
    return -(-domain.size[0] // LEAF)


def check_count(domain: Domain, devices: int) -> None:
    """Raises FluidError `too-many-devices` when there are fewer leaf planes than devices."""
    planes = _leaf_planes(domain)
    if devices > planes:
        raise fail(
            "too-many-devices",
            f'"gpu_count" is {devices}, and a domain of {domain.size[0]} voxels along x has {planes} '
            f"slab{'s' * (planes != 1)} of {LEAF} planes to share.",
            f"Use at most {planes}, or a domain that is longer along x.",
        )


def cut(domain: Domain, weights: Sequence[float], halo: int, load: Sequence[float] | None = None) -> list[Slab]:
    """A slab for each device.

    Args:
        weights: speed of each device, above 0.
        halo: of each, a multiple of `HALO_STEP`.
        load: work in each leaf plane; None: the same in all.

    Raises:
        FluidError: `too-many-devices`.
    """
    count = _leaf_planes(domain)
    check_count(domain, len(weights))
    work = np.ones(count) if load is None else np.asarray(load, np.float64) + 1e-9
    done = np.concatenate([[0.0], np.cumsum(work)]) / work.sum()
    share = np.cumsum(weights) / np.sum(weights)
    ends = [0]
    for number, wanted in enumerate(share[:-1]):
        nearest = int(np.argmin(np.abs(done - wanted)))
        ends.append(min(max(nearest, ends[-1] + 1), count - (len(weights) - 1 - number)))
    ends.append(count)
    periodic = domain.boundary[0] is Boundary.PERIODIC
    planes = [min(end * LEAF, domain.size[0]) for end in ends]
    return [Slab(a, b, halo, domain.size[0], periodic) for a, b in pairwise(planes)]
