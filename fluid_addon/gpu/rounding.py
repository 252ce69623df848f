# SPDX-License-Identifier: GPL-3.0-or-later
"""Every float operation of a kernel is rounded as it is written.

Drivers may fuse and factor out sums and products, and do so otherwise in one kernel than in the next. The same stencil
is another kernel over slabs or leaves than over a dense domain, and has to give the same bits. SPIR-V 1.6, 3.20
"Decoration", NoContraction forbids it, for one instruction each; GLSL says it as `precise`, of variables.
"""

from __future__ import annotations

from .spirv import Op, instructions, module_bytes, module_words

__all__ = ["rounded_as_written"]

_NO_CONTRACTION = 42
#: FNegate, FAdd, FSub, FMul, FDiv, FRem, FMod, the products of vectors and matrices, and those of GLSL.std.450.
_ARITHMETIC = frozenset((127, 129, 131, 133, 136, 140, 141, *range(142, 149), Op.EXT_INST))
_LOOKED_AT = _ARITHMETIC | {Op.DECORATE, Op.MEMBER_DECORATE}


def rounded_as_written(spirv: bytes) -> bytes:
    """A SPIR-V module with NoContraction for all of its float arithmetic."""
    words = module_words(spirv)
    found, decorated, annotations = set(), set(), 0
    for code, operands, place in instructions(words, _LOOKED_AT):
        if code in _ARITHMETIC:
            found.add(operands[1])
            continue
        annotations = annotations or place
        if code == Op.DECORATE and operands[1] == _NO_CONTRACTION:
            decorated.add(operands[0])
    if not annotations:
        return spirv
    added = [word for result in sorted(found - decorated) for word in (3 << 16 | Op.DECORATE, result, _NO_CONTRACTION)]
    return module_bytes([*words[:annotations], *added, *words[annotations:]])
