# SPDX-License-Identifier: GPL-3.0-or-later
"""Metadata in a VDB file: names, types and raw values, each with a length that its type can have.

OpenVDB reads as many bytes as a type has, whatever length the file says, so a wrong length lets it take what follows
for something else. It also believes what the sizes of leaves say about themselves ("__delayedload").

Source: the public OpenVDB sources (Metadata.h, openvdb.cc, io/DelayedLoadMetadata.cc).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .blosc_chunks import HEADER, chunk_problem

if TYPE_CHECKING:
    from .vdb_structure import Cursor

__all__ = ["HALF", "read_metadata"]

#: What says whether a grid's floats are stored in 16 bits. OpenVDB goes by it, and not by the type that the file names.
HALF = "is_saved_as_half_float"

#: The bytes of a value, by OpenVDB's names of types. It passes over types that it does not know by the length alone.
_BYTES = {
    "bool": 1,
    "float": 4,
    "double": 8,
    "int32": 4,
    "int64": 8,
    **{f"vec{n}{letter}": n * size for n in (2, 3, 4) for letter, size in (("i", 4), ("s", 4), ("d", 8))},
    "mat4s": 64,
    "mat4d": 128,
    **{name + bits: int(bits) // 8 for name in ("ptidx", "ptdataidx") for bits in ("32", "64")},
}
_MOST = 10_000  # entries
_PADDED = 128  # OpenVDB makes shorter arrays this long before it packs them
_LEAF_BYTES = 64  # that each leaf takes at least elsewhere in the file


def read_metadata(cursor: Cursor, whose: str, file_size: int) -> tuple[dict[str, bytes], int | None]:
    """Names and raw values of a metadata map, and of how many leaves it says the sizes, where it does.

    Raises FluidError grid-file-corrupt, and grid-file-kind where there are too many.
    """
    source = cursor.data.source
    values: dict[str, bytes] = {}
    leaves: int | None = None
    count = cursor.number("I", f"the number of metadata of {whose}")
    for number in range(count):
        if number == _MOST:
            raise source.too_large(f"{whose} has {count:,} metadata")
        name = cursor.text("the name of metadata")
        kind = cursor.text("the type of metadata")
        value = bytes(cursor.take(cursor.number("I", "the length of metadata"), f'the metadata "{name}"'))
        if len(value) != _BYTES.get(kind, len(value)):
            raise source.corrupt(f'the metadata "{name}" of {whose} has {len(value):,} bytes and is of type "{kind}"')
        if name in values:
            raise source.corrupt(f'{whose} has the metadata "{name}" twice')
        if name == HALF and kind != "bool":
            raise source.corrupt(f'the metadata "{name}" of {whose} is of type "{kind}"')
        if kind == "__delayedload" and value:
            leaves = _leaf_sizes(value, file_size)
            if leaves is None:
                raise source.corrupt(f'the metadata "{name}" of {whose} does not hold what it says')
        values[name] = value
    return values, leaves


def _leaf_sizes(value: bytes, file_size: int) -> int | None:
    """How many leaves it is about; None where its parts, a byte and a length for each leaf, do not fit."""
    count, position = int.from_bytes(value[:4], "little"), 4
    if count * _LEAF_BYTES > file_size:
        return None
    for size in (count, 8 * count):
        if position + 4 > len(value):
            return None
        packed = int.from_bytes(value[position : position + 4], "little")
        position += 4
        if packed == 0xFFFFFFFF and size != count:  # no lengths
            continue
        if position + (packed or size) > len(value):
            return None
        if packed:
            if packed < HEADER:
                return None
            chunk = value[position : position + packed]
            if all(chunk_problem(chunk, fitting) for fitting in (size, max(size, _PADDED))):
                return None
        position += packed or size
    return count
