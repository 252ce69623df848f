// SPDX-License-Identifier: GPL-3.0-or-later
// Coordinate to index to buffer, for a dense domain. Its Python twin is fluid_addon/engine/address.py.
// z is the fastest axis, as in OpenVDB. Nothing else in the house knows how voxels lie in memory.

layout(constant_id = 3) const int FS_SIZE_X = 1;
layout(constant_id = 4) const int FS_SIZE_Y = 1;
layout(constant_id = 5) const int FS_SIZE_Z = 1;
// 0 open, 1 clamp, 2 periodic
layout(constant_id = 6) const int FS_BOUNDARY_X = 0;
layout(constant_id = 7) const int FS_BOUNDARY_Y = 0;
layout(constant_id = 8) const int FS_BOUNDARY_Z = 0;

const ivec3 domain_size = ivec3(FS_SIZE_X, FS_SIZE_Y, FS_SIZE_Z);
const int FS_VOXELS = FS_SIZE_X * FS_SIZE_Y * FS_SIZE_Z;

// The voxel of this invocation.
ivec3 fs_coord;
int fs_index;

ivec3 invocation_coord() {
    return ivec3(gl_GlobalInvocationID.zyx);
}

int voxel_index(ivec3 c) {
    return (c.x * FS_SIZE_Y + c.y) * FS_SIZE_Z + c.z;
}

bool InDomain(ivec3 c) {
    return uint(c.x) < uint(FS_SIZE_X) && uint(c.y) < uint(FS_SIZE_Y) && uint(c.z) < uint(FS_SIZE_Z);
}

// One coordinate brought into 0 … size-1 by its axis' boundary rule; an open axis leaves it where it is.
int fs_bring_in(int c, int size, int boundary) {
    if (boundary == 1) {
        return clamp(c, 0, size - 1);
    }
    if (boundary == 2) {
        int remainder = c % size;
        return remainder < 0 ? remainder + size : remainder;
    }
    return c;
}

// Where voxel c lies in a field's buffer. False: outside an open domain, and `index` is a valid one all the same.
bool locate(ivec3 c, out int index) {
    c.x = fs_bring_in(c.x, FS_SIZE_X, FS_BOUNDARY_X);
    c.y = fs_bring_in(c.y, FS_SIZE_Y, FS_BOUNDARY_Y);
    c.z = fs_bring_in(c.z, FS_SIZE_Z, FS_BOUNDARY_Z);
    bool inside = InDomain(c);
    index = inside ? voxel_index(c) : fs_index;
    return inside;
}

// The same for an index that a script computed: outside 0 … voxels-1 it is outside the domain.
bool locate(int i, out int index) {
    bool inside = uint(i) < uint(FS_VOXELS);
    index = inside ? i : fs_index;
    return inside;
}

// A position brought near the domain, so that its floor fits an integer; NaN becomes a place outside.
vec3 fs_near_domain(vec3 p) {
    vec3 size = vec3(domain_size);
    if (FS_BOUNDARY_X == 2) { p.x -= size.x * floor(p.x / size.x); }
    if (FS_BOUNDARY_Y == 2) { p.y -= size.y * floor(p.y / size.y); }
    if (FS_BOUNDARY_Z == 2) { p.z -= size.z * floor(p.z / size.z); }
    return min(max(p, vec3(-2.0)), size + 1.0);
}
