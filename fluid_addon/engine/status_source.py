# SPDX-License-Identifier: GPL-3.0-or-later
"""The GLSL by which a kernel fills its status words: NaN among what it is about to store, loops that had to be ended,
reads at places that are none.

A float is NaN where its bits without the sign exceed those of infinity (IEEE 754). Compared as integers the test holds
for drivers too that take floats for finite, and the largest of several bits tells of all of them at once: the voxels
are only looked at one by one where there is something to find. Whatever else is noticed comes as such bits as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from .formats import Format

__all__ = ["FIRST_WORD", "Noticed", "nan_noticed", "status_checks", "status_types"]

#: Specialisation constant: a stencil's first status word. Each counted loop has one, each output that holds floats, and
#: the reads at computed places; `watches` has them in this order.
FIRST_WORD = 30


def status_types() -> list[str]:
    """What a kernel with checks declares."""
    return [
        f"layout(constant_id = {FIRST_WORD}) const int FS_FIRST_WORD = 0;",
        "layout(buffer_reference, scalar, buffer_reference_align = 4) restrict buffer fs_status_words { uint v[]; };",
    ]


@dataclass(frozen=True)
class Noticed:
    """Something that has a word.

    Attributes:
        word: which of the stencil's, a number or an expression.
        bits: for each voxel an expression: more than 0x7f800000 where it happened.
    """

    word: int | str
    bits: Sequence[str]


def nan_noticed(format_: Format, value: str) -> str:
    """The bits of a voxel's value, a GLSL expression."""
    parts = [f"{value}.{c}" for c in "xyzw"[: format_.components]] if format_.components > 1 else [value]
    return _largest(f"(floatBitsToUint({part}) & 0x7fffffffu)" for part in parts)


def status_checks(noticed: Sequence[Noticed], places: Sequence[str]) -> Iterator[str]:
    """Statements that put the lowest index of a voxel into the word of what happened there.

    Args:
        places: the voxels' indices.
    """
    if not noticed:
        return
    yield f"    if ({_largest(bits for each in noticed for bits in each.bits)} > 0x7f800000u) {{"
    for number, each in enumerate(noticed):
        yield f"        uint first_{number} = 0xffffffffu;"
        for bits, place in zip(each.bits, places, strict=True):
            first = f"first_{number}"
            yield f"        {first} = {bits} > 0x7f800000u ? min({first}, uint({place})) : {first};"
        yield f"        atomicMin(fs_status.v[FS_FIRST_WORD + {each.word}], first_{number});"
    yield "    }"


def _largest(parts: Iterable[str]) -> str:
    """The largest of some bits, two and two."""
    bits = list(parts)
    while len(bits) > 1:
        pairs = [f"max({a}, {b})" for a, b in zip(bits[::2], bits[1::2], strict=False)]
        bits = pairs + bits[len(pairs) * 2 :]
    return bits[0]
