// SPDX-License-Identifier: GPL-3.0-or-later
// Takes `numbers.mean` out of the unknown. An invocation has ROWS cells along x.
// "variant" defines ROWS, and what applies of BRICK.
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_buffer_reference : require
#extension GL_EXT_scalar_block_layout : require

#include "variant"
#include "poisson.glsl"

layout(set = 0, binding = 1, scalar) uniform Addresses {
    TOPOLOGY
    Floats unknown;
    Numbers numbers;
};

void main() {
    ivec3 at = WORK(BRICK / ROWS, BRICK, BRICK);
    if (at.y >= SIZE_Y || at.z >= SIZE_Z) {
        return;
    }
    float mean = numbers.mean;
    int first = first_own_plane(at.x, ROWS);
    for (int x = first; x < min(first + ROWS, SIZE_X); x++) {
        unknown.v[cell_index(x, at.y, at.z)] -= mean;
    }
}
