# SPDX-License-Identifier: GPL-3.0-or-later
"""The bakes of the open file: where new ones go, which one a simulation shows, and whether it is still there.

What panels draw is read from disk by events (a run's end, loading, saving, the refresh button) and kept here by the
token of the simulation: a redraw never touches a disk.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import bpy
from bpy.app.handlers import persistent

from ..diagnostics import FluidError
from ..gpu.disk_cache import default_cache_folder
from ..volumes import cache
from ..volumes.bake import Bake
from ..volumes.cache import CachedBake, size_text
from ..volumes.export_path import MANIFEST
from . import simulation as simulations
from . import volume_object
from .preferences import Settings, settings
from .unfinished import Unfinished, find_unfinished
from .volume_object import BAKE, FILE
from .wrapped_text import draw_wrapped

__all__ = [
    "BakeStatus",
    "CacheUse",
    "cache_folder",
    "cache_use",
    "draw",
    "folder_for_a_run",
    "folder_shown_by",
    "is_temporary",
    "keep_newest",
    "look_again",
    "look_at_all",
    "objects_showing",
    "show_nothing",
    "shown_folders",
    "status",
    "unfinished",
    "unused",
]

#: What a run is taken to need at least.
LEAST_ROOM = 64_000_000


@dataclass(frozen=True)
class BakeStatus:
    """What was last seen of the bake that a simulation shows.

    Attributes:
        name: of the bake's folder.
        folder: where the bake is, or where it was looked for.
        damaged: files that are missing or have another size than was written.
        missing: the whole bake is not where it was, nor in the cache folder.
        problem: what is wrong with it, in a sentence, else "".
    """

    name: str
    folder: Path
    size: int = 0
    frames: int = 0
    damaged: int = 0
    missing: bool = False
    problem: str = ""


@dataclass(frozen=True)
class CacheUse:
    """What was last seen of the folder in which new bakes go."""

    folder: Path
    size: int
    bakes: int
    broken: int


_seen: dict[str, BakeStatus] = {}
_unfinished: dict[str, Unfinished] = {}
_use: CacheUse | None = None


# ===== Where new bakes go


def is_temporary(chosen: Settings) -> bool:
    """Whether bakes cannot go where the artist wants them, because the .blend file has no folder yet."""
    return not bpy.data.filepath and _is_relative(chosen.cache_folder)


def cache_folder(chosen: Settings) -> Path:
    """The folder in which bakes go. It need not exist."""
    if is_temporary(chosen):
        return default_cache_folder() / "bakes"
    written = chosen.cache_folder.strip() or Settings.cache_folder
    if _is_relative(written):
        return Path(os.path.normpath(Path(bpy.data.filepath).parent.joinpath(written.lstrip("/"))))
    return Path(written).expanduser()


def _is_relative(written: str) -> bool:
    """Blender's sign for the folder of the .blend file is "//"; a plain relative path is taken for the same."""
    written = written.strip()
    return written.startswith("//") or not Path(written).expanduser().is_absolute()


def folder_for_a_run(simulation: bpy.types.Object, chosen: Settings, *, resumes: bool = False) -> Path:
    """The cache folder, made, with room for another bake like the last one; a run that resumes has most of its own.

    Raises cache-limit, disk-full, disk-error.
    """
    folder = cache_folder(chosen)
    cache.make_cache_folder(folder)
    if resumes:
        cache.check_room(folder, 0, LEAST_ROOM)
        return folder
    shown = folder_shown_by(simulation)
    last = CachedBake.read(shown).size if shown else 0
    cache.check_room(folder, round(chosen.cache_limit_gb * 1e9), max(last, LEAST_ROOM))
    return folder


# ===== What is shown


def folder_shown_by(shown: bpy.types.Object) -> Path | None:
    """The folder of the bake that an object shows, by the path of its volume; None where it shows none.

    Blender keeps that path right when the .blend file is saved elsewhere; a copy of the folder's path would go stale.
    """
    named = shown.get(FILE)
    if shown.type != "VOLUME" or not named or BAKE not in shown or not shown.data.filepath:
        return None
    parents = _absolute(shown.data).parents
    depth = str(named).count("/")
    return parents[depth] if depth < len(parents) else None


def objects_showing(folder: Path) -> list[bpy.types.Object]:
    """The objects of this file that show the bake in `folder`, without linked ones."""
    own = (o for o in bpy.data.objects if o.type == "VOLUME" and o.library is None and o.data.library is None)
    return [shown for shown in own if folder_shown_by(shown) == folder.resolve()]


