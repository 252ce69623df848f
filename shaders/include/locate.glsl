// SPDX-License-Identifier: GPL-3.0-or-later
// From any place that a script computed to where that voxel lies in memory. Included behind the storage.

// Where voxel c lies in a field's buffer. False: outside an open domain.
bool locate(const ivec3 c, out int index) {
    int x = fs_bring_in(c.x, FS_SIZE_X, FS_BOUNDARY_X);
    int y = fs_bring_in(c.y, FS_SIZE_Y, FS_BOUNDARY_Y);
    int z = fs_bring_in(c.z, FS_SIZE_Z, FS_BOUNDARY_Z);
    bool there = all(bvec3(
        fs_is_there(c.x, x, FS_BOUNDARY_X), fs_is_there(c.y, y, FS_BOUNDARY_Y), fs_is_there(c.z, z, FS_BOUNDARY_Z)
    ));
    index = voxel_index(ivec3(x, y, z), there);
    return there;
}

// The same for a voxel's number in the domain: outside 0 … voxels-1 it is outside the domain.
bool locate(const int i, out int index) {
    int inside = clamp(i, 0, FS_VOXELS - 1);
    index = voxel_index(dense_coord(inside), inside == i);
    return inside == i;
}

bool locate(const uint i, out int index) {
    int inside = int(min(i, uint(FS_VOXELS - 1)));
    index = voxel_index(dense_coord(inside), uint(inside) == i);
    return uint(inside) == i;
}
