# SPDX-License-Identifier: GPL-3.0-or-later
"""The folder of one run's frames, and the manifest that says what is in it.

Every run gets a folder of its own, `<cache>/<name>-<token>/`, because Blender remembers a VDB file by its path until it
quits. `manifest.json` in it is replaced as a whole after each finished frame; readers trust nothing else. It is JSON:

    {"format": "fluid-script-bake", "version": 1,
     "name": "smoke", "created": "2025-01-31T12:00:00+00:00", "creator": "Fluid Script 0.1.0",
     "script_hash": "…", "device": "…", "parameters": {"buoyancy": 1.5}, "details": {…},
     "frames": [
      {"path": "smoke_0001.vdb", "frame": 1, "time": 0.0416, "size": 48211, "crc32": 305419896,
       "grids": {"density": "half", "velocity": "vec3f"}},
      …]}

`path` is relative, parted by "/". `frame` is the place on the timeline, or null for a file without a number. `time` is
simulated time in seconds, `size` in bytes, `crc32` that of the file, `grids` the kind of each grid (see grid.GridKind).
`parameters` and `details` are what the run wants to remember. Readers pass over keys that they do not know; `version`
rises only when an old reader would misread the file.
"""

from __future__ import annotations

import json
import re
import secrets
import threading
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .. import VERSION
from ..diagnostics import FluidError, fail
from .atomic import disk_problem, write_bytes_atomically
from .export_path import MANIFEST, checked_export_path, inside, timeline_frame

__all__ = ["Bake", "BakedFrame"]

_FORMAT, _VERSION = "fluid-script-bake", 1
_LARGEST_MANIFEST = 256 << 20  # bytes
_TRIES = 16


@dataclass(frozen=True)
class BakedFrame:
    """A finished file of a bake. `path` is relative to the bake's folder; see the module's text for the rest."""

    path: str
    frame: int | None
    time: float
    size: int
    crc32: int
    grids: Mapping[str, str]