def show_nothing(shown: bpy.types.Object) -> None:
    """Let an object forget its bake; everything else of it stays for the next one."""
    shown.data.filepath = ""
    del shown[BAKE], shown[FILE]


def shown_folders() -> set[Path]:
    """Every folder that has a file of some volume of this file in it, linked ones too."""
    return {parent for volume in bpy.data.volumes if volume.filepath for parent in _absolute(volume).parents}


def _absolute(volume: bpy.types.Volume) -> Path:
    """The file of a volume. The way to it may be a link, but not the file: that one has to be found in its bake."""
    file = Path(bpy.path.abspath(volume.filepath, library=volume.library))
    return file.parent.resolve() / file.name


def unused(chosen: Settings) -> list[CachedBake]:
    """The bakes in the cache folder that this .blend file has made and that nothing in it shows any more."""
    own = {found.fluid_addon.token for found in _all_simulations()}
    shown = shown_folders()

    def is_ours(bake: CachedBake) -> bool:
        blend, token = bake.details.get("blend"), bake.details.get("simulation")
        return blend == bpy.data.filepath and (bool(blend) or token in own)

    found = cache.bakes_in(cache_folder(chosen))
    return [bake for bake in found if is_ours(bake) and bake.folder.resolve() not in shown]


def keep_newest(simulation: bpy.types.Object, chosen: Settings) -> list[CachedBake]:
    """Free older bakes of a simulation, as the preferences want it; returns those that are gone. Raises nothing."""
    try:
        return cache.keep_newest(
            cache_folder(chosen),
            simulation=simulation.fluid_addon.token,
            blend=bpy.data.filepath,
            keep=chosen.keep_last,
            also_keep=shown_folders(),
        )
    except FluidError as error:  # a file that another program holds can go with the next run
        _log(f'Older bakes of "{simulation.name}" were kept: {error}')
        return []


# ===== What was seen


def look_again(simulation: bpy.types.Object) -> BakeStatus | None:
    """Read from disk what became of the bake that a simulation shows. One that has moved is found and shown again."""
    _look_at_cache()
    return _look_at(simulation)


def look_at_all() -> list[BakeStatus]:
    """As `look_again` for every simulation of the file."""
    _look_at_cache()
    found = [_look_at(each) for each in _all_simulations()]
    return [each for each in found if each is not None]


def status(simulation: bpy.types.Object) -> BakeStatus | None:
    """What was last seen of the bake that a simulation shows now; None where it shows none, or was not looked at."""
    seen = _seen.get(simulation.fluid_addon.token)
    return seen if seen is not None and seen.name == simulation.get(BAKE) else None


def unfinished(simulation: bpy.types.Object) -> Unfinished | None:
    """The last bake of a simulation, where its run can go on from a checkpoint; as it was last seen."""
    return _unfinished.get(simulation.fluid_addon.token)


def cache_use() -> CacheUse | None:
    return _use


def _look_at_cache() -> None:
    global _use
    folder = cache_folder(settings())
    found = cache.bakes_in(folder)
    broken = sum(bool(bake.problem) for bake in found)
    _use = CacheUse(folder, sum(bake.size for bake in found), len(found), broken)


def _look_at(simulation: bpy.types.Object) -> BakeStatus | None:
    token, name = simulation.fluid_addon.token, str(simulation.get(BAKE, ""))
    before = _seen.pop(token, None)
    folder = folder_shown_by(simulation)
    _look_for_unfinished(token, folder)
    if not name or folder is None:
        return None
    if not (folder / MANIFEST).is_file():
        folder = _find_moved(simulation, name) or folder
    seen = _seen[token] = _read(name, folder)
    if seen.problem and (before is None or before.problem != seen.problem):
        _log(f'"{simulation.name}": {seen.problem}')
    return seen


def _look_for_unfinished(token: str, shown: Path | None) -> None:
    _unfinished.pop(token, None)
    places = [cache_folder(settings())]
    before_saving = default_cache_folder() / "bakes"  # where the bakes of a file are that had no folder yet
    if shown is not None and shown.parent == before_saving.resolve() and before_saving not in places:
        places.append(before_saving)
    if found := find_unfinished(token, bpy.data.filepath, shown, places):
        _unfinished[token] = found


