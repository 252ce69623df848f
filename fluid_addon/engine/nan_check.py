# SPDX-License-Identifier: GPL-3.0-or-later
"""The GLSL by which a kernel notices NaN among the values that it is about to store.

A float is NaN where its bits without the sign exceed those of infinity (IEEE 754). Compared as integers the test holds
for drivers too that take floats for finite, and the largest of several bits tells of all of them at once: the voxels
are only looked at one by one where there is something to find.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from .formats import Format

__all__ = ["FIRST_WORD", "nan_check", "nan_check_types"]

#: Specialisation constant: the status word of a stencil's first output that holds floats; the others' follow.
FIRST_WORD = 30


def nan_check_types() -> list[str]:
    """What a kernel with checks declares."""
    return [
        f"layout(constant_id = {FIRST_WORD}) const int FS_FIRST_WORD = 0;",
        "layout(buffer_reference, scalar, buffer_reference_align = 4) restrict buffer fs_status_words { uint v[]; };",
    ]


def nan_check(format_: Format, values: Sequence[tuple[str, str]], word: int) -> Iterator[str]:
    """Statements that put the lowest index of a voxel with NaN into a status word.

    Args:
        values: (a voxel's value, its index), GLSL expressions.
        word: counted from the stencil's first.
    """
    components = "xyzw"[: format_.components] if format_.components > 1 else ""
    parts = {value: [f"{value}.{c}" for c in components] or [value] for value, _ in values}
    yield f"    if ({_largest(part for each in parts.values() for part in each)} > 0x7f800000u) {{"
    yield "        uint first = 0xffffffffu;"
    for value, index in values:
        yield f"        first = {_largest(parts[value])} > 0x7f800000u ? min(first, uint({index})) : first;"
    yield f"        atomicMin(fs_status.v[FS_FIRST_WORD + {word}], first);"
    yield "    }"


def _largest(parts: Iterable[str]) -> str:
    """The largest bits without sign."""
    bits = [f"(floatBitsToUint({part}) & 0x7fffffffu)" for part in parts]
    text = bits[0]
    for other in bits[1:]:
        text = f"max({text}, {other})"
    return text
