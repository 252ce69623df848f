// SPDX-License-Identifier: GPL-3.0-or-later
// One number for each leaf of a field, over a fixed tree inside the leaf: it never depends on timing, on the device's
// width, or on how the leaves are stored. The host combines the leaves in their order.
// "operation" is generated: VALUE, STORED, LOADED, MAP(v), COMBINE(a, b), IDENTITY, EDGE (voxels along a leaf), and
// SPARSE where only active leaves are stored.
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_buffer_reference : require
#extension GL_EXT_scalar_block_layout : require
#extension GL_EXT_shader_16bit_storage : require

layout(local_size_x_id = 0, local_size_y_id = 1, local_size_z_id = 2) in;

#include "operation"
#include "address.glsl"

layout(buffer_reference, scalar, buffer_reference_align = ALIGNMENT) restrict readonly buffer Source { STORED v[]; };
layout(buffer_reference, scalar, buffer_reference_align = 4) restrict writeonly buffer Target { VALUE v[]; };
#ifdef SPARSE
layout(buffer_reference, scalar, buffer_reference_align = 4) restrict readonly buffer fs_Numbers { int v[]; };
layout(buffer_reference, scalar, buffer_reference_align = 8) restrict readonly buffer fs_Table { ivec2 v[]; };
#endif
layout(set = 0, binding = 1, scalar) uniform Addresses {
    Source source;
    Target target;
#ifdef SPARSE
    fs_Numbers fs_order;
    fs_Numbers fs_records;
    fs_Table fs_table;
    ivec2 fs_run;
#else
    int first_leaf; // the first plane of leaves that is computed here
    int first_plane; // the first plane of voxels that is held here
#endif
};
#ifdef SPARSE
const int FS_EDGE = EDGE;
#include "storage_leaves.glsl"
#endif

const uint LANES = 64u;
shared VALUE lanes[LANES];

void main() {
    uint lane = gl_LocalInvocationIndex;
    VALUE total = IDENTITY;
#ifdef SPARSE
    if (!fs_enter()) {
        return;
    }
    ivec3 leaf = fs_leaf;
    uint slot = gl_WorkGroupID.y + gl_WorkGroupID.z * gl_NumWorkGroups.y;
#else
    ivec3 leaf = ivec3(gl_WorkGroupID.zyx) + ivec3(first_leaf, 0, 0);
    uint slot = (gl_WorkGroupID.z * gl_NumWorkGroups.y + gl_WorkGroupID.y) * gl_NumWorkGroups.x + gl_WorkGroupID.x;
#endif
    for (int row = int(lane); row < EDGE * EDGE; row += int(LANES)) {
        ivec3 at = ivec3(row / EDGE, row % EDGE, 0);
        for (at.z = 0; at.z < EDGE; at.z++) {
            ivec3 c = leaf * EDGE + at;
            if (InDomain(c)) {
#ifdef SPARSE
                int i = fs_slot * FS_LEAF_VOXELS + (at.x * EDGE + at.y) * EDGE + at.z;
#else
                int i = dense_index(c - ivec3(first_plane, 0, 0));
#endif
                LOADED v = LOADED(source.v[i]);
                total = COMBINE(total, MAP(v));
            }
        }
    }
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