def _read(name: str, folder: Path) -> BakeStatus:
    if not (folder / MANIFEST).is_file():
        where = f'The bake "{name}" is missing from "{folder.parent}".'
        return BakeStatus(name, folder, missing=True, problem=where)
    try:
        bake = Bake.open(folder)
    except FluidError as error:
        return BakeStatus(name, folder, problem=str(error))
    read, damaged = CachedBake.read(folder), len(bake.damaged())
    are = "is" if damaged == 1 else "are"
    problem = f"{damaged} of {len(bake.frames)} files {are} missing or damaged." if damaged else ""
    return BakeStatus(name, folder, read.size, read.frames, damaged, problem=problem)


def _find_moved(simulation: bpy.types.Object, name: str) -> Path | None:
    """Look in the cache folder for a bake that is not where it was, and let the simulation show it there."""
    folder = cache_folder(settings()) / name
    if Path(name).name != name or not (folder / MANIFEST).is_file():
        return None
    try:
        volume_object.show_bake(simulation, folder)
    except FluidError:
        return None
    _log(f'"{simulation.name}": the bake "{name}" was found in "{folder.parent}".')
    return folder


def _all_simulations() -> Iterator[bpy.types.Object]:
    return (o for o in bpy.data.objects if simulations.is_simulation(o) and o.library is None)


def _log(sentence: str) -> None:
    print(f"Fluid Script: {sentence}")


# ===== What panels show of it


def draw(layout: bpy.types.UILayout, found: bpy.types.Object) -> None:
    """The cache of a simulation, for a sidebar."""
    chosen, seen = settings(), status(found)
    name = str(found.get(BAKE, ""))
    column = layout.column(align=True)
    column.label(text=name or "No bake", icon="ERROR" if seen and seen.problem else "FILE_VOLUME")
    for line in _lines(seen) if seen else ():
        column.label(text=line, icon="BLANK1")
    if seen and seen.missing:
        layout.operator("fluid_addon.locate_bake", text="Locate…", icon="FILE_FOLDER").name = found.name
    elif name:
        row = layout.split(factor=0.4, align=True)
        free = row.row(align=True)
        free.enabled = seen is None or not seen.problem or seen.damaged > 0
        free.operator("fluid_addon.free_bake", text="Free", icon="TRASH").name = found.name
        row.operator("fluid_addon.open_bake_folder", text="Open Folder", icon="FILE_FOLDER").name = found.name
    if is_temporary(chosen):
        draw_wrapped(layout, bpy.context, "This file is not saved: bakes go to the user cache", icon="ERROR")
    _draw_use(layout, chosen)


def _lines(seen: BakeStatus) -> Iterator[str]:
    if seen.frames:
        yield f"{seen.frames} frame{'s' if seen.frames != 1 else ''}, {size_text(seen.size)}"
    if seen.damaged:
        yield f"{seen.damaged} file{'s' if seen.damaged != 1 else ''} missing or broken"
    elif seen.problem:
        yield "Missing" if seen.missing else "Its manifest is broken"


def _draw_use(layout: bpy.types.UILayout, chosen: Settings) -> None:
    """All bakes against the limit."""
    used = size_text(_use.size) if _use else "Unknown"
    limit = f" of {size_text(round(chosen.cache_limit_gb * 1e9))}" if chosen.cache_limit_gb and _use else ""
    column = layout.column(align=True)
    row = column.row(align=True)
    draw_wrapped(row, bpy.context, f"Cache: {used}{limit}", icon="DISK_DRIVE")
    row.operator("fluid_addon.look_for_bakes", text="", icon="FILE_REFRESH")
    if _use and _use.broken:
        column.label(text=f"Broken bakes: {_use.broken}", icon="BLANK1")
    column.operator("fluid_addon.free_unused", text="Free Unused Bakes")


# ===== Blender's own doings


@persistent
def _after_loading(*_: object) -> None:
    _seen.clear()
    _unfinished.clear()
    look_at_all()


@persistent
def _after_saving(*_: object) -> None:
    _look_at_cache()


@persistent
def _after_undo(*_: object) -> None:
    """Undo may bring back an object that shows another bake, such as one that was freed."""
    for each in _all_simulations():
        if BAKE in each and status(each) is None:
            _look_at(each)


_HANDLERS: dict[str, Callable[..., None]] = {
    "load_post": _after_loading,
    "save_post": _after_saving,
    "undo_post": _after_undo,
    "redo_post": _after_undo,
}


def register() -> None:
    for name, handler in _HANDLERS.items():
        getattr(bpy.app.handlers, name).append(handler)


def unregister() -> None:
    global _use
    for name, handler in _HANDLERS.items():
        getattr(bpy.app.handlers, name).remove(handler)
    _seen.clear()
    _unfinished.clear()
    _use = None
