# SPDX-License-Identifier: GPL-3.0-or-later
"""Checkpoints: the state of a run in one file, from which it goes on after its process has gone.

The file is a zip archive whose members are stored as they are: `head.json`, and the bytes of arrays that the head
describes. A reader takes no length on trust: a member has the size that its shape says, all of them together fit into
the file, and zip's own checksum of each is right.
"""

from __future__ import annotations

import io
import json
import math
import struct
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..diagnostics import FluidError, fail
from .atomic import atomic_write
from .export_path import checked_export_path, inside
from .manifest import read_manifest

__all__ = [
    "CHECKPOINT",
    "CheckpointFile",
    "CheckpointSummary",
    "CheckpointWriter",
    "latest_checkpoint",
    "listed_checkpoints",
    "open_checkpoint",
    "write_checkpoint",
]

#: How the names of their files end.
CHECKPOINT = ".checkpoint"
FORMAT, VERSION = "fluid-script-checkpoint", 1
_HEAD = "head.json"
_LARGEST_HEAD = 512 << 20  # bytes
#: What reading a damaged archive raises: encrypted, patched or nested ones are RuntimeErrors.
_DAMAGE = (OSError, ValueError, RuntimeError, EOFError, struct.error, zipfile.BadZipFile)
_KINDS = ("uint8", "float16", "float32", "float64", "int32", "uint32", "int64")


@dataclass(frozen=True)
class CheckpointSummary:
    """A checkpoint as the manifest of its bake lists it.

    Attributes:
        path: the name of its file in the bake's folder.
        frame: the last one that is computed in it.
        size: of the file, in bytes.
    """

    path: str
    frame: int
    size: int


def listed_checkpoints(folder: Path, head: dict[str, Any]) -> list[CheckpointSummary]:
    """The checkpoints that a manifest's head names and whose files are there in their size, oldest first."""
    found = []
    entries = head.get("checkpoints")
    for entry in entries if isinstance(entries, list) else ():
        if not isinstance(entry, dict):
            continue
        path, frame, size = entry.get("path"), entry.get("frame"), entry.get("size")
        if isinstance(path, str) and isinstance(frame, int) and isinstance(size, int) and _has(folder, path, size):
            found.append(CheckpointSummary(path, frame, size))
    return found


def _has(folder: Path, path: str, size: int) -> bool:
    try:
        parts = checked_export_path(path)
        return len(parts) == 1 and path.endswith(CHECKPOINT) and inside(folder, parts).stat().st_size == size
    except (FluidError, OSError):
        return False


def latest_checkpoint(folder: Path) -> CheckpointSummary | None:
    """What the bake in `folder` could go on from; None where it is finished, has none, or cannot be read."""
    try:
        head, _ = read_manifest(folder)
    except FluidError:
        return None
    found = listed_checkpoints(folder, head)  # a finished bake has some where one could not be deleted
    return found[-1] if found and not head.get("finished") else None


