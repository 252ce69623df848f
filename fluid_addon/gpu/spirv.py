# SPDX-License-Identifier: GPL-3.0-or-later
"""SPIR-V modules as instructions: enough to look at what a kernel declares, and to add to it.

Numbers and layouts are those of the SPIR-V Specification 1.6, 2.3 "Physical Layout" and 3 "Binary Form".
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from enum import IntEnum
from typing import NamedTuple

import numpy as np

__all__ = ["HEADER", "MAGIC", "Instruction", "Op", "Storage", "instructions", "module_bytes", "module_words", "text_of"]

HEADER = 5  # words before the first instruction; the fourth is the bound of ids
BOUND = 3
MAGIC = b"\x03\x02\x23\x07"


class Op(IntEnum):
    """The instructions that are looked at or made."""

    EXTENSION = 10
    EXT_INST_IMPORT = 11
    EXT_INST = 12
    MEMORY_MODEL = 14
    ENTRY_POINT = 15
    CAPABILITY = 17
    TYPE_BOOL = 20
    TYPE_INT = 21
    TYPE_VECTOR = 23
    TYPE_MATRIX = 24
    TYPE_IMAGE = 25
    TYPE_SAMPLER = 26
    TYPE_SAMPLED_IMAGE = 27
    TYPE_ARRAY = 28
    TYPE_STRUCT = 30
    TYPE_POINTER = 32
    CONSTANT = 43
    CONSTANT_NULL = 46
    FUNCTION = 54
    VARIABLE = 59
    ACCESS_CHAIN = 65
    IN_BOUNDS_ACCESS_CHAIN = 66
    DECORATE = 71
    MEMBER_DECORATE = 72
    VECTOR_EXTRACT_DYNAMIC = 77
    VECTOR_INSERT_DYNAMIC = 78
    CONTROL_BARRIER = 224
    ATOMIC_FIRST = 227
    ATOMIC_LAST = 242
    LOOP_MERGE = 246
    KILL = 252
    TERMINATE_INVOCATION = 4416
    DEMOTE = 5380


class Storage(IntEnum):
    """Storage classes."""

    INPUT = 1
    UNIFORM = 2
    WORKGROUP = 4
    PRIVATE = 6
    FUNCTION = 7
    PHYSICAL = 5349


class Instruction(NamedTuple):
    """`place` is that of its first word in the module; `operands` are the words behind it."""

    code: int
    operands: list[int]
    place: int


def module_words(spirv: bytes) -> list[int]:
    """The words of a module."""
    words: list[int] = np.frombuffer(spirv, np.uint32).tolist()
    return words


def module_bytes(words: Sequence[int]) -> bytes:
    """The module of these words."""
    return np.array(words, np.uint32).tobytes()


def instructions(words: list[int], codes: Collection[int] | None = None) -> Iterator[Instruction]:
    """The instructions in order, or those of some codes.

    Raises:
        ValueError: one has no length, or reaches beyond the end.
    """
    place, size = HEADER, len(words)
    while place < size:
        code, length = words[place] & 0xFFFF, words[place] >> 16
        if not 0 < length <= size - place:
            raise ValueError(f"the instruction at word {place} has {length} words")
        if codes is None or code in codes:
            yield Instruction(code, words[place + 1 : place + length], place)
        place += length


def text_of(operands: Sequence[int]) -> str:
    """The text that operands begin with."""
    raw = b"".join(word.to_bytes(4, "little") for word in operands)
    return raw.partition(b"\0")[0].decode("utf-8", "replace")
