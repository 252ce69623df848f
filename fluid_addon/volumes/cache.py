# SPDX-License-Identifier: GPL-3.0-or-later
"""The folder in which all bakes of an artist lie: how much room they take, and which of them may go.

A cache is bounded by what is deleted from it, so nothing here deletes but `Bake.free`: files that a manifest names.
A bake that cannot be read is told of and left alone.
"""

from __future__ import annotations

import functools
import os
import secrets
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..diagnostics import FluidError, fail
from .atomic import disk_point, disk_problem, free_space
from .bake import Bake
from .export_path import MANIFEST

__all__ = [
    "CachedBake",
    "bakes_in",
    "check_room",
    "free_idle",
    "free_space",
    "keep_newest",
    "make_cache_folder",
    "size_of",
    "size_text",
]

_CHOOSE_ANOTHER = "Choose another cache folder in the preferences of Fluid Script."


@dataclass(frozen=True)
class CachedBake:
    """A bake as its manifest tells it.

    Attributes:
        created: time in UTC as ISO 8601 writes it, so that later ones sort behind earlier ones.
        written: when the manifest was, in nanoseconds; it tells bakes of one second apart.
        size: bytes of the files that the manifest names.
        frames: different frames on the timeline; a file without a number is one too.
        details: what the run wanted to be remembered; anybody may have written it.
        problem: why the bake cannot be read, else "". Then all other attributes but `folder` and `name` are empty.
    """

    folder: Path
    name: str
    created: str = ""
    written: int = 0
    size: int = 0
    frames: int = 0
    details: dict[str, Any] = field(default_factory=dict)
    problem: str = ""

    @classmethod
    def read(cls, folder: Path) -> CachedBake:
        """The bake in `folder`, which need not be any good."""
        try:
            manifest = (folder / MANIFEST).stat()
            return _read(folder, (manifest.st_mtime_ns, manifest.st_size, manifest.st_ino))
        except (FluidError, OSError) as error:
            return cls(folder, folder.name, problem=str(error))


@functools.lru_cache(maxsize=4096)
def _read(folder: Path, as_of: tuple[int, int, int]) -> CachedBake:
    """A manifest is read again only when it was replaced: a full cache is looked at with every save of a file."""
    bake = Bake.open(folder)
    frames = bake.frames
    places = {frame.path if frame.frame is None else frame.frame for frame in frames}
    size = sum(frame.size for frame in frames) + sum(found.size for found in bake.checkpoints)
    created = str(bake.head.get("created", ""))
    return CachedBake(bake.folder, bake.name, created, as_of[0], size, len(places), bake.head["details"])


def bakes_in(folder: Path) -> list[CachedBake]:
    """The bakes that lie in `folder`, oldest first; none where there is no such folder.

    Links are passed over: what lies behind them takes no room here.
    """
    try:
        with os.scandir(folder) as entries:
            inner = [Path(entry.path) for entry in entries if _holds_bake(entry)]
    except OSError:
        return []
    found = [CachedBake.read(path) for path in inner]
    return sorted(found, key=lambda bake: (bake.created, bake.written))


def _holds_bake(entry: os.DirEntry[str]) -> bool:
    """Not where nobody may look, as into "lost+found" on a disk of its own."""
    try:
        return entry.is_dir(follow_symlinks=False) and Path(entry.path, MANIFEST).is_file()
    except OSError:
        return False


def size_of(folder: Path) -> int:
    """Bytes that the bakes in `folder` take."""
    return sum(bake.size for bake in bakes_in(folder))


def size_text(count: int) -> str:
    """A number of bytes as file browsers show it, as short as it can be: "820 kB", "3.4 GB"."""
    size = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 999.5:
            return f"{size:.1f} {unit}" if size < 9.95 and unit != "B" else f"{size:.0f} {unit}"
        size /= 1000.0
    return f"{size:.1f} TB"


def make_cache_folder(folder: Path) -> None:
    """Make the folder if need be, and try whether files can be made in it. Raises disk-error and disk-full."""
    trial = folder / f".{secrets.token_hex(8)}.part"
    try:
        disk_point("disk.make", folder)
        folder.mkdir(parents=True, exist_ok=True)
        trial.write_bytes(b"")
        trial.unlink()
    except OSError as error:
        problem = disk_problem(folder, error)
        if problem.code == "disk-full":
            raise problem from error
        why = error.strerror or error
        raise fail("disk-error", f'The cache folder "{folder}" cannot be written: {why}.', _CHOOSE_ANOTHER) from error


def check_room(folder: Path, limit_bytes: int, needed_bytes: int) -> None:
    """See whether a run that writes about `needed_bytes` may begin. A limit of 0 is none.

    Raises cache-limit and disk-full.
    """
    needs = f"this run needs about {size_text(needed_bytes)}"
    if limit_bytes:
        used = size_of(folder)
        if used + needed_bytes > limit_bytes:
            takes = f"The bakes in the cache take {size_text(used)} of {size_text(limit_bytes)}"
            hint = f'Free bakes in "{folder}", or raise the cache limit in the preferences of Fluid Script.'
            raise fail("cache-limit", f"{takes}, and {needs}.", hint)
    free = free_space(folder)
    if free is not None and free < needed_bytes:
        message = f'The disk of "{folder}" has {size_text(free)} free, and {needs}.'
        raise fail("disk-full", message, "Free bakes, or " + _CHOOSE_ANOTHER[0].lower() + _CHOOSE_ANOTHER[1:])


def keep_newest(
    folder: Path, *, simulation: str, blend: str, keep: int, also_keep: Collection[Path] = ()
) -> list[CachedBake]:
    """Free the older bakes that a simulation of a .blend file has made; returns those that are gone.

    The newest `keep` with frames stay, and those in the folders `also_keep`. Older bakes without any frame, of runs
    that failed at once, count as nothing and go too. A `keep` of 0 keeps all. A copy of the .blend file has simulations
    of the same token, which still need their bakes: they are told apart by `blend`. A bake that is being written stays.
    Raises disk-error.
    """
    if not keep:
        return []
    own = [bake for bake in bakes_in(folder) if _made_by(bake, simulation, blend)]
    newest = [bake for bake in own if bake.frames][-keep:]
    if not newest:
        return []
    staying = {bake.folder.resolve() for bake in newest} | {path.resolve() for path in also_keep}
    return free_idle([bake for bake in own[: own.index(newest[-1])] if bake.folder.resolve() not in staying])


def free_idle(bakes: Iterable[CachedBake]) -> list[CachedBake]:
    """Free bakes; one that is being written stays. Returns those that are gone. Raises disk-error."""
    freed = []
    for bake in bakes:
        try:
            Bake.open(bake.folder).free()
            freed.append(bake)
        except FluidError as error:
            if error.code != "bake-locked":
                raise
    return freed


def _made_by(bake: CachedBake, simulation: str, blend: str) -> bool:
    return bake.details.get("simulation") == simulation and bake.details.get("blend") == blend
