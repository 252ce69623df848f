// SPDX-License-Identifier: GPL-3.0-or-later
// Hashes of integers: the same numbers on every device.
// PCG3D: M. Jarzynski, M. Olano, "Hash Functions for GPU Rendering", JCGT 9(3), 2020.

uvec3 fs_pcg3d(uvec3 v) {
    v = v * 1664525u + 1013904223u;
    v.x += v.y * v.z;
    v.y += v.z * v.x;
    v.z += v.x * v.y;
    v ^= v >> 16u;
    v.x += v.y * v.z;
    v.y += v.z * v.x;
    v.z += v.x * v.y;
    return v;
}

// Uniform in [0, 1), 24 bits, a function of the coordinate and the seed alone.
float Random(ivec3 c, int seed) {
    uvec3 h = fs_pcg3d(uvec3(c) + uvec3(0u, 0u, uint(seed) * 0x9E3779B9u));
    return float(h.x >> 8u) * (1.0 / 16777216.0);
}

// Three independent numbers, each as Random.
vec3 Random3(ivec3 c, int seed) {
    uvec3 h = fs_pcg3d(uvec3(c) + uvec3(0u, 0u, uint(seed) * 0x9E3779B9u));
    return vec3(h >> 8u) * (1.0 / 16777216.0);
}
