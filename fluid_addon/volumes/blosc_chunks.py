# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether data packed by Blosc say of themselves what is true: OpenVDB hands them on without their length.

Source: the public description of Blosc's format (c-blosc, README_CHUNK_FORMAT.rst): version, version of the codec,
flags and size of an element in a byte each, then unpacked size, size of a block and packed size in 32 bits each;
behind this the start of each block, unless the flags say that nothing is packed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["HEADER", "chunk_problem", "first_bad_chunk"]

HEADER = 16
_FORM = np.dtype([("version", "u1"), ("codec", "u1"), ("flags", "u1"), ("element", "u1"), ("sizes", "<i4", 3)])
_FORMAT = 2
_COPIED = 2  # the flag of data that could not be packed
_PIECE = 1 << 16  # chunks that are looked at together


def chunk_problem(chunk: bytes, size: int) -> bool:
    """Whether something is wrong with a chunk that should become `size` bytes."""
    if len(chunk) < HEADER:
        return True
    return first_bad_chunk(memoryview(chunk), [0], [len(chunk)], [size]) is not None


def first_bad_chunk(
    data: memoryview, starts: Sequence[int], packed: Sequence[int], unpacked: Sequence[int]
) -> int | None:
    """The number of the first chunk that does not hold what it must; None where all are fine.

    Args:
        starts, packed, unpacked: of each chunk, where it begins, its length in the data, and what it should become.
    """
    raw = np.frombuffer(data, np.uint8)
    for first in range(0, len(starts), _PIECE):
        part = slice(first, first + _PIECE)
        at, length, size = (np.array(numbers[part], np.int64) for numbers in (starts, packed, unpacked))
        enough = (length >= HEADER) & (at + HEADER <= len(raw))
        places = np.where(enough, at, 0)[:, None] + np.arange(HEADER)
        bad = ~enough if len(raw) < HEADER else ~enough | _wrong(raw[places], length, size)
        if bad.any():
            return first + int(bad.argmax())
    return None


def _wrong(heads: NDArray[np.uint8], length: NDArray[np.int64], size: NDArray[np.int64]) -> NDArray[np.bool_]:
    head: NDArray[Any] = np.ascontiguousarray(heads).view(_FORM)[:, 0]
    whole, block, claimed = head["sizes"].astype(np.int64).T
    copied = (head["flags"] & _COPIED) != 0
    blocks = -(-whole // np.maximum(block, 1))
    wrong = (head["version"] != _FORMAT) | (whole != size) | (claimed != length) | (head["element"] == 0)
    wrong |= (whole > 0) & ((block < 1) | (block > whole))
    wrong |= np.where(copied, claimed != whole + HEADER, HEADER + 4 * blocks > claimed)
    result: NDArray[np.bool_] = wrong
    return result
