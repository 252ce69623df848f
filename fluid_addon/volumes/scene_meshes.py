# SPDX-License-Identifier: GPL-3.0-or-later
"""The mesh objects that a script can ask for by name: captured from a Blender scene, or mesh files."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Protocol

from ..diagnostics import did_you_mean, fail
from .mesh import Mesh
from .mesh_capture import MeshCapture
from .obj_reader import read_obj

__all__ = ["MeshFiles", "MeshSource", "SceneMeshes"]

_NUMBERED = re.compile(r"(.*?)_?(\d{2,})")


class MeshSource(Protocol):
    """A mesh by frame; frames before the first and after the last show those."""

    def key(self, frame: int) -> Hashable:
        """Equal for frames that show the same mesh."""
        ...

    def mesh(self, frame: int) -> Mesh:
        """Raises FluidError `mesh-broken`."""
        ...


class MeshFiles:
    """One OBJ file, or one for each of some frames; the other frames show the nearest earlier one.

    Args:
        path: a file, or a pattern whose #### stands for the frame's number.

    Raises:
        FluidError: `mesh-broken`.
    """

    def __init__(self, path: Path) -> None:
        self._frames = {0: path}
        if "#" in path.name:
            self._frames = _numbered_files(path)
        self._numbers = sorted(self._frames)
        if not self._frames or not self._frames[self._numbers[0]].is_file():
            raise fail("mesh-broken", f'There is no mesh file "{path}".', "Look at the path and at its spelling.")
        self._read: OrderedDict[Path, Mesh] = OrderedDict()

    def key(self, frame: int) -> Path:
        return self._frames[max((n for n in self._numbers if n <= frame), default=self._numbers[0])]

    def mesh(self, frame: int) -> Mesh:
        path = self.key(frame)
        if path not in self._read:
            self._read[path] = read_obj(path)
            if len(self._read) > 2:  # a frame and the one before it
                self._read.popitem(last=False)
        return self._read[path]


def _numbered_files(pattern: Path) -> dict[int, Path]:
    start, marks, end = re.split(r"(#+)", pattern.name, maxsplit=1)
    name = re.compile(re.escape(start) + rf"(\d{{{len(marks)},}})" + re.escape(end))
    try:
        found = [(match, path) for path in pattern.parent.iterdir() if (match := name.fullmatch(path.name))]
    except OSError:
        return {}
    return {int(match[1]): path for match, path in found}


class SceneMeshes:
    """What `scene.object` finds.

    Args:
        folder: where `Ball.obj`, or `Ball_0001.obj` and so on, is looked for.
        files: path or pattern of further files by name of object; they count before those in the folder.
        scene: in Blender the objects of the scene by name, each with what it is where that is no mesh, else "". Files
            do not count then.
        capture: folder of the meshes that were captured of them; None while nothing is captured yet.
    """

    def __init__(
        self,
        folder: Path,
        files: Mapping[str, str] | None = None,
        scene: Mapping[str, str] | None = None,
        capture: str | None = None,
    ) -> None:
        self._scene = scene
        self._capture = MeshCapture(Path(capture)) if capture is not None else None
        self._files = {name: Path(path) for name, path in (files or {}).items()}
        self._folder = folder

    def check(self, name: str) -> None:
        """Raises FluidError `unknown-object` where nothing of that name can be had."""
        if self._scene is None:
            known = {**_meshes_in(self._folder), **self._files}
            if name not in known:
                hint = did_you_mean(name, known) if known else None
                hint = hint or f'Put a mesh "{name}.obj" beside the script, or add --object "{name}=FILE.obj".'
                raise fail("unknown-object", f'There is no object "{name}".', hint)
        elif name not in self._scene:
            usable = [other for other, kind in self._scene.items() if not kind]
            hint = did_you_mean(name, usable) or "The scene has no mesh objects yet: add one."
            raise fail("unknown-object", f'The scene has no object "{name}".', hint)
        elif self._scene[name]:
            message = f'The object "{name}" is {self._scene[name]}, which has no faces.'
            raise fail("unknown-object", message, "Use a mesh, or what Blender can turn into one.")

    def source(self, name: str) -> MeshSource | None:
        """The object's meshes; None where they are captured only later.

        Raises:
            FluidError: `unknown-object`, `mesh-broken`.
        """
        self.check(name)
        if self._scene is not None:
            return self._capture.source(name) if self._capture is not None else None
        return MeshFiles(self._files[name] if name in self._files else _meshes_in(self._folder)[name])


def _meshes_in(folder: Path) -> dict[str, Path]:
    """The mesh files of a folder by name of object; numbered ones by their pattern."""
    found: dict[str, Path] = {}
    try:
        paths = sorted(path for path in folder.iterdir() if path.suffix.lower() == ".obj" and path.is_file())
    except OSError:
        return found
    for path in paths:
        numbered = _NUMBERED.fullmatch(path.stem)
        if numbered and numbered[1]:
            pattern = path.stem[: numbered.start(2)] + "#" * len(numbered[2])
            found.setdefault(numbered[1], path.with_name(pattern + path.suffix))
    found.update({path.stem: path for path in paths})
    return found
