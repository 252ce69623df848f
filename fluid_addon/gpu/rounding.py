# SPDX-License-Identifier: GPL-3.0-or-later
"""Every float operation of a kernel is rounded as it is written.

Drivers may fuse and factor out sums and products, and do so otherwise in one kernel than in the next. The same stencil
is another kernel over slabs or leaves than over a dense domain, and has to give the same bits. SPIR-V 1.6, 3.20
"Decoration", NoContraction forbids it, for one instruction each; GLSL says it as `precise`, of variables.
"""

from __future__ import annotations

import numpy as np

__all__ = ["rounded_as_written"]

_HEADER = 5  # words of a module before its first instruction
_DECORATE, _MEMBER_DECORATE, _NO_CONTRACTION = 71, 72, 42
#: FNegate, FAdd, FSub, FMul, FDiv, FRem, FMod, the products of vectors and matrices, and those of GLSL.std.450.
_ARITHMETIC = frozenset((127, 129, 131, 133, 136, 140, 141, *range(142, 149), 12))


def rounded_as_written(spirv: bytes) -> bytes:
    """A SPIR-V module with NoContraction for all of its float arithmetic."""
    words = np.frombuffer(spirv, np.uint32).tolist()
    place, found, annotations = _HEADER, set(), 0
    decorated = set()
    while place < len(words):
        code, length = words[place] & 0xFFFF, words[place] >> 16
        if code in (_DECORATE, _MEMBER_DECORATE):
            annotations = annotations or place
            if code == _DECORATE and words[place + 2] == _NO_CONTRACTION:
                decorated.add(words[place + 1])
        elif code in _ARITHMETIC:
            found.add(words[place + 2])
        place += length
    if not annotations:
        return spirv
    added = [word for result in sorted(found - decorated) for word in (3 << 16 | _DECORATE, result, _NO_CONTRACTION)]
    return np.array([*words[:annotations], *added, *words[annotations:]], np.uint32).tobytes()
