// SPDX-License-Identifier: GPL-3.0-or-later
// What the cells of each leaf add up to, one after the other with z fastest: the same bits however cells are stored.
// The host adds up the leaves. The source is of the type VALUE, with SIZE_X, SIZE_Y and SIZE_Z values along the axes and
// EDGE along those of a leaf. "variant" defines VALUE, EDGE, and where values lie in bricks, BRICK as the same number.
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_buffer_reference : require
#extension GL_EXT_scalar_block_layout : require

#include "variant"
#include "poisson.glsl"

layout(buffer_reference, scalar, buffer_reference_align = 4) restrict readonly buffer Source { VALUE v[]; };
layout(buffer_reference, scalar, buffer_reference_align = 4) restrict writeonly buffer Sums { VALUE v[]; };
layout(set = 0, binding = 1, scalar) uniform Addresses {
    TOPOLOGY
    Source source;
    Sums sums;
};

void main() {
    int number = invocation();
#ifdef BRICK
    ivec3 at = WORK(1, 1, 1);
#else
    const int leaves_y = (SIZE_Y + EDGE - 1) / EDGE, leaves_z = (SIZE_Z + EDGE - 1) / EDGE;
    ivec3 at = ivec3(number / (leaves_y * leaves_z), number / leaves_z % leaves_y, number % leaves_z);
#endif
    if (at.x * EDGE >= SIZE_X) {
        return;
    }
    precise VALUE sum = VALUE(0.0);
    for (int x = at.x * EDGE; x < min(at.x * EDGE + EDGE, SIZE_X); x++) {
        for (int y = at.y * EDGE; y < min(at.y * EDGE + EDGE, SIZE_Y); y++) {
            for (int z = at.z * EDGE; z < min(at.z * EDGE + EDGE, SIZE_Z); z++) {
                sum += source.v[cell_index(x, y, z)];
            }
        }
    }
    sums.v[number] = sum;
}
