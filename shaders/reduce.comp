// SPDX-License-Identifier: GPL-3.0-or-later
// One level of a reduction with a fixed tree, so that a result never depends on timing or on the device's width.
// The first level gives one number per leaf of 8x8x8 voxels, in the leaves' order; the further ones combine 512 of them.
// "operation" is generated: VALUE, STORED, LOADED, MAP(v), COMBINE(a, b), IDENTITY, and LEAVES on the first level.
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_buffer_reference : require
#extension GL_EXT_scalar_block_layout : require
#extension GL_EXT_shader_16bit_storage : require

layout(local_size_x_id = 0, local_size_y_id = 1, local_size_z_id = 2) in;
layout(constant_id = 9) const int COUNT = 1;

#include "operation"
#ifdef LEAVES
#include "address.glsl"
#endif

layout(buffer_reference, scalar, buffer_reference_align = ALIGNMENT) restrict readonly buffer Source { STORED v[]; };
layout(buffer_reference, scalar, buffer_reference_align = 4) restrict writeonly buffer Target { VALUE v[]; };
layout(set = 0, binding = 1, scalar) uniform Addresses {
    Source source;
    Target target;
};

const uint LANES = 64u;
shared VALUE lanes[LANES];

void main() {
    uint lane = gl_LocalInvocationIndex;
    VALUE total = IDENTITY;
#ifdef LEAVES
    ivec3 leaf = ivec3(gl_WorkGroupID.zyx);
    uint slot = (gl_WorkGroupID.z * gl_NumWorkGroups.y + gl_WorkGroupID.y) * gl_NumWorkGroups.x + gl_WorkGroupID.x;
    ivec3 row = leaf * 8 + ivec3(lane >> 3u, lane & 7u, 0u);
    for (int z = 0; z < 8; z++) {
        ivec3 c = row + ivec3(0, 0, z);
        if (InDomain(c)) {
            LOADED v = LOADED(source.v[voxel_index(c)]);
            total = COMBINE(total, MAP(v));
        }
    }
#else
    uint slot = gl_WorkGroupID.x;
    uint first = slot * 512u + lane * 8u;
    for (uint i = 0u; i < 8u; i++) {
        if (first + i < uint(COUNT)) {
            total = COMBINE(total, source.v[first + i]);
        }
    }
#endif
    lanes[lane] = total;
    barrier();
    // A start that a compiler cannot know keeps it from unrolling the barriers, which takes lavapipe long.
    for (uint half_width = LANES / 2u * min(gl_NumWorkGroups.x, 1u); half_width > 0u; half_width /= 2u) {
        if (lane < half_width) {
            lanes[lane] = COMBINE(lanes[lane], lanes[lane + half_width]);
        }
        barrier();
    }
    if (lane == 0u) {
        target.v[slot] = lanes[0];
    }
}
