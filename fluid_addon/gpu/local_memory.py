# SPDX-License-Identifier: GPL-3.0-or-later
"""Locals of a kernel hold zero until they are set, and an index into one of their arrays stays inside it.

GLSL leaves both open. A value that was never set would be whatever the device had there, other bits in every run; an
index beyond an array would reach other memory of the driver, which `robustBufferAccess` does not guard: it is about
buffers. Neither costs anything where a driver sees that it does not happen.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from .spirv import BOUND, Instruction, Op, Storage, instructions, module_bytes, module_words, text_of

__all__ = ["guarded_locals"]

_GLSL, _UMIN = "GLSL.std.450", 38  # its instruction set, and the smaller of two unsigned numbers
_LOCAL = (Storage.FUNCTION, Storage.PRIVATE)
#: Instructions that have no result, or none with a type.
_NO_RESULT = frozenset((*range(41), 56, 62, 63, 64, 71, 72, 224, 225, 228, *range(246, 256), 317, 4416, 5380)) - {1, 12}
_VALUES = frozenset((*range(41, 53), Op.VARIABLE))  # constants of all kinds, and global variables

_LOOKED_AT = frozenset(
    (*range(Op.TYPE_BOOL, Op.TYPE_POINTER + 1), *_VALUES, Op.EXT_INST_IMPORT, Op.MEMORY_MODEL, Op.FUNCTION)
) | {Op.ACCESS_CHAIN, Op.IN_BOUNDS_ACCESS_CHAIN, Op.VECTOR_EXTRACT_DYNAMIC, Op.VECTOR_INSERT_DYNAMIC}


@dataclass
class _Module:
    """What is known of a module, and what is to be added to it.

    Attributes:
        inside: what a pointer into local memory points to, by its id.
        added: instructions to be put before the first function.
        glsl: the id of the imported instruction set, which is added where it is missing.
    """

    words: list[int]
    known: dict[int, Instruction] = field(default_factory=dict)
    inside: dict[int, int] = field(default_factory=dict)
    added: list[int] = field(default_factory=list)
    _types: dict[int, int] = field(default_factory=dict)
    _made: dict[tuple[int, ...], int] = field(default_factory=dict)
    glsl: int = 0
    adds_import: bool = False

    def make(self, code: int, before: tuple[int, ...], after: tuple[int, ...] = ()) -> int:
        """The id of a type or constant with these operands around it, added where it is not there yet."""
        key = (code, *before, *after)
        if key not in self._made:
            self._made[key] = self.new_id()
            self.added += [(2 + len(before) + len(after)) << 16 | code, *before, self._made[key], *after]
        return self._made[key]

    def new_id(self) -> int:
        self.words[BOUND] += 1
        return self.words[BOUND] - 1

    def type_of(self, value: int) -> int:
        """The type of a value, by its id."""
        if not self._types:
            for found in instructions(self.words):
                if found.code not in _NO_RESULT and len(found.operands) > 1:
                    self._types[found.operands[1]] = found.operands[0]
        return self._types[value]

    def uint(self) -> int:
        """The id of the type of unsigned numbers."""
        for result, found in self.known.items():
            if found.code == Op.TYPE_INT and list(found.operands[1:]) == [32, 0]:
                return result
        return self.make(Op.TYPE_INT, (), (32, 0))

    def length(self, kind: int) -> int | None:
        """Elements of a vector, a matrix, or an array whose length is written down."""
        found = self.known[kind]
        if found.code in (Op.TYPE_VECTOR, Op.TYPE_MATRIX):
            return found.operands[2]
        if found.code == Op.TYPE_ARRAY:
            return self.value(found.operands[2])
        return None

    def value(self, constant: int) -> int | None:
        found = self.known.get(constant)
        return found.operands[2] if found is not None and found.code == Op.CONSTANT else None

    def element(self, kind: int, index: int) -> int:
        found = self.known[kind]
        if found.code == Op.TYPE_STRUCT:
            return found.operands[1 + (self.value(index) or 0)]
        return found.operands[1]

    def holds_pointers(self, kind: int) -> bool:
        found = self.known[kind]
        if found.code == Op.TYPE_STRUCT:
            return any(map(self.holds_pointers, found.operands[1:]))
        return found.code == Op.TYPE_POINTER or (found.code == Op.TYPE_ARRAY and self.holds_pointers(found.operands[1]))


def guarded_locals(spirv: bytes) -> bytes:
    """A module whose locals start as zero, and whose computed indices into them lie inside."""
    words = module_words(spirv)
    module = _Module(words)
    edits: list[tuple[int, int, list[int]]] = []  # place, words there before, words instead
    functions = imports = 0
    for found in instructions(words, _LOOKED_AT):
        if found.code == Op.FUNCTION:
            functions = functions or found.place
        elif found.code == Op.MEMORY_MODEL:
            imports = found.place
        elif not functions:
            _learn(module, found)
        before = words[found.place : found.place + 1 + len(found.operands)]
        after = _guarded(module, found, before)
        if after is not before:
            added: list[int] = []
            if not functions:  # what a global variable starts as stands before it
                added, module.added = module.added, []
            edits.append((found.place, len(before), [*added, *after]))
    edits.append((functions, 0, module.added))
    if module.adds_import:
        name = [int.from_bytes(f"{_GLSL}\0\0\0"[i : i + 4].encode(), "little") for i in range(0, len(_GLSL) + 1, 4)]
        edits.append((imports, 0, [(2 + len(name)) << 16 | Op.EXT_INST_IMPORT, module.glsl, *name]))
    result: list[int] = []
    done = 0
    for place, length, instead in sorted(edits):
        result += words[done:place]
        result += instead
        done = place + length
    return module_bytes([*result, *words[done:]])


def _learn(module: _Module, found: Instruction) -> None:
    """Take note of a declaration."""
    if found.code == Op.EXT_INST_IMPORT and text_of(found.operands[1:]) == _GLSL:
        module.glsl = found.operands[0]
    elif Op.TYPE_BOOL <= found.code <= Op.TYPE_POINTER:
        module.known[found.operands[0]] = found
    elif found.code in _VALUES:
        module.known[found.operands[1]] = found


def _guarded(module: _Module, found: Instruction, words: list[int]) -> list[int]:
    if found.code == Op.VARIABLE and found.operands[2] in _LOCAL:
        return _set_to_zero(module, found, words)
    if found.code in (Op.ACCESS_CHAIN, Op.IN_BOUNDS_ACCESS_CHAIN) and found.operands[2] in module.inside:
        return _chain(module, found, words)
    if found.code in (Op.VECTOR_EXTRACT_DYNAMIC, Op.VECTOR_INSERT_DYNAMIC):
        return _inside(module, words, -1, module.type_of(found.operands[2]))
    return words


def _set_to_zero(module: _Module, found: Instruction, words: list[int]) -> list[int]:
    pointer, result, _storage = found.operands[:3]
    kind = module.known[pointer].operands[2]
    module.inside[result] = kind
    if len(found.operands) > 3 or module.holds_pointers(kind):
        return words
    zero = module.make(Op.CONSTANT_NULL, (kind,))
    return [words[0] + (1 << 16), *words[1:], zero]


def _chain(module: _Module, found: Instruction, words: list[int]) -> list[int]:
    kind = module.inside[found.operands[2]]
    for number, index in enumerate(found.operands[3:], 3):
        words = _inside(module, words, number - len(found.operands), kind)
        kind = module.element(kind, index)
    module.inside[found.operands[1]] = kind
    return words


def _inside(module: _Module, words: list[int], place: int, kind: int) -> list[int]:
    """An instruction, counted from its end, whose index at a place is made to lie inside a type first."""
    length = module.length(kind)
    value = module.value(words[place])
    if length is None or (value is not None and value < length):
        return words
    if not module.glsl:
        module.glsl, module.adds_import = module.new_id(), True
    uint = module.uint()
    last = module.make(Op.CONSTANT, (uint,), (length - 1,))
    index = module.new_id()
    least = [7 << 16 | Op.EXT_INST, uint, index, module.glsl, _UMIN, words[place], last]
    words = list(words)
    words[place] = index
    return [*least, *words]
