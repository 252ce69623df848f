// SPDX-License-Identifier: GPL-3.0-or-later
// The products that a step of conjugate gradients is chosen by, summed over 4x4x4 cells an invocation. A cycle went
// from the previous answer x0 to x1, so z = x1 - x0 is the preconditioned residual of x0, and p is the direction of
// the last step: the sums of z A z, z A p, p A p and z r, where r = b - A x0. "variant" defines what applies of
// FACES.
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_buffer_reference : require
#extension GL_EXT_scalar_block_layout : require

#include "variant"
#include "poisson.glsl"

layout(buffer_reference, scalar, buffer_reference_align = 4) restrict writeonly buffer Sums { vec4 v[]; };
layout(set = 0, binding = 1, scalar) uniform Addresses {
    ReadFloats unknown;
    ReadFloats rhs;
    Numbers numbers;
#ifdef FACES
    ReadFaces faces;
#endif
    ReadFloats direction;
    ReadFloats previous;
    Sums sums;
};

// z, p and x0 of a cell; 0 where there is none.
vec3 at(const int x, const int y, const int z, const bool there) {
    int i = cell_index(x, y, z);
    float old = previous.v[i];
    vec3 v = vec3(unknown.v[i] - old, direction.v[i], old);
    return there ? v : vec3(0.0);
}

vec4 products(const int x, const int y, const int z, const float mean, const float shift) {
    int i = cell_index(x, y, z);
    int x_high = after(x, SIZE_X, PERIODIC_X);
    int y_high = after(y, SIZE_Y, PERIODIC_Y);
    int z_high = after(z, SIZE_Z, PERIODIC_Z);
    Couplings c = couplings(x, y, z);
    bool air = in_air_side(x, y, z);
#ifdef FACES
    uint packed = faces.v[i];
    uint nx = faces.v[cell_index(x_high, y, z)];
    uint ny = faces.v[cell_index(x, y_high, z)];
    uint nz = faces.v[cell_index(x, y, z_high)];
    close_faces(c, x, y, z, packed, nx, ny, nz);
    air = air || is_open_air(packed);
#endif
    vec3 own = at(x, y, z, true);
    vec3 applied = -shift * own;
    applied += c.xl * (at(before(x, SIZE_X, PERIODIC_X), y, z, PERIODIC_X || x > 0) - own);
    applied += c.xh * (at(x_high, y, z, PERIODIC_X || x < SIZE_X - 1) - own);
    applied += c.yl * (at(x, before(y, SIZE_Y, PERIODIC_Y), z, PERIODIC_Y || y > 0) - own);
    applied += c.yh * (at(x, y_high, z, PERIODIC_Y || y < SIZE_Y - 1) - own);
    applied += c.zl * (at(x, y, before(z, SIZE_Z, PERIODIC_Z), PERIODIC_Z || z > 0) - own);
    applied += c.zh * (at(x, y, z_high, PERIODIC_Z || z < SIZE_Z - 1) - own);
    float r = rhs.v[i] - mean - applied.z;
    vec4 found = vec4(own.x * applied.x, own.x * applied.y, own.y * applied.y, own.x * r);
    return air || total(c) + shift == 0.0 ? vec4(0.0) : found;
}

void main() {
    ivec3 blocks = (ivec3(SIZE_X, SIZE_Y, SIZE_Z) + 3) / 4;
    ivec3 block = ivec3(gl_GlobalInvocationID.zyx);
    if (any(greaterThanEqual(block, blocks))) {
        return;
    }
    float mean = numbers.mean;
    float shift = numbers.shift;
    vec4 sum = vec4(0.0);
    for (int dx = 0; dx < 4; dx++) {
        for (int dy = 0; dy < 4; dy++) {
            for (int dz = 0; dz < 4; dz++) {
                ivec3 at = block * 4 + ivec3(dx, dy, dz);
                if (at.x < SIZE_X && at.y < SIZE_Y && at.z < SIZE_Z) {
                    sum += products(at.x, at.y, at.z, mean, shift);
                }
            }
        }
    }
    sums.v[(block.x * blocks.y + block.y) * blocks.z + block.z] = sum;
}
