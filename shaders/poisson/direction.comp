// SPDX-License-Identifier: GPL-3.0-or-later
// The products that a step of conjugate gradients is chosen by; an invocation has BLOCK cells along each edge. A cycle
// went from the previous answer x0 to x1, so z = x1 - x0 is the preconditioned residual of x0, and p is the direction
// of the last step: the sums of z A z, z A p, p A p and z r, where r = b - A x0. "variant" defines BLOCK, and what
// applies of BRICK and FACES.
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_buffer_reference : require
#extension GL_EXT_scalar_block_layout : require

#include "variant"
#include "poisson.glsl"

layout(buffer_reference, scalar, buffer_reference_align = 4) restrict writeonly buffer Sums { vec4 v[]; };
layout(set = 0, binding = 1, scalar) uniform Addresses {
    TOPOLOGY
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
vec3 at(const int i, const bool there) {
    float old = previous.v[i];
    precise vec3 v = vec3(unknown.v[i] - old, direction.v[i], old);
    return there ? v : vec3(0.0);
}

vec4 products(const int x, const int y, const int z, const float mean, const float shift) {
    int i = cell_index(x, y, z);
    Couplings c = couplings(x, y, z);
    bool air = in_air_side(x, y, z);
#ifdef FACES
    uint packed = faces.v[i];
    uint nx = faces.v[near_x(x + 1, y, z)];
    uint ny = faces.v[near_y(x, y + 1, z)];
    uint nz = faces.v[near_z(x, y, z + 1)];
    close_faces(c, x, y, z, packed, nx, ny, nz);
    air = air || is_open_air(packed);
#endif
    vec3 own = at(i, true);
    precise vec3 applied = -shift * own;
    applied += c.xl * (at(near_x(x - 1, y, z), is_there_x(x - 1)) - own);
    applied += c.xh * (at(near_x(x + 1, y, z), is_there_x(x + 1)) - own);
    applied += c.yl * (at(near_y(x, y - 1, z), is_there_y(y - 1)) - own);
    applied += c.yh * (at(near_y(x, y + 1, z), is_there_y(y + 1)) - own);
    applied += c.zl * (at(near_z(x, y, z - 1), is_there_z(z - 1)) - own);
    applied += c.zh * (at(near_z(x, y, z + 1), is_there_z(z + 1)) - own);
    precise float r = rhs.v[i] - mean - applied.z;
    precise vec4 found = vec4(own.x * applied.x, own.x * applied.y, own.y * applied.y, own.x * r);
    return air || total(c) + shift == 0.0 ? vec4(0.0) : found;
}

void main() {
    ivec3 block = WORK(BRICK / BLOCK, BRICK / BLOCK, BRICK / BLOCK);
    if (block.x * BLOCK >= SIZE_X || block.y * BLOCK >= SIZE_Y || block.z * BLOCK >= SIZE_Z) {
        return;
    }
    float mean = numbers.mean;
    float shift = numbers.shift;
    precise vec4 sum = vec4(0.0);
    for (int dx = 0; dx < BLOCK; dx++) {
        for (int dy = 0; dy < BLOCK; dy++) {
            for (int dz = 0; dz < BLOCK; dz++) {
                ivec3 at = block * BLOCK + ivec3(dx, dy, dz);
                if (at.x < SIZE_X && at.y < SIZE_Y && at.z < SIZE_Z) {
                    sum += products(at.x, at.y, at.z, mean, shift);
                }
            }
        }
    }
#ifdef BRICK
    sums.v[brick_own(BRICK / BLOCK, block.x, block.y, block.z)] = sum;
#else
    const int blocks_y = (SIZE_Y + BLOCK - 1) / BLOCK, blocks_z = (SIZE_Z + BLOCK - 1) / BLOCK;
    sums.v[(block.x * blocks_y + block.y) * blocks_z + block.z] = sum;
#endif
}
