// SPDX-License-Identifier: GPL-3.0-or-later
// A step of conjugate gradients: the next direction is z = x1 - x0 and `beta` of the last one, and the answer lies
// `alpha` of it away from x0.
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_buffer_reference : require
#extension GL_EXT_scalar_block_layout : require

#include "variant"
#include "poisson.glsl"

layout(set = 0, binding = 1, scalar) uniform Addresses {
    Floats unknown;
    Numbers numbers;
    Floats direction;
    ReadFloats previous;
};

void main() {
    int z = int(gl_GlobalInvocationID.x);
    int y = int(gl_GlobalInvocationID.y);
    int x = int(gl_GlobalInvocationID.z);
    if (z < SIZE_Z && y < SIZE_Y && x < SIZE_X) {
        int i = cell_index(x, y, z);
        float old = previous.v[i];
        float towards = unknown.v[i] - old;
        if (numbers.beta != 0.0) {
            towards += numbers.beta * direction.v[i];
        }
        direction.v[i] = towards;
        unknown.v[i] = old + numbers.alpha * towards;
    }
}
