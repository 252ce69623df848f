# SPDX-License-Identifier: GPL-3.0-or-later
"""The folder of one run's frames.

Every run gets a folder of its own, `<cache>/<name>-<token>/`, because Blender remembers a VDB file by its path until it
quits. `manifest.json` in it (see the module `manifest` for what it says) is replaced as a whole after each finished
frame; readers trust nothing else, and nothing that it does not name is ever deleted.
"""

from __future__ import annotations

import contextlib
import re
import secrets
import threading
import zlib
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .. import VERSION as CREATOR_VERSION
from ..diagnostics import FluidError, fail
from .atomic import disk_problem, write_bytes_atomically
from .export_path import MANIFEST, checked_export_path, inside, same_file_key, timeline_frame
from .manifest import FORMAT, VERSION, BakedFrame, Measured, frame_line, manifest_text, read_manifest
from .sequences import BakedSequence, sequences

__all__ = ["Bake", "BakedFrame", "BakedSequence", "Measured", "damage", "timeline_frame"]

_TRIES = 16


class Bake:
    """One bake folder. One thread may add frames while others look at them."""

    def __init__(self, folder: Path, head: dict[str, Any], frames: list[BakedFrame]) -> None:
        self.folder = folder
        self._head = head
        self._frames = {frame.path: frame for frame in frames}
        self._lines = {frame.path: frame_line(frame) for frame in frames}
        self._spelling = {same_file_key(frame.path): frame.path for frame in frames}
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
            "format": FORMAT,
            "version": VERSION,
            "name": name,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "creator": f"Fluid Script {CREATOR_VERSION}",
            "script_hash": script_hash,
            "device": device,
            "parameters": dict(parameters or {}),
            "details": dict(details or {}),
        }
        bake = cls(_new_folder(cache.absolute(), slug), head, [])
        try:
            bake._save()
        except FluidError:
            with contextlib.suppress(OSError):
                bake.folder.rmdir()
            raise
        return bake

    @classmethod
    def open(cls, folder: Path) -> Bake:
        """The bake in a folder. Raises bake-missing where there is none, bake-corrupt where its manifest is no good."""
        return cls(folder.resolve() if folder.is_symlink() else folder.absolute(), *read_manifest(folder))

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
            taken = self._spelling.get(same_file_key(relative), relative)
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

    def add_frame(
        self, relative: str, *, time: float, grids: Mapping[str, str], measured: Measured | None = None
    ) -> BakedFrame:
        """Record the file that was written at `frame_path(relative)` and save the manifest.

        A later file of the same path takes the place of the earlier one. Raises disk-full and disk-error.
        """
        parts = checked_export_path(relative)
        try:
            size, crc32 = _size_and_crc32(inside(self.folder, parts))
        except OSError as error:
            raise disk_problem(self.folder.joinpath(*parts), error) from error
        frame = BakedFrame(relative, timeline_frame(relative), float(time), size, crc32, dict(grids), measured)
        with self._lock:
            self._frames[relative] = frame
            self._lines[relative] = frame_line(frame)
            self._spelling[same_file_key(relative)] = relative
        self._save()
        return frame

    def sequences(self) -> list[BakedSequence]:
        """The files grouped by what Blender can show as one animated volume."""
        return sequences(self.frames)

    def damaged(self, checksums: bool = False) -> list[tuple[BakedFrame, str]]:
        """Frames whose file is missing or has another size (or another checksum, if asked for), and what is wrong."""
        looked_at = ((frame, damage(self.folder, frame, checksums)) for frame in self.frames)
        return [(frame, why) for frame, why in looked_at if why is not None]

    def free(self) -> list[Path]:
        """Delete the files that the manifest names, the manifest, and the folders that are empty then.

        Returns what is left of the bake's folder: files of others, which are never touched. Raises disk-error.
        """
        folders: set[Path] = set()
        for frame in self.frames:
            try:
                path = inside(self.folder, checked_export_path(frame.path))
                path.unlink(missing_ok=True)
            except FluidError:  # a link has come in the way: what lies behind it is not ours
                continue
            except OSError as error:
                raise disk_problem(self.folder / frame.path, error) from error
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
            text = manifest_text(self._head, self._lines.values())
        write_bytes_atomically(self.folder / MANIFEST, text.encode())


def damage(folder: Path, frame: BakedFrame, checksum: bool = False) -> str | None:
    """What is wrong with the file of a frame: it is missing, or has another size (or checksum, if asked for)."""
    try:
        path = inside(folder, checked_export_path(frame.path))
        size = path.stat().st_size
        if size != frame.size:
            return f"has {size:,} bytes instead of {frame.size:,}"
        if checksum and _size_and_crc32(path)[1] != frame.crc32:
            return "has a wrong checksum"
    except OSError as error:
        return error.strerror or str(error)
    except FluidError as error:
        return str(error)
    return None


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
