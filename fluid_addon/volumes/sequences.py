# SPDX-License-Identifier: GPL-3.0-or-later
"""Which of a bake's files Blender can show as one animated volume: those whose names differ in their number only."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from .export_path import trailing_number
from .manifest import BakedFrame

__all__ = ["BakedSequence", "sequences"]


@dataclass(frozen=True)
class BakedSequence:
    """Files `<folder>/<prefix><number><suffix>`, sorted by frame. Numbers have at least `digits` digits; 0 means a
    single file without a number."""

    folder: str
    prefix: str
    suffix: str
    digits: int
    frames: tuple[BakedFrame, ...]

    @property
    def first_path(self) -> str:
        """The file to name to Blender: from its digits it learns how the numbers of the others are written."""
        return self.frames[0].path

    @property
    def missing(self) -> list[int]:
        """Numbers between the first and the last frame that have no file."""
        present = {frame.frame for frame in self.frames}
        first, last = self.frames[0].frame, self.frames[-1].frame
        return [number for number in range(first or 0, (last or 0) + 1) if number not in present] if self.digits else []


def sequences(frames: Iterable[BakedFrame]) -> list[BakedSequence]:
    """Group files by folder, prefix, suffix and the way in which their numbers are filled with zeros."""
    groups: dict[tuple[str, str, str], list[tuple[BakedFrame, str]]] = defaultdict(list)
    found: list[BakedSequence] = []
    for frame in frames:
        folder, _, name = frame.path.rpartition("/")
        stem, dot, ending = name.rpartition(".")
        stem, suffix = (stem, dot + ending) if dot else (name, "")
        prefix, number = trailing_number(stem)
        if frame.frame is None:
            found.append(BakedSequence(folder, stem, suffix, 0, (frame,)))
        else:
            groups[folder, prefix, suffix].append((frame, number))
    for (folder, prefix, suffix), members in groups.items():
        by_digits: dict[int, list[BakedFrame]] = defaultdict(list)
        padded = {len(number) for _, number in members if number[0] == "0" and len(number) > 1}
        for frame, number in members:
            if number[0] == "0" and len(number) > 1:
                by_digits[len(number)].append(frame)
            else:  # 1000 carries 0999 on, but 5 does not carry 0004 on
                by_digits[max((width for width in padded if width <= len(number)), default=1)].append(frame)
        for digits, chosen in by_digits.items():
            chosen.sort(key=lambda frame: frame.frame or 0)
            if digits == 1:  # the first name has the fewest digits
                digits = len(trailing_number(Path(chosen[0].path).stem)[1])
            found.append(BakedSequence(folder, prefix, suffix, digits, tuple(chosen)))
    return sorted(found, key=lambda sequence: (sequence.folder, sequence.prefix, sequence.suffix, sequence.digits))
