// SPDX-License-Identifier: GPL-3.0-or-later
// A slab of the domain in one array, z fastest: the planes along x of one device, and a halo on either side.
// `fs_held` is the first plane that is held (negative where a periodic halo wraps around) and how many there are;
// `fs_run` the first plane that this dispatch computes, and the one behind its last; `fs_away` how many planes of the halo
// on either side are under way, in voxels of the domain.
#include "halo.glsl"

ivec3 fs_block() {
    return ivec3(gl_GlobalInvocationID.zyx);
}

int fs_plane_index(const int plane, const int y, const int z) {
    return (plane * FS_SIZE_Y + y) * FS_SIZE_Z + z;
}

int voxel_index(const ivec3 c, const bool asked) {
    return fs_plane_index(fs_hold(c.x, asked, fs_held, FS_SIZE_X, FS_SCALE), c.y, c.z);
}
