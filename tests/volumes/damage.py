# SPDX-License-Identifier: GPL-3.0-or-later
"""Damage to files, the same for the same seed: flipped bits, numbers that are too large, pieces cut out or moved."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np

#: Numbers at which lengths, counts and offsets go wrong.
EXTREMES = (0, 1, 2, 7, 8, 255, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**62, 2**63 - 1, 2**63, 2**64 - 1)


def damaged(data: bytes, random: np.random.Generator, hot: np.ndarray, others: Sequence[bytes] = ()) -> bytes:
    """A copy with one to four kinds of damage.

    Args:
        hot: places where the structure lies; three out of four changes begin there.
        others: files that pieces may come from.
    """
    result = bytearray(data)
    for _ in range(int(random.integers(1, 5))):
        if not result:
            break
        place = int(random.choice(hot)) if random.random() < 0.75 and len(hot) else int(random.integers(len(result)))
        place = min(place, len(result) - 1)
        match int(random.integers(0, 12)):
            case 0 | 1:
                result[place] ^= 1 << int(random.integers(8))
            case 2 | 3:
                result[place] = int(random.choice([0, 1, 0x7F, 0x80, 0xFF, random.integers(256)]))
            case 4 | 5 | 6:
                _write(result, place // 4 * 4, "I", _number(result, place, random) & 0xFFFFFFFF)
            case 7 | 8:
                _write(result, place // 8 * 8, "Q", _number(result, place, random) & 0xFFFFFFFFFFFFFFFF)
            case 9:
                if random.random() < 0.3:
                    del result[int(random.integers(len(result))) :]
            case 10:
                length, start = int(random.integers(1, 300)), int(random.integers(len(result)))
                source = others[int(random.integers(len(others)))] if others else bytes(result)
                result[place : place + length] = source[start : start + length]
            case _:
                length = int(random.integers(1, 64))
                if random.random() < 0.5:
                    del result[place : place + length]
                else:
                    result[place:place] = result[place : place + length]
    return bytes(result)


def _number(data: bytearray, place: int, random: np.random.Generator) -> int:
    near = (len(data), len(data) - place, place, -place, int(random.integers(len(data))), int(random.integers(-64, 64)))
    return int(random.choice(near)) if random.random() < 0.4 else EXTREMES[int(random.integers(len(EXTREMES)))]


def _write(data: bytearray, place: int, form: str, number: int) -> None:
    if place + struct.calcsize(form) <= len(data):
        struct.pack_into("<" + form, data, place, number)
