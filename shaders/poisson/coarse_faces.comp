// SPDX-License-Identifier: GPL-3.0-or-later
// How open the faces of a coarser grid are: the mean over the cells' faces that lie on each, of those between two
// cells of the fluid. What passes from a cell of the fluid into open air becomes a leak of the coarse cell that holds
// it: neither "air if all are" (which moves the surface outwards, and cycles diverge) nor "air if any is" (inwards,
// and they are slow) keeps the surface where it is. A coarse cell is open air where all of its cells are, and
// leaves that are not active are. "variant" defines what applies of FACES, without which all faces are open, and BRICK.
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_buffer_reference : require
#extension GL_EXT_scalar_block_layout : require

#include "variant"
#include "poisson.glsl"

layout(set = 0, binding = 1, scalar) uniform Addresses {
    TOPOLOGY
#ifdef FACES
    ReadFaces faces;
#endif
    Faces coarse_faces;
};

// The cell's face towards low x, y, z: 0 where it is a wall or the cell beyond is air. `leak` grows by what leads
// into air.
uint between(const uint open, const bool here, const bool beyond, inout uint leak) {
    leak += !here && beyond ? open : 0u;
    return here || beyond ? 0u : open;
}

const uint AIR = 255u << 24;

// The faces of the cell at an index; of `own`, where there is no such cell.
uint faces_at(const int index, const bool there, const uint own) {
#ifdef FACES
    uint packed = faces.v[index];
#else
    uint packed = 0xffffffu;
#endif
    packed |= in_background(index) ? AIR : 0u;
    return there ? packed : own;
}

void main() {
    ivec3 item = COARSE_WORK(COARSE_BRICK, COARSE_BRICK, COARSE_BRICK);
    int cz = item.z;
    int cy = item.y;
    int cx = first_coarse_plane(item.x);
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
                bool held = IN_LEAF(x, y, z);
                uint own = faces_at(cell_index(x, y, z), held, AIR);
                bool here = is_open_air(own);
                uint xl = faces_at(near_x(x - 1, y, z), is_there_x(x - 1), own);
                uint yl = faces_at(near_y(x, y - 1, z), is_there_y(y - 1), own);
                uint zl = faces_at(near_z(x, y, z - 1), is_there_z(z - 1), own);
                uint xh = faces_at(near_x(x + 1, y, z), is_there_x(x + 1), own);
                uint yh = faces_at(near_y(x, y + 1, z), is_there_y(y + 1), own);
                uint zh = faces_at(near_z(x, y, z + 1), is_there_z(z + 1), own);
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
    // In units of one over the square of the coarse cell's edge, by sixteenths: faces that lead into air count in
    // full; the centre of a larger cell lies further from the air, so what was a leak already counts half.
#ifdef FACES
    uint leak = LEAK == 0.0 ? (direct * 64u / 255u) / cells : inherited * 2u / cells;
#else
    uint leak = (direct * 64u / 255u) / cells;
#endif
    uint flag = air == cells ? 255u : min(leak, 254u);
    coarse_faces.v[coarse_index(cx, cy, cz)] = open.x | open.y << 8 | open.z << 16 | flag << 24;
}
