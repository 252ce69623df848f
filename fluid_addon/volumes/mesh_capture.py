# SPDX-License-Identifier: GPL-3.0-or-later
"""Meshes of a scene over its frames, in a folder: written while Blender steps through them, read by a run.

Arrays are stored under a hash of their content, so what does not change over the frames is there once; `capture.json`
says which arrays each frame of each object has, and is written last.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..diagnostics import fail, printable
from .atomic import disk_problem, write_bytes_atomically
from .mesh import Mesh, checked_mesh

__all__ = ["INDEX", "CapturedMeshes", "MeshCapture", "MeshCaptureWriter"]

INDEX = "capture.json"
_FORMAT = 1
_LARGEST_INDEX = 64 << 20  # bytes
_HEAD = re.compile(rb"\{'descr': '<([fi])4', 'fortran_order': False, 'shape': \(([0-9]{1,9}), 3\), \} *\n")
_ARRAY = re.compile(r"[0-9a-f]{32}")  # what an array may be called: a hash, never a path


class MeshCaptureWriter:
    """Writes a capture into a folder that it makes.

    Raises:
        FluidError: `disk-full`, `disk-error`; so do all methods.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._frames: dict[str, dict[int, tuple[str, str]]] = {}
        try:
            folder.mkdir(parents=True)
        except OSError as error:
            raise disk_problem(folder, error) from error

    def add(self, name: str, frame: int, points: NDArray[np.float32], triangles: NDArray[np.int32]) -> None:
        """An object in a frame: points (n, 3) in world space, triangles (m, 3).

        Raises:
            FluidError: also `mesh-broken` for a mesh that no run could use.
        """
        checked_mesh(f'the object "{name}" in frame {frame}', points, triangles)
        self._frames.setdefault(name, {})[frame] = self._stored(points), self._stored(triangles)

    def _stored(self, array: NDArray[Any]) -> str:
        array = np.ascontiguousarray(array)
        name = hashlib.blake2b(array.data, digest_size=16, person=array.dtype.str.encode()).hexdigest()
        path = self.folder / f"{name}.npy"
        if not path.exists():
            try:
                with path.open("xb") as file:
                    np.save(file, array, allow_pickle=False)
            except OSError as error:
                raise disk_problem(path, error, array.nbytes) from error
        return name

    def finish(self) -> None:
        """Write down what there is."""
        frames = {name: sorted((f, *arrays) for f, arrays in by.items()) for name, by in self._frames.items()}
        text = json.dumps({"format": _FORMAT, "objects": frames})
        write_bytes_atomically(self.folder / INDEX, text.encode("utf-8", "surrogatepass"))

    def discard(self) -> None:
        """Delete the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)


class MeshCapture:
    """The meshes of a capture. Raises FluidError `mesh-broken` where there is none that can be read."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        try:
            if (folder / INDEX).stat().st_size > _LARGEST_INDEX:
                raise ValueError("its list is too long")
            said = json.loads((folder / INDEX).read_bytes())
            self._objects: dict[str, dict[int, tuple[str, str]]] = {
                name: {int(frame): (str(points), str(triangles)) for frame, points, triangles in frames}
                for name, frames in said["objects"].items()
            }
            for frames in self._objects.values():
                if not all(_ARRAY.fullmatch(name) for pair in frames.values() for name in pair):
                    raise ValueError("it names arrays that are none")
                if frames and max(frames) - min(frames) != len(frames) - 1:
                    raise ValueError("a frame is missing")
        except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            message = f'"{folder}" holds no captured meshes ({printable(str(error)[:200])}).'
            raise fail("mesh-broken", message, "Run it again.") from error

    def source(self, name: str) -> CapturedMeshes:
        """An object's meshes. Raises FluidError `unknown-object`."""
        frames = self._objects.get(name)
        if not frames:
            message = f'The object "{name}" was not captured before the run.'
            hint = "The script must ask for the same objects each time: it may not depend on computed values."
            raise fail("unknown-object", message, hint)
        return CapturedMeshes(name, self._folder, frames)


class CapturedMeshes:
    """An object's meshes by frame; frames before the first and after the last show those."""

    def __init__(self, name: str, folder: Path, frames: dict[int, tuple[str, str]]) -> None:
        self._name, self._folder, self._frames = name, folder, frames
        self._first, self._last = min(frames), max(frames)
        self._arrays: OrderedDict[str, NDArray[Any]] = OrderedDict()

    def key(self, frame: int) -> tuple[str, str]:
        return self._frames[min(max(frame, self._first), self._last)]

    def mesh(self, frame: int) -> Mesh:
        points, triangles = self.key(frame)
        return checked_mesh(f'the object "{self._name}"', self._array(points), self._array(triangles))

    def _array(self, name: str) -> NDArray[Any]:
        if name not in self._arrays:
            try:
                self._arrays[name] = _read_array(self._folder / f"{name}.npy")
            except (OSError, ValueError, EOFError) as error:
                message = f'The captured mesh of "{self._name}" cannot be read ({printable(str(error)[:200])}).'
                raise fail("mesh-broken", message, "Run it again.") from error
            if len(self._arrays) > 4:  # points and triangles of a frame and the one before it
                self._arrays.popitem(last=False)
        self._arrays.move_to_end(name)
        return self._arrays[name]


def _read_array(path: Path) -> NDArray[Any]:
    """Points or triangles as the writer stores them; memory is taken for what the file has, not for what it claims."""
    with path.open("rb") as file:
        magic, length = file.read(8), int.from_bytes(file.read(2), "little")
        head = _HEAD.fullmatch(file.read(length))  # numpy's own reader has Python read it
        if magic != b"\x93NUMPY\1\0" or head is None:
            raise ValueError("it holds neither points nor triangles")
        if path.stat().st_size - file.tell() != int(head[2]) * 12:
            raise ValueError("it is damaged")
        return np.fromfile(file, np.float32 if head[1] == b"f" else np.int32).reshape(-1, 3)
