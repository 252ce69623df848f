// SPDX-License-Identifier: GPL-3.0-or-later
// How open the faces of a coarser grid are: the mean over the cells' faces that lie on each, of those between two
// cells of the fluid. What passes from a cell of the fluid into open air becomes a leak of the coarse cell that holds
// it: neither "air if all are" (which moves the surface outwards, and cycles diverge) nor "air if any is" (inwards,
// and they are slow) keeps the surface where it is. A coarse cell is open air where all of its cells are. "variant"
// defines FACES.
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_buffer_reference : require
#extension GL_EXT_scalar_block_layout : require

#include "variant"
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

// The cell's face towards low x, y, z: 0 where it is a wall or the cell beyond is air. `leak` grows by what leads
// into air.
uint between(const uint open, const bool here, const bool beyond, inout uint leak) {
    leak += !here && beyond ? open : 0u;
    return here || beyond ? 0u : open;
}

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
    uint direct = 0u; // openness of the faces that lead from the fluid into open air
    uint inherited = 0u;
    for (int dx = 0; dx < SPAN_X; dx++) {
        for (int dy = 0; dy < SPAN_Y; dy++) {
            for (int dz = 0; dz < SPAN_Z; dz++) {
                int x = cx * SPAN_X + dx;
                int y = cy * SPAN_Y + dy;
                int z = cz * SPAN_Z + dz;
                if (x >= SIZE_X || y >= SIZE_Y || z >= SIZE_Z) {
                    continue;
                }
                uint own = faces.v[cell_index(x, y, z)];
                bool here = is_open_air(own);
                uint xl = faces.v[cell_index(before(x, SIZE_X, PERIODIC_X), y, z)];
                uint yl = faces.v[cell_index(x, before(y, SIZE_Y, PERIODIC_Y), z)];
                uint zl = faces.v[cell_index(x, y, before(z, SIZE_Z, PERIODIC_Z))];
                uint xh = faces.v[cell_index(after(x, SIZE_X, PERIODIC_X), y, z)];
                uint yh = faces.v[cell_index(x, after(y, SIZE_Y, PERIODIC_Y), z)];
                uint zh = faces.v[cell_index(x, y, after(z, SIZE_Z, PERIODIC_Z))];
                uvec3 part = uvec3(
                    between(own & 255u, here, is_open_air(xl), direct),
                    between(own >> 8 & 255u, here, is_open_air(yl), direct),
                    between(own >> 16 & 255u, here, is_open_air(zl), direct)
                );
                between(xh & 255u, here, is_open_air(xh), direct);
                between(yh >> 8 & 255u, here, is_open_air(yh), direct);
                between(zh >> 16 & 255u, here, is_open_air(zh), direct);
                // The low face of the coarse cell; a layer of open air at an end of the domain is no part of it.
                bvec3 low = bvec3(
                    dx == ((AIR_SIDES & 1) != 0 && cx == 0 ? SPAN_X - 1 : 0),
                    dy == ((AIR_SIDES & 4) != 0 && cy == 0 ? SPAN_Y - 1 : 0),
                    dz == ((AIR_SIDES & 16) != 0 && cz == 0 ? SPAN_Z - 1 : 0)
                );
                open += uvec3(low) * part;
                count += uvec3(low);
                cells += 1u;
                air += here ? 1u : 0u;
                inherited += here || LEAK == 0.0 ? 0u : own >> 24;
            }
        }
    }
    open = (open + count / 2u) / max(count, uvec3(1u));
    // In units of one over the square of the coarse cell's edge, by sixteenths: faces of the finest grid count in
    // full; the centre of a larger cell lies further from the air, so what was a leak already counts half.
    uint leak = LEAK == 0.0 ? (direct * 64u / 255u) / cells : inherited * 2u / cells;
    uint flag = air == cells ? 255u : min(leak, 254u);
    coarse_faces.v[(cx * COARSE_Y + cy) * COARSE_Z + cz] = open.x | open.y << 8 | open.z << 16 | flag << 24;
}
