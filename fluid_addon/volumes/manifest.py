# SPDX-License-Identifier: GPL-3.0-or-later
"""The manifest of a bake: what its folder holds. It is JSON, and readers trust nothing else in the folder.

    {"format": "fluid-script-bake", "version": 1,
     "name": "smoke", "created": "2025-01-31T12:00:00+00:00", "creator": "Fluid Script 0.1.0",
     "script_hash": "…", "device": "…", "parameters": {"buoyancy": 1.5}, "details": {…},
     "frames": [
      {"path": "smoke_0001.vdb", "frame": 1, "time": 0.0416, "size": 48211, "crc32": 305419896,
       "grids": {"density": "half", "velocity": "vec3f"},
       "measured": {"peaks": {"density": 1.02}, "level_sets": [], "box": [[-1.0, -1.0, 0.0], [1.0, 1.0, 3.0]]}},
      …]}

`path` is relative, parted by "/". `frame` is the place on the timeline, or null for a file without a number. `time` is
simulated time in seconds, `size` in bytes, `crc32` that of the file, `grids` the kind of each grid (see grid.GridKind).
`measured` may be missing (see `Measured`). `next` is there while a file takes the place of another one of its path: the
size and checksum of the one that comes, either of which is found.
`parameters` and `details` are what the run wants to remember. Readers pass over keys that they do not know; `version`
rises only when an old reader would misread the file.
"""

from __future__ import annotations

import gc
import json
import stat
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import NoneType
from typing import Any

from ..diagnostics import FluidError, fail
from .export_path import LAST_FRAME, MANIFEST, checked_export_path, same_file_key
from .grid_file import LONGEST_TEXT, file_text

__all__ = ["FORMAT", "VERSION", "BakedFrame", "Checked", "Measured", "frame_line", "manifest_text", "read_manifest"]

FORMAT, VERSION = "fluid-script-bake", 1
_LARGEST = 256 << 20  # bytes
_LATEST = 1e18  # seconds
_LARGEST_FILE, _LARGEST_CRC32, _LARGEST_FLOAT = 1 << 62, (1 << 32) - 1, sys.float_info.max

#: What each entry has.
_ENTRY: tuple[tuple[str, tuple[type, ...]], ...] = (
    ("path", (str,)),
    ("frame", (int, NoneType)),
    ("time", (float, int)),
    ("size", (int,)),
    ("crc32", (int,)),
    ("grids", (dict,)),
)


Corner = tuple[float, float, float]


@dataclass(frozen=True)
class Measured:
    """What is known of the values in a file without reading it.

    Attributes:
        peaks: the largest value of each scalar grid; one that is not finite is left out.
        level_sets: the grids that store signed distances.
        box: low and high corner of the domain, along the axes of the world.
    """

    peaks: Mapping[str, float]
    level_sets: tuple[str, ...]
    box: tuple[Corner, Corner]


@dataclass(frozen=True)
class BakedFrame:
    """A finished file of a bake. `path` is relative to the bake's folder; `following` are size and checksum of the file
    that takes its place at this moment; see the module's text for the rest."""

    path: str
    frame: int | None
    time: float
    size: int
    crc32: int
    grids: Mapping[str, str]
    measured: Measured | None = None
    following: tuple[int, int] | None = None

    @property
    def contents(self) -> list[tuple[int, int]]:
        """Size and checksum of what its file may be."""
        now = (self.size, self.crc32)
        return [now] if self.following is None else [now, self.following]


#: Entries of a manifest that were found good in an earlier reading, by path.
Checked = dict[str, tuple[Any, BakedFrame]]


def frame_line(frame: BakedFrame) -> str:
    """The line of a frame in the manifest."""
    entry: dict[str, Any] = {
        "path": frame.path,
        "frame": frame.frame,
        "time": frame.time,
        "size": frame.size,
        "crc32": frame.crc32,
        "grids": dict(frame.grids),
    }
    if frame.measured is not None:
        known = frame.measured
        entry["measured"] = {"peaks": dict(known.peaks), "level_sets": known.level_sets, "box": known.box}
    if frame.following is not None:
        entry["next"] = {"size": frame.following[0], "crc32": frame.following[1]}
    return json.dumps(entry, allow_nan=False)


def manifest_text(head: Mapping[str, Any], lines: Iterable[str]) -> str:
    """The manifest with everything but the frames in `head`, and the frames as `frame_line` gives them."""
    start = json.dumps(head, allow_nan=False, indent=1)[:-2]
    return start + ',\n "frames": [\n  ' + ",\n  ".join(lines) + "]}\n"


@contextmanager
def _no_search_for_garbage() -> Iterator[None]:
    """The entries of a long bake are all kept. To look for cycles among them again and again takes half of the time."""
    searches = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if searches:
            gc.enable()


