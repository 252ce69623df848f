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


def nan_check(stored: Sequence[tuple[Format, Sequence[str]]], places: Sequence[str]) -> Iterator[str]:
    """Statements that put the lowest index of a voxel with NaN into the status word of its output.

    Args:
        stored: of each output that holds floats, its format and the voxels' values, GLSL expressions.
        places: the voxels' indices.
    """
    if not stored:
        return
    parts = {value: _components(format_, value) for format_, values in stored for value in values}
    yield f"    if ({_largest(part for each in parts.values() for part in each)} > 0x7f800000u) {{"
    for word, (_, values) in enumerate(stored):
        yield f"        uint first_{word} = 0xffffffffu;"
        for value, place in zip(values, places, strict=True):
            found = f"{_largest(parts[value])} > 0x7f800000u"
            yield f"        first_{word} = {found} ? min(first_{word}, uint({place})) : first_{word};"
        yield f"        atomicMin(fs_status.v[FS_FIRST_WORD + {word}], first_{word});"
    yield "    }"


def _components(format_: Format, value: str) -> list[str]:
    return [f"{value}.{c}" for c in "xyzw"[: format_.components]] if format_.components > 1 else [value]


def _largest(parts: Iterable[str]) -> str:
    """The largest bits without sign, two and two."""
    bits = [f"(floatBitsToUint({part}) & 0x7fffffffu)" for part in parts]
    while len(bits) > 1:
        pairs = [f"max({a}, {b})" for a, b in zip(bits[::2], bits[1::2], strict=False)]
        bits = pairs + bits[len(pairs) * 2 :]
    return bits[0]
