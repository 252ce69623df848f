// SPDX-License-Identifier: GPL-3.0-or-later
// A step of conjugate gradients: the next direction is z = x1 - x0 and `beta` of the last one, and the answer lies
// `alpha` of it away from x0. An invocation has ROWS cells along x.
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
    Floats direction;
    ReadFloats previous;
};

void main() {
    ivec3 at = WORK(BRICK / ROWS, BRICK, BRICK);
    if (at.y >= SIZE_Y || at.z >= SIZE_Z) {
        return;
    }
    float beta = numbers.beta;
    float alpha = numbers.alpha;
    for (int x = at.x * ROWS; x < min(at.x * ROWS + ROWS, SIZE_X); x++) {
        int i = cell_index(x, at.y, at.z);
        float old = previous.v[i];
        precise float towards = unknown.v[i] - old;
        if (beta != 0.0) {
            towards += beta * direction.v[i];
        }
        direction.v[i] = towards;
        precise float answer = old + alpha * towards;
        unknown.v[i] = answer;
    }
}
