// SPDX-License-Identifier: GPL-3.0-or-later
// The active leaves of a domain in slots of FS_EDGE^3 voxels, z fastest; slot 0 is the background leaf, which stands for
// every leaf that is not active. The Python twins are fluid_addon/engine/places.py and leaves.py.
// A dispatch has (invocations of a leaf / workgroup, leaves, more leaves) workgroups; `fs_run.x` is the range of the leaf
// order that it computes.
#ifdef FS_SLABS
#include "halo.glsl"
#endif

const int FS_ORDER_HEADER = 8;
const int FS_RECORD = 32; // numbers of a leaf: 27 neighbours, its coordinates, its number in the box
const int FS_RECORD_INDEX = 30;
const int FS_LEAF_VOXELS = FS_EDGE * FS_EDGE * FS_EDGE;
const int FS_LEAVES_Y = (FS_SIZE_Y + FS_EDGE - 1) / FS_EDGE;
const int FS_LEAVES_Z = (FS_SIZE_Z + FS_EDGE - 1) / FS_EDGE;

int fs_slot = 0;
ivec3 fs_leaf = ivec3(0);

// The leaf of this workgroup. False: there is none.
bool fs_enter() {
    int number = int(gl_WorkGroupID.y + gl_WorkGroupID.z * gl_NumWorkGroups.y);
    int first = fs_order.v[2 * fs_run.x];
    if (number >= fs_order.v[2 * fs_run.x + 1]) {
        return false;
    }
    fs_slot = fs_order.v[FS_ORDER_HEADER + first + number];
    int leaf = fs_records.v[fs_slot * FS_RECORD + FS_RECORD_INDEX]; // one load: divisions by constants cost less
    int row = leaf / FS_LEAVES_Z;
    fs_leaf = ivec3(row / FS_LEAVES_Y, row % FS_LEAVES_Y, leaf % FS_LEAVES_Z);
    return true;
}

// The number of this invocation among those of its leaf.
int fs_invocation() {
    return int(gl_GlobalInvocationID.x);
}

// Where the neighbour at (dx, dy, dz) begins in a field's buffer.
int fs_neighbour(const int dx, const int dy, const int dz) {
    return fs_records.v[fs_slot * FS_RECORD + 13 + 9 * dx + 3 * dy + dz] * FS_LEAF_VOXELS;
}

// The slots of the leaf at a place in the table and of the next one along z, in one load where that is cheaper.
ivec2 fs_slots(const int place) {
#ifdef FS_WORDS
    ivec2 found = ivec2(unpackUint2x32(fs_table.v[place]));
#else
    ivec2 found = fs_table.v[place];
#endif
#ifdef FS_SLABS
    found = max(found, ivec2(0)); // leaves of other devices
#endif
    return found;
}

ivec2 fs_slots(const int x, const int y, const int z) {
    return fs_slots((x * FS_LEAVES_Y + y) * FS_LEAVES_Z + z);
}

int voxel_index(const ivec3 c, const bool asked) {
#ifdef FS_SLABS
    fs_hold(c.x, asked, fs_held, FS_SIZE_X, FS_SCALE);
#endif
    ivec3 leaf = c / FS_EDGE;
    ivec3 at = c - leaf * FS_EDGE;
    int slot = fs_slots(leaf.x, leaf.y, leaf.z).x;
    return slot * FS_LEAF_VOXELS + (at.x * FS_EDGE + at.y) * FS_EDGE + at.z;
}
