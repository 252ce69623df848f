// SPDX-License-Identifier: GPL-3.0-or-later
// What is to be known of a right side before it is solved for: over the cells that are not open air and have an open
// face, its sum and the sum of its squares (less the mean, which is 0 at first), and their number; and the number of
// cells of open air. The unknown becomes 0 in open air. An invocation has 4x4x4 cells, or fewer at the ends.
// "variant" defines what applies of FACES, and CENTRE: the sum is of the unknown, which stays as it is.
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_buffer_reference : require
#extension GL_EXT_scalar_block_layout : require

#include "variant"
#include "poisson.glsl"

layout(buffer_reference, scalar, buffer_reference_align = 4) restrict writeonly buffer Sums { vec4 v[]; };
layout(set = 0, binding = 1, scalar) uniform Addresses {
    Floats unknown;
    ReadFloats rhs;
    Numbers numbers;
#ifdef FACES
    ReadFaces faces;
#endif
    Sums sums;
};

void main() {
    ivec3 blocks = (ivec3(SIZE_X, SIZE_Y, SIZE_Z) + 3) / 4;
    ivec3 block = ivec3(gl_GlobalInvocationID.zyx);
    if (any(greaterThanEqual(block, blocks))) {
        return;
    }
    float mean = numbers.mean;
    float shift = numbers.shift;
    vec4 sum = vec4(0.0); // of the right side, of its squares, cells, cells of air
    for (int dx = 0; dx < 4; dx++) {
        for (int dy = 0; dy < 4; dy++) {
            for (int dz = 0; dz < 4; dz++) {
                int x = block.x * 4 + dx;
                int y = block.y * 4 + dy;
                int z = block.z * 4 + dz;
                if (x < SIZE_X && y < SIZE_Y && z < SIZE_Z) {
                    int i = cell_index(x, y, z);
                    Couplings c = couplings(x, y, z);
                    bool air = in_air_side(x, y, z);
#ifdef FACES
                    uint packed = faces.v[i];
                    uint nx = faces.v[cell_index(after(x, SIZE_X, PERIODIC_X), y, z)];
                    uint ny = faces.v[cell_index(x, after(y, SIZE_Y, PERIODIC_Y), z)];
                    uint nz = faces.v[cell_index(x, y, after(z, SIZE_Z, PERIODIC_Z))];
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
                        sum += vec4(v, v * v, 1.0, 0.0);
                    }
                }
            }
        }
    }
    sums.v[(block.x * blocks.y + block.y) * blocks.z + block.z] = sum;
}
