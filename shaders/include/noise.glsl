// SPDX-License-Identifier: GPL-3.0-or-later
// Gradient noise with its exact derivative, and the divergence-free field made of it.
// Interpolation: K. Perlin, "Improving Noise", SIGGRAPH 2002 (quintic fade). Curl: R. Bridson, J. Hourihan,
// M. Nordenstam, "Curl-Noise for Procedural Fluid Flow", SIGGRAPH 2007.

// A gradient on the cube [-1, 1]^3 for a lattice point. Salt 0, 1, 2, … gives independent lattices.
vec3 fs_gradient(ivec3 lattice, int salt) {
    return 2.0 * Random3(lattice, salt) - 1.0;
}

// Value (x) and derivative (yzw) of gradient noise. Values lie in about [-1, 1].
vec4 fs_noise(vec3 p, int salt) {
    vec3 cell = floor(p);
    ivec3 i = ivec3(clamp(cell, vec3(-1e9), vec3(1e9)));
    vec3 f = p - cell;
    vec3 u = f * f * f * (f * (f * 6.0 - 15.0) + 10.0);
    vec3 du = 30.0 * f * f * (f * (f - 2.0) + 1.0);
    float value[8];
    vec3 gradient[8];
    for (int corner = 0; corner < 8; corner++) {
        ivec3 o = ivec3(corner & 1, (corner >> 1) & 1, corner >> 2);
        gradient[corner] = fs_gradient(i + o, salt);
        value[corner] = dot(gradient[corner], f - vec3(o));
    }
    vec4 result = vec4(0.0);
    for (int corner = 0; corner < 8; corner++) {
        bvec3 high = bvec3((corner & 1) != 0, (corner & 2) != 0, (corner & 4) != 0);
        vec3 w = mix(1.0 - u, u, high);
        vec3 dw = mix(-du, du, high);
        float weight = w.x * w.y * w.z;
        result.x += weight * value[corner];
        result.yzw += weight * gradient[corner]
                    + value[corner] * vec3(dw.x * w.y * w.z, w.x * dw.y * w.z, w.x * w.y * dw.z);
    }
    return result;
}

// Smooth noise of period one lattice cell, zero at the lattice points, in about [-1, 1].
float Noise(vec3 p) {
    return fs_noise(p, 0).x;
}

// A divergence-free vector field: the curl of three independent noises.
vec3 CurlNoise(vec3 p) {
    vec3 dx = fs_noise(p, 1).yzw;
    vec3 dy = fs_noise(p, 2).yzw;
    vec3 dz = fs_noise(p, 3).yzw;
    return vec3(dz.y - dy.z, dx.z - dz.x, dy.x - dx.y);
}
