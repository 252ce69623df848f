// SPDX-License-Identifier: GPL-3.0-or-later
// Every voxel of the domain in one array, z fastest. The Python twin is fluid_addon/engine/places.py.

ivec3 fs_block() {
    return ivec3(gl_GlobalInvocationID.zyx);
}

// `asked`: whether the value matters, which only a part of a domain has to know.
int voxel_index(const ivec3 c, const bool asked) {
    return dense_index(c);
}
