# SPDX-License-Identifier: GPL-3.0-or-later
"""Bakes whose run did not come to its end, and the frame from which it can go on.

Such a bake is looked for by what its manifest remembers of who asked for it, and not by what the object shows: Blender
may have died before the file was saved, or before the first frame. Only bakes in the artist's own cache count, since a
run that goes on writes where the bake is, and the path that an object shows may have come with somebody's file.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from ..volumes import cache
from ..volumes.cache import CachedBake
from ..volumes.checkpoint import latest_checkpoint

__all__ = ["Unfinished", "find_unfinished"]


@dataclass(frozen=True)
class Unfinished:
    """A bake that can go on.

    Attributes:
        frame: the one of its last checkpoint.
    """

    folder: Path
    frame: int


def find_unfinished(token: str, blend: str, shown: Path | None, caches: Collection[Path]) -> Unfinished | None:
    """The last bake of a simulation, if it was not finished and has a checkpoint. Reads manifests only.

    A bake without a frame, of a run that failed at once, does not count: the one before it is the last.

    Args:
        token: of the simulation.
        blend: path of the .blend file, by which a copy of the file is told from it; the bake that is `shown` is the
            simulation's in both.
        caches: folders in which bakes may lie.
    """
    found = [bake for folder in caches for bake in cache.bakes_in(folder) if _is_of(bake, token, blend, shown)]
    for bake in sorted(found, key=lambda bake: (bake.created, bake.written), reverse=True):
        checkpoint = latest_checkpoint(bake.folder)
        if checkpoint is not None:
            return Unfinished(bake.folder, checkpoint.frame)
        if bake.frames:
            return None
    return None


def _is_of(bake: CachedBake, token: str, blend: str, shown: Path | None) -> bool:
    return bake.details.get("simulation") == token and (
        bake.details.get("blend") == blend or bake.folder.resolve() == shown
    )
