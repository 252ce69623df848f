// SPDX-License-Identifier: GPL-3.0-or-later
// Takes `numbers.mean` out of the unknown.
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_buffer_reference : require
#extension GL_EXT_scalar_block_layout : require

#include "poisson.glsl"

layout(set = 0, binding = 1, scalar) uniform Addresses {
    Floats unknown;
    Numbers numbers;
};

void main() {
    int z = int(gl_GlobalInvocationID.x);
    int y = int(gl_GlobalInvocationID.y);
    int x = int(gl_GlobalInvocationID.z);
    if (z < SIZE_Z && y < SIZE_Y && x < SIZE_X) {
        unknown.v[cell_index(x, y, z)] -= numbers.mean;
    }
}
