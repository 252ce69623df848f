# SPDX-License-Identifier: GPL-3.0-or-later
"""Slabs of a sparse domain that follow its active leaves: when they are cut anew, and how leaves change devices.

The decision depends on the active leaves and the decisions before alone, so that every rank and every run makes the
same ones; and values move as they are, so that it changes no bit of an answer.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ..diagnostics import FluidError
from .active_leaves import ActiveLeaves
from .distant_part import AnyPart
from .domain import Domain
from .exchange import Exchange, Halos, moved_intervals
from .field import Field
from .part import Part
from .slab import Slab, cut

__all__ = ["Balance", "move_leaves"]

#: A part's share of the work over the mean share, above which slabs are cut anew.
UNEVEN = 1.2
#: The largest share has to fall to this part of what it was, or nothing is moved.
WORTH_IT = 0.9
#: Steps between two cuts.
PATIENCE = 10


class Balance:
    """Decides when the slabs of a sparse domain are cut anew.

    Args:
        weights: speed of each part, above 0.
    """

    def __init__(self, domain: Domain, weights: Sequence[float]) -> None:
        self._domain, self._weights = domain, np.asarray(weights, np.float64)
        self._waited = PATIENCE

    def better(self, slabs: Sequence[Slab], load: npt.NDArray[np.int64]) -> list[Slab] | None:
        """The slabs to have from now on; None: those that there are. To be asked once a step.

        Args:
            slabs: those that there are.
            load: active leaves in each leaf plane.
        """
        self._waited += 1
        now = self._unevenness(slabs, load)
        if now <= UNEVEN or self._waited <= PATIENCE:
            return None
        others = cut(self._domain, self._weights.tolist(), slabs[0].halo, load.tolist())
        if self._unevenness(others, load) > WORTH_IT * now:
            return None
        self._waited = 0
        return others

    def _unevenness(self, slabs: Sequence[Slab], load: npt.NDArray[np.int64]) -> float:
        """The longest time that a part takes over the time that all would take were it shared out evenly."""
        if not load.any():
            return 1.0
        leaves = np.array([load[slice(*slab.leaf_planes())].sum() for slab in slabs])
        return float((leaves / self._weights).max() * self._weights.sum() / leaves.sum())


def move_leaves(
    parts: Sequence[AnyPart], slabs: Sequence[Slab], leaves: ActiveLeaves, fields: Sequence[Field], halos: Halos
) -> bool:
    """Give all parts other slabs, and the values of the leaves that they compute from now on; halos hold nothing then.

    What moves does so as halos do: parts hold what they will compute, have it sent, and only then call it their own.

    Args:
        parts: those of all ranks.
        fields: those that have values.

    Returns:
        False where some part has no memory for it; everything is as it was then.
    """
    here = [slab for part, slab in zip(parts, slabs, strict=True) if isinstance(part, Part)]
    if not all(halos.carrier.allgather(_have_room(leaves, here))):
        return False
    intervals = moved_intervals([part.slab for part in parts], slabs)
    leaves.take_in(here)
    for field in fields:
        exchange = Exchange(halos, parts, [field], intervals)
        exchange.send()
        exchange.receive()
        exchange.close()
    for part, slab in zip(parts, slabs, strict=True):
        part.slab = slab
    leaves.spread_out()
    return True


def _have_room(leaves: ActiveLeaves, slabs: Sequence[Slab]) -> bool:
    try:
        leaves.check_slabs(slabs)
    except FluidError:
        return False
    return True
