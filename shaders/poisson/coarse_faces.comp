// SPDX-License-Identifier: GPL-3.0-or-later
// How open the faces of a coarser grid are: the mean of the faces of the finer cells that lie on each.
// A coarse cell is open air where all of its cells that are not walled in are.
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_buffer_reference : require
#extension GL_EXT_scalar_block_layout : require

#define FACES
#include "poisson.glsl"

layout(set = 0, binding = 1, scalar) uniform Addresses {
    ReadFaces faces;
    Faces coarse_faces;
};

const int SPAN_X = SIZE_X > 1 ? 2 : 1;
const int SPAN_Y = SIZE_Y > 1 ? 2 : 1;
const int SPAN_Z = SIZE_Z > 1 ? 2 : 1;
const int COARSE_X = (SIZE_X + SPAN_X - 1) / SPAN_X;
const int COARSE_Y = (SIZE_Y + SPAN_Y - 1) / SPAN_Y;
const int COARSE_Z = (SIZE_Z + SPAN_Z - 1) / SPAN_Z;

void main() {
    int cz = int(gl_GlobalInvocationID.x);
    int cy = int(gl_GlobalInvocationID.y);
    int cx = int(gl_GlobalInvocationID.z);
    if (cz >= COARSE_Z || cy >= COARSE_Y || cx >= COARSE_X) {
        return;
    }
    uvec3 open = uvec3(0u);
    uvec3 count = uvec3(0u);
    uint cells = 0u;
    uint air = 0u;
    for (int dx = 0; dx < SPAN_X; dx++) {
        for (int dy = 0; dy < SPAN_Y; dy++) {
            for (int dz = 0; dz < SPAN_Z; dz++) {
                int x = cx * SPAN_X + dx;
                int y = cy * SPAN_Y + dy;
                int z = cz * SPAN_Z + dz;
                if (x < SIZE_X && y < SIZE_Y && z < SIZE_Z) {
                    uint packed = faces.v[cell_index(x, y, z)];
                    // The low face of the coarse cell; a layer of open air is no part of it.
                    bvec3 low = bvec3(
                        dx == ((AIR_SIDES & 1) != 0 && cx == 0 ? SPAN_X - 1 : 0),
                        dy == ((AIR_SIDES & 4) != 0 && cy == 0 ? SPAN_Y - 1 : 0),
                        dz == ((AIR_SIDES & 16) != 0 && cz == 0 ? SPAN_Z - 1 : 0)
                    );
                    uvec3 part = uvec3(packed & 255u, packed >> 8 & 255u, packed >> 16 & 255u);
                    open += uvec3(low) * part;
                    count += uvec3(low);
                    cells += 1u;
                    air += packed >> 24 != 0u ? 1u : 0u;
                }
            }
        }
    }
    open = (open + count / 2u) / max(count, uvec3(1u));
    uint flag = air == cells ? 1u : 0u;
    coarse_faces.v[(cx * COARSE_Y + cy) * COARSE_Z + cz] = open.x | open.y << 8 | open.z << 16 | flag << 24;
}
