# SPDX-License-Identifier: GPL-3.0-or-later
"""A bake that is looked at twice a second while a run fills it.

To open a bake of a thousand frames and look at all its files takes long enough to be felt in Blender. Here only what is
new is checked; a frame that was found intact stays so until the manifest says something else of it.
"""

from __future__ import annotations

from pathlib import Path

from .export_path import MANIFEST
from .frame_list import damage
from .manifest import BakedFrame, Checked, read_manifest
from .sequences import BakedSequence, sequences

__all__ = ["GrowingBake"]


class GrowingBake:
    """The frames of the bake in `folder`; `look` brings them up to date.

    Attributes:
        name: of the bake, as its manifest says.
        frames: all of them, in the order in which they were first exported.
        damaged: what is wrong with those whose file is missing or has another size, by path.
        sequences: of the others, in the order in which they were begun: the first one stays the first.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self.name = ""
        self.frames: list[BakedFrame] = []
        self.damaged: dict[str, str] = {}
        self.sequences: list[BakedSequence] = []
        self._checked: Checked = {}
        self._intact: dict[str, BakedFrame] = {}
        self._stamp: tuple[int, ...] = ()

    def look(self) -> None:
        """Raises bake-missing (there is none, or no more), bake-corrupt (its manifest is no good)."""
        stamp = _stamp(self.folder / MANIFEST)
        if stamp and stamp == self._stamp and not self.damaged:
            return
        head, self.frames = read_manifest(self.folder, self._checked)
        self.name = str(head["name"])
        self._stamp = stamp
        self.damaged = {}
        for frame in self.frames:
            if self._intact.get(frame.path) is not frame:
                why = damage(self.folder, frame)
                if why is None:
                    self._intact[frame.path] = frame
                else:
                    self.damaged[frame.path] = why
        intact = [frame for frame in self.frames if frame.path not in self.damaged]
        begun = {frame.path: place for place, frame in enumerate(intact)}
        self.sequences = sorted(sequences(intact), key=lambda found: min(begun[frame.path] for frame in found.frames))


def _stamp(manifest: Path) -> tuple[int, ...]:
    """Changes whenever the manifest is replaced; empty where there is none."""
    try:
        found = manifest.stat()
    except OSError:
        return ()
    return found.st_mtime_ns, found.st_size, found.st_ino
