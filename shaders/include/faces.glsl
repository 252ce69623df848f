// SPDX-License-Identifier: GPL-3.0-or-later
// How open the low faces of a voxel are, packed into a uint: bytes 0, 1, 2 along x, y, z from 0 (closed) to 255 (open),
// and byte 3 is 1 where the voxel is open air. What `sim:add_solver` reads as `faces`.

// `open` is 0 … 1 along each axis.
uint PackFaces(const vec3 open, const bool air) {
    uvec3 part = uvec3(clamp(open, 0.0, 1.0) * 255.0 + 0.5);
    return part.x | part.y << 8 | part.z << 16 | (air ? 1u << 24 : 0u);
}

vec3 FaceOpenness(const uint faces) {
    return vec3(faces & 255u, faces >> 8 & 255u, faces >> 16 & 255u) / 255.0;
}

bool IsAir(const uint faces) {
    return faces >> 24 != 0u;
}
