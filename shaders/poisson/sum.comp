// SPDX-License-Identifier: GPL-3.0-or-later
// One level of a sum with a fixed tree: 512 partial sums become one, so that a result never depends on timing.
// "variant" defines VALUE, float or vec4.
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_buffer_reference : require
#extension GL_EXT_scalar_block_layout : require

#include "variant"

layout(local_size_x_id = 0, local_size_y_id = 1, local_size_z_id = 2) in;
layout(constant_id = 3) const int COUNT = 1;

layout(buffer_reference, scalar, buffer_reference_align = 4) restrict readonly buffer Source { VALUE v[]; };
layout(buffer_reference, scalar, buffer_reference_align = 4) restrict writeonly buffer Target { VALUE v[]; };
layout(set = 0, binding = 1, scalar) uniform Addresses {
    Source source;
    Target target;
};

const uint LANES = 64u;
shared VALUE lanes[LANES];

void main() {
    uint lane = gl_LocalInvocationIndex;
    uint first = gl_WorkGroupID.x * 512u + lane * 8u;
    VALUE total = VALUE(0.0);
    for (uint i = 0u; i < 8u; i++) {
        if (first + i < uint(COUNT)) {
            total += source.v[first + i];
        }
    }
    lanes[lane] = total;
    barrier();
    // A start that a compiler cannot know keeps it from unrolling the barriers, which takes lavapipe long.
    for (uint half_width = LANES / 2u * min(gl_NumWorkGroups.x, 1u); half_width > 0u; half_width /= 2u) {
        if (lane < half_width) {
            lanes[lane] += lanes[lane + half_width];
        }
        barrier();
    }
    if (lane == 0u) {
        target.v[gl_WorkGroupID.x] = lanes[0];
    }
}