class Bake:
    """One bake folder. One thread may add frames while others look at them."""

    def __init__(self, folder: Path, head: dict[str, Any], frames: list[BakedFrame]) -> None:
        self.folder = folder
        self._head = head
        self._frames = {frame.path: frame for frame in frames}
        self._lines = {frame.path: _line(frame) for frame in frames}
        self._folded = {frame.path.casefold(): frame.path for frame in frames}
        self._lock = threading.Lock()

    @classmethod
    def create(
        cls,
        cache: Path,
        name: str,
        *,
        script_hash: str,
        device: str,
        parameters: Mapping[str, Any] | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> Bake:
        """Make a new folder in `cache` (made too, if need be). `parameters` and `details` must fit into JSON.

        Raises disk-full and disk-error.
        """
        slug = re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-")[:48] or "bake"
        head = {
            "format": _FORMAT,
            "version": _VERSION,
            "name": name,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "creator": f"Fluid Script {VERSION}",
            "script_hash": script_hash,
            "device": device,
            "parameters": dict(parameters or {}),
            "details": dict(details or {}),
        }
        bake = cls(_new_folder(cache, slug), head, [])
        bake._save()
        return bake

    @classmethod
    def open(cls, folder: Path) -> Bake:
        """Read the manifest of a folder. Raises bake-missing where there is none, bake-corrupt where it is no good."""
        path = folder / MANIFEST
        try:
            if path.stat().st_size > _LARGEST_MANIFEST:
                raise _corrupt(path, f"it is larger than {_LARGEST_MANIFEST >> 20} MiB")
            text = path.read_bytes()
        except (OSError, ValueError) as error:
            raise fail(
                "bake-missing",
                f'There is no bake in "{folder}" ({getattr(error, "strerror", None) or error}).',
                "Choose the folder that holds manifest.json, or run the simulation again.",
            ) from error
        try:
            content = json.loads(text, parse_constant=_no_constant)
        except (ValueError, RecursionError) as error:
            raise _corrupt(path, f"it is not JSON ({error})") from error
        head, frames = _checked_manifest(path, content)
        return cls(folder, head, frames)

    @property
    def name(self) -> str:
        return str(self._head["name"])

    @property
    def head(self) -> dict[str, Any]:
        """Everything in the manifest but the frames."""
        return dict(self._head)

    @property
    def frames(self) -> list[BakedFrame]:
        """The finished files, in the order in which they were first exported."""
        with self._lock:
            return list(self._frames.values())

    def frame_path(self, relative: str) -> Path:
        """Where an export that the script calls `relative` goes; its folders are made.

        Raises export-path for every path that leaves the bake's folder, that some system cannot store, that leads over
        a link, or that differs from an earlier one in upper and lower case only; disk-full and disk-error.
        """
        parts = checked_export_path(relative)
        with self._lock:
            taken = self._folded.get(relative.casefold(), relative)
        if taken != relative:
            raise fail(
                "export-path",
                f'The export path "{relative}" differs from "{taken}" in upper and lower case only.',
                "Some systems take them for one file: spell it the same way each time.",
            )
        try:
            return inside(self.folder, parts, make_folders=True)
        except OSError as error:
            raise disk_problem(self.folder.joinpath(*parts), error) from error

    def add_frame(self, relative: str, *, time: float, grids: Mapping[str, str]) -> BakedFrame:
        """Record the file that was written at `frame_path(relative)` and save the manifest.

        A later file of the same path takes the place of the earlier one. Raises disk-full and disk-error.
        """
        path = inside(self.folder, checked_export_path(relative))
        try:
            size, crc32 = _size_and_crc32(path)
        except OSError as error:
            raise disk_problem(path, error) from error
        frame = BakedFrame(relative, timeline_frame(relative), float(time), size, crc32, dict(grids))
        with self._lock:
            self._frames[relative] = frame
            self._lines[relative] = _line(frame)
            self._folded[relative.casefold()] = relative
        self._save()
        return frame

    def damaged(self, checksums: bool = False) -> list[tuple[BakedFrame, str]]:
        """Frames whose file is missing or has another size (or another checksum, if asked for), and what is wrong."""
        found: list[tuple[BakedFrame, str]] = []
        for frame in self.frames:
            try:
                path = inside(self.folder, checked_export_path(frame.path))
                size = path.stat().st_size
                if size != frame.size:
                    found.append((frame, f"has {size:,} bytes instead of {frame.size:,}"))
                elif checksums and _size_and_crc32(path)[1] != frame.crc32:
                    found.append((frame, "has a wrong checksum"))
            except OSError as error:
                found.append((frame, error.strerror or str(error)))
            except FluidError as error:
                found.append((frame, str(error)))
        return found

    def free(self) -> list[Path]:
        """Delete the files that the manifest names, the manifest, and the folders that are empty then.

        Returns what is left of the bake's folder: files of others, which are never touched. Raises disk-error.
        """
        folders: set[Path] = set()
        for frame in self.frames:
            try:
                path = inside(self.folder, checked_export_path(frame.path))
            except FluidError:  # a link has come in the way: what lies behind it is not ours
                continue
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise disk_problem(path, error) from error
            folders.update(folder for folder in path.parents if folder.is_relative_to(self.folder))
        try:
            (self.folder / MANIFEST).unlink(missing_ok=True)
            for folder in sorted({*folders, self.folder}, key=lambda path: len(path.parts), reverse=True):
                if folder.is_dir() and not any(folder.iterdir()):
                    folder.rmdir()
            return sorted(self.folder.rglob("*")) if self.folder.is_dir() else []
        except OSError as error:
            raise disk_problem(self.folder, error) from error

    def _save(self) -> None:
        """Replace the manifest. Frames are kept as the text that they become, so that a long bake stays cheap."""
        with self._lock:
            head = json.dumps(self._head, ensure_ascii=False, allow_nan=False, indent=1)
            frames = ",\n  ".join(self._lines.values())
        text = f'{head[:-2]},\n "frames": [\n  {frames}]}}\n'
        write_bytes_atomically(self.folder / MANIFEST, text.encode())


def _line(frame: BakedFrame) -> str:
    return json.dumps(
        {
            "path": frame.path,
            "frame": frame.frame,
            "time": frame.time,
            "size": frame.size,
            "crc32": frame.crc32,
            "grids": dict(frame.grids),
        },
        ensure_ascii=False,
        allow_nan=False,
    )


def _new_folder(cache: Path, slug: str) -> Path:
    for _ in range(_TRIES):
        folder = cache / f"{slug}-{secrets.token_hex(4)}"
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        except OSError as error:
            raise disk_problem(folder, error) from error
        return folder
    raise fail("disk-error", f'No new folder can be made in "{cache}".', "Choose another cache folder.")


def _size_and_crc32(path: Path) -> tuple[int, int]:
    size = crc32 = 0
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            size += len(block)
            crc32 = zlib.crc32(block, crc32)
    return size, crc32


def _no_constant(word: str) -> Any:
    raise ValueError(f"{word} is no number")


def _corrupt(path: Path, why: str) -> FluidError:
    return fail("bake-corrupt", f'The bake "{path.parent.name}" cannot be used: {why}.', "Run the simulation again.")


def _checked_manifest(path: Path, content: Any) -> tuple[dict[str, Any], list[BakedFrame]]:
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        raise _corrupt(path, f"{path.name} is not the manifest of a bake")
    version = content.get("version")
    if version != _VERSION:
        raise _corrupt(path, f"its manifest has the version {version!r}, and {_VERSION} is read")
    head = {key: value for key, value in content.items() if key != "frames"}
    for key, kind in (("name", str), ("script_hash", str), ("device", str), ("parameters", dict), ("details", dict)):
        if not isinstance(head.get(key), kind):
            raise _corrupt(path, f'"{key}" is missing from its manifest or no {kind.__name__}')
    entries = content.get("frames")
    if not isinstance(entries, list):
        raise _corrupt(path, "its manifest has no list of frames")
    frames = [_checked_frame(path, number, entry) for number, entry in enumerate(entries, 1)]
    if len({frame.path.casefold() for frame in frames}) != len(frames):
        raise _corrupt(path, "its manifest names a file twice")
    return head, frames


def _checked_frame(path: Path, number: int, entry: Any) -> BakedFrame:
    def get(key: str, kind: type | tuple[type, ...]) -> Any:
        value = entry.get(key) if isinstance(entry, dict) else None
        if not isinstance(value, kind) or isinstance(value, bool):
            raise _corrupt(path, f'entry {number} of its frames has no "{key}" that makes sense')
        return value

    relative = get("path", str)
    try:
        checked_export_path(relative)
    except FluidError as error:
        raise _corrupt(path, f"entry {number} of its frames lies outside: {error}") from error
    grids = get("grids", dict)
    frame = get("frame", (int, type(None)))
    size, crc32 = get("size", int), get("crc32", int)
    if size < 0 or not 0 <= crc32 < 1 << 32 or (frame or 0) < 0 or not all(isinstance(v, str) for v in grids.values()):
        raise _corrupt(path, f"entry {number} of its frames has numbers that make no sense")
    return BakedFrame(relative, frame, float(get("time", (int, float))), size, crc32, grids)