class CheckpointWriter:
    """Takes arrays one after the other, so that no more than one of them is in memory."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self._arrays: dict[str, dict[str, Any]] = {}

    def put(self, name: str, values: npt.NDArray[Any]) -> None:
        """Store an array of numbers under a name that is new."""
        values = np.ascontiguousarray(values)
        member = f"{len(self._arrays)}.bin"
        self._arrays[name] = {"member": member, "shape": list(values.shape), "dtype": values.dtype.name}
        with self._archive.open(member, "w", force_zip64=True) as file:
            if values.size:
                file.write(values.reshape(-1).view(np.uint8).data)

    def finish(self, head: dict[str, Any]) -> None:
        """Store what the run wants to say, which must fit into JSON; numbers that are not finite may be in it."""
        content = {"format": FORMAT, "version": VERSION, "arrays": self._arrays, "run": head}
        self._archive.writestr(_HEAD, json.dumps(content))


@contextmanager
def write_checkpoint(path: Path, announce: Callable[[Path], None] | None = None) -> Iterator[CheckpointWriter]:
    """Write a checkpoint that is there whole or not at all. Raises disk-full and disk-error."""
    with atomic_write(path, announce=announce) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as archive:
        yield CheckpointWriter(archive)


class CheckpointFile:
    """A checkpoint that was looked at.

    Attributes:
        run: what `CheckpointWriter.finish` was given.
    """

    def __init__(self, path: Path, archive: zipfile.ZipFile) -> None:
        self.path, self._archive = path, archive
        room = path.stat().st_size
        members = {info.filename: info for info in archive.infolist()}
        stored = all(info.compress_type == zipfile.ZIP_STORED for info in members.values())
        if not stored or sum(info.file_size for info in members.values()) > room or _HEAD not in members:
            raise ValueError("its members are not those of a checkpoint")
        if members[_HEAD].file_size > _LARGEST_HEAD:
            raise ValueError("its head is too large")
        content = json.loads(archive.read(_HEAD))
        if not isinstance(content, dict) or content.get("format") != FORMAT or content.get("version") != VERSION:
            raise ValueError("its head is not that of a checkpoint of this version")
        arrays, run = content.get("arrays"), content.get("run")
        if not isinstance(arrays, dict) or not isinstance(run, dict):
            raise ValueError("its head has no arrays or no run")
        self.run: dict[str, Any] = run
        self._arrays = {name: _checked_array(entry, members) for name, entry in arrays.items()}

    def __contains__(self, name: str) -> bool:
        return name in self._arrays

    def check_bytes(self) -> None:
        """Read everything once, a piece at a time. Raises FluidError checkpoint-corrupt where a byte is damaged."""
        try:
            damaged = self._archive.testzip()
        except _DAMAGE as error:
            raise corrupt(self.path, str(error)) from error
        if damaged is not None:
            raise corrupt(self.path, "its bytes are damaged")

    def array(self, name: str) -> npt.NDArray[Any]:
        """An array by its name. Raises FluidError checkpoint-corrupt where it is missing or its bytes are damaged."""
        try:
            member, shape, dtype = self._arrays[name]
            content = self._archive.read(member)
        except (KeyError, *_DAMAGE) as error:
            raise corrupt(self.path, f'"{name}" cannot be read ({error})') from error
        return np.frombuffer(content, dtype).reshape(shape)


def _checked_array(entry: Any, members: dict[str, zipfile.ZipInfo]) -> tuple[str, tuple[int, ...], np.dtype[Any]]:
    if not isinstance(entry, dict):
        raise ValueError("its head describes an array that is none")
    member, shape, kind = entry.get("member"), entry.get("shape"), entry.get("dtype")
    if not isinstance(member, str) or member not in members or kind not in _KINDS or not isinstance(shape, list):
        raise ValueError("its head describes an array that is none")
    if len(shape) > 8 or not all(isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in shape):
        raise ValueError("an array has no shape that makes sense")
    dtype = np.dtype(kind)
    if math.prod(shape) * dtype.itemsize != members[member].file_size:
        raise ValueError("an array has another size than its shape says")
    return member, tuple(shape), dtype


class _Bounded(io.BufferedReader):
    """A file of which never more is asked than it has: `zipfile` believes the lengths that it finds."""

    def __init__(self, path: Path) -> None:
        super().__init__(io.FileIO(path))
        self._size = path.stat().st_size

    def read(self, size: int | None = -1) -> bytes:
        left = max(0, self._size - self.tell())
        return super().read(left if size is None or size < 0 else min(size, left))


@contextmanager
def open_checkpoint(path: Path) -> Iterator[CheckpointFile]:
    """Look at a checkpoint. Raises FluidError checkpoint-corrupt, with what is wrong."""
    with ExitStack() as opened:
        try:
            archive = opened.enter_context(zipfile.ZipFile(opened.enter_context(_Bounded(path))))
            found = CheckpointFile(path, archive)
        except _DAMAGE as error:
            raise corrupt(path, str(error)) from error
        yield found


def corrupt(path: Path, why: str) -> FluidError:
    """What is said of a checkpoint that cannot be used."""
    hint = "Run the simulation without resuming; finished frames are kept."
    return fail("checkpoint-corrupt", f'The checkpoint "{path.name}" cannot be used: {why}.', hint)