@_no_search_for_garbage()
def read_manifest(folder: Path, checked: Checked | None = None) -> tuple[dict[str, Any], list[BakedFrame]]:
    """Head and frames of the bake in `folder`. Raises bake-missing (there is none) and bake-corrupt (it is no good).

    Entries that are in `checked` as they were are not checked again; what is found good is added to it.
    """
    path = folder / MANIFEST
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # whoever opens a pipe waits for its other end
            raise OSError("it is not a file")
        if status.st_size > _LARGEST:
            raise _corrupt(folder, f"its manifest is larger than {_LARGEST >> 20} MiB")
        text = path.read_bytes()
    except (OSError, ValueError) as error:
        raise fail(
            "bake-missing",
            f'There is no bake in "{folder}" ({getattr(error, "strerror", None) or error}).',
            f"Choose the folder that holds {MANIFEST}, or run the simulation again.",
        ) from error
    try:
        content = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise _corrupt(folder, f"its manifest is not JSON ({error})") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise _corrupt(folder, f"its {MANIFEST} is not the manifest of a bake")
    version = content.get("version")
    if version != VERSION:
        raise _corrupt(folder, f"its manifest has the version {version!r}, and {VERSION} is read")
    head = {key: value for key, value in content.items() if key != "frames"}
    for key, kind in (("name", str), ("script_hash", str), ("device", str), ("parameters", dict), ("details", dict)):
        if not isinstance(head.get(key), kind):
            raise _corrupt(folder, f'"{key}" is missing from its manifest or is no {kind.__name__}')
        if kind is str:  # it may be shown
            head[key] = file_text(head[key].encode("utf-8", "replace"))
    entries = content.get("frames")
    if not isinstance(entries, list):
        raise _corrupt(folder, "its manifest has no list of frames")
    if checked is None:
        frames = [_checked_frame(folder, number, entry) for number, entry in enumerate(entries, 1)]
    else:
        frames = [_checked_once(folder, number, entry, checked) for number, entry in enumerate(entries, 1)]
    if len({same_file_key(frame.path) for frame in frames}) != len(frames):
        raise _corrupt(folder, "its manifest names a file twice")
    return head, frames


def _checked_once(folder: Path, number: int, entry: Any, checked: Checked) -> BakedFrame:
    path = entry.get("path") if isinstance(entry, dict) else None
    earlier = checked.get(path) if isinstance(path, str) else None
    if earlier is not None and earlier[0] == entry:
        return earlier[1]
    frame = _checked_frame(folder, number, entry)
    checked[frame.path] = entry, frame
    return frame


def _checked_frame(folder: Path, number: int, entry: Any) -> BakedFrame:
    """JSON gives exact types, so that none of them is taken for another; a long bake has many entries."""
    if not isinstance(entry, dict):
        raise _corrupt(folder, f"entry {number} of its frames is none")
    for key, kinds in _ENTRY:
        if type(entry.get(key)) not in kinds:
            raise _corrupt(folder, f'entry {number} of its frames has no "{key}" that makes sense')
    relative, frame, time, size = entry["path"], entry.get("frame"), entry["time"], entry["size"]
    crc32, grids = entry["crc32"], entry["grids"]
    try:
        checked_export_path(relative)
    except FluidError as error:
        raise _corrupt(folder, f"entry {number} of its frames cannot be in its folder: {error}") from error
    sound = 0 <= (frame or 0) <= LAST_FRAME and -_LATEST <= time <= _LATEST
    if not (sound and 0 <= size <= _LARGEST_FILE and 0 <= crc32 <= _LARGEST_CRC32):
        raise _corrupt(folder, f"entry {number} of its frames has a number out of range")
    for name, kind in grids.items():
        if type(kind) is not str:
            raise _corrupt(folder, f"entry {number} of its frames has grids without a kind")
        if len(name) > LONGEST_TEXT or not name.isprintable():
            raise _corrupt(folder, f"entry {number} of its frames has a grid whose name cannot be shown")
    measured = _checked_measured(entry["measured"]) if "measured" in entry else None
    if "measured" in entry and measured is None:
        raise _corrupt(folder, f'entry {number} of its frames has no "measured" that makes sense')
    following = _checked_following(entry["next"]) if "next" in entry else None
    if "next" in entry and following is None:
        raise _corrupt(folder, f'entry {number} of its frames has no "next" that makes sense')
    return BakedFrame(relative, frame, float(time), size, crc32, grids, measured, following)


def _checked_following(entry: Any) -> tuple[int, int] | None:
    size, crc32 = (entry.get("size"), entry.get("crc32")) if isinstance(entry, dict) else (None, None)
    if type(size) is not int or type(crc32) is not int:
        return None
    return (size, crc32) if 0 <= size <= _LARGEST_FILE and 0 <= crc32 <= _LARGEST_CRC32 else None


def _checked_measured(entry: Any) -> Measured | None:
    if not isinstance(entry, dict):
        return None
    peaks, level_sets, box = entry.get("peaks"), entry.get("level_sets"), entry.get("box")
    if not isinstance(peaks, dict) or not _are_finite(peaks.values()):
        return None
    if not isinstance(level_sets, list) or (level_sets and not all(type(name) is str for name in level_sets)):
        return None
    if not isinstance(box, list) or len(box) != 2:
        return None
    low, high = _corner(box[0]), _corner(box[1])
    if low is None or high is None or low[0] > high[0] or low[1] > high[1] or low[2] > high[2]:
        return None
    return Measured({name: float(peak) for name, peak in peaks.items()}, tuple(level_sets), (low, high))


def _corner(entry: Any) -> Corner | None:
    if not isinstance(entry, list) or len(entry) != 3 or not _are_finite(entry):
        return None
    x, y, z = entry
    return float(x), float(y), float(z)


def _are_finite(values: Iterable[Any]) -> bool:
    """Whether they are numbers that fit into a float; JSON also has 1e999, and integers without end."""
    for value in values:
        kind = type(value)
        if (kind is not float and kind is not int) or not -_LARGEST_FLOAT <= value <= _LARGEST_FLOAT:
            return False
    return True


def _no_constant(word: str) -> Any:
    raise ValueError(f"{word} is no number")


def _corrupt(folder: Path, why: str) -> FluidError:
    return fail("bake-corrupt", f'The bake "{folder.name}" cannot be used: {why}.', "Run the simulation again.")
