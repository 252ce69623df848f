// SPDX-License-Identifier: GPL-3.0-or-later
// What is to be known of a right side before it is solved for: over the cells that are not open air and have an open
// face, its sum and the sum of its squares (less the mean, which is 0 at first), and their number; and the number of
// cells of open air, and of those with an open face to a leaf that is not active. The unknown becomes 0 in open air. An
// invocation has BLOCK cells along each edge, or fewer at the ends.
// "variant" defines BLOCK, and what applies of BRICK, FACES, and CENTRE: the sum is of the unknown, which stays.
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_buffer_reference : require
#extension GL_EXT_scalar_block_layout : require

#include "variant"
#include "poisson.glsl"

layout(buffer_reference, scalar, buffer_reference_align = 4) restrict writeonly buffer Sums { vec4 v[]; };
layout(set = 0, binding = 1, scalar) uniform Addresses {
    TOPOLOGY
    Floats unknown;
    ReadFloats rhs;
    Numbers numbers;
#ifdef FACES
    ReadFaces faces;
#endif
    Sums sums;
};

// Whether a cell has an open face to a leaf that is not active; to what lies beyond an end it has none.
bool meets_background(const int x, const int y, const int z, const Couplings c) {
#ifdef BRICK
    int lx = leaf.at.x * BRICK, ly = leaf.at.y * BRICK, lz = leaf.at.z * BRICK;
    int hx = min(lx + BRICK, SIZE_X) - 1, hy = min(ly + BRICK, SIZE_Y) - 1, hz = min(lz + BRICK, SIZE_Z) - 1;
    return x == lx && leaf.xl == 0 && is_there_x(x - 1) && c.xl != 0.0 ||
           x == hx && leaf.xh == 0 && is_there_x(x + 1) && c.xh != 0.0 ||
           y == ly && leaf.yl == 0 && is_there_y(y - 1) && c.yl != 0.0 ||
           y == hy && leaf.yh == 0 && is_there_y(y + 1) && c.yh != 0.0 ||
           z == lz && leaf.zl == 0 && is_there_z(z - 1) && c.zl != 0.0 ||
           z == hz && leaf.zh == 0 && is_there_z(z + 1) && c.zh != 0.0;
#else
    return false;
#endif
}

void main() {
    ivec3 block = WORK(BRICK / BLOCK, BRICK / BLOCK, BRICK / BLOCK);
    int first_x = first_own_plane(block.x, BLOCK);
    if (first_x >= SIZE_X || block.y * BLOCK >= SIZE_Y || block.z * BLOCK >= SIZE_Z) {
        return;
    }
    float mean = numbers.mean;
    float shift = numbers.shift;
    precise vec4 sum = vec4(0.0); // of the right side, of its squares, cells, cells of air
    for (int dx = 0; dx < BLOCK; dx++) {
        for (int dy = 0; dy < BLOCK; dy++) {
            for (int dz = 0; dz < BLOCK; dz++) {
                int x = first_x + dx;
                int y = block.y * BLOCK + dy;
                int z = block.z * BLOCK + dz;
                if (x < SIZE_X && y < SIZE_Y && z < SIZE_Z) {
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
                    if (air) {
                        sum.w += 1.0;
#ifndef CENTRE
                        unknown.v[i] = 0.0;
#endif
                    } else if (total(c) + shift != 0.0) {
#ifdef CENTRE
                        float v = unknown.v[i];
#else
                        float v = rhs.v[i] - mean;
#endif
                        sum += vec4(v, v * v, 1.0, meets_background(x, y, z, c) ? 1.0 : 0.0);
                    }
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
