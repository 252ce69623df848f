// SPDX-License-Identifier: GPL-3.0-or-later
// The correction of the coarser grid, interpolated and added. The half sweep that follows overwrites the other colour
// without reading it, so only cells of COLOUR are corrected, or all of them with EVERY.
// Interpolation is linear, from the coarse cell that holds the cell and the three coarse cells nearest to it beyond its
// faces; a closed face passes nothing on, so that what lies behind a wall stays there.
// An invocation has a column of cells that are PAIRS coarse cells along z. "variant" defines PAIRS, and what applies of BRICK, FACES
// and COARSE_FACES (those of the coarser grid).
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_buffer_reference : require
#extension GL_EXT_scalar_block_layout : require

#include "variant"
#include "poisson.glsl"

layout(constant_id = 34) const int EVERY = 0;
// How far cell 0, 1, the last but one and the last lie towards the centre of the next coarse cell, 0 … 1.
layout(constant_id = 35) const float TOWARDS_X_0 = 0.25;
layout(constant_id = 36) const float TOWARDS_X_1 = 0.25;
layout(constant_id = 37) const float TOWARDS_X_BUT_ONE = 0.25;
layout(constant_id = 38) const float TOWARDS_X_LAST = 0.25;
layout(constant_id = 39) const float TOWARDS_Y_0 = 0.25;
layout(constant_id = 40) const float TOWARDS_Y_1 = 0.25;
layout(constant_id = 41) const float TOWARDS_Y_BUT_ONE = 0.25;
layout(constant_id = 42) const float TOWARDS_Y_LAST = 0.25;
layout(constant_id = 43) const float TOWARDS_Z_0 = 0.25;
layout(constant_id = 44) const float TOWARDS_Z_1 = 0.25;
layout(constant_id = 45) const float TOWARDS_Z_BUT_ONE = 0.25;
layout(constant_id = 46) const float TOWARDS_Z_LAST = 0.25;

layout(set = 0, binding = 1, scalar) uniform Addresses {
    TOPOLOGY
    Floats unknown;
    ReadFloats coarse;
#ifdef FACES
    ReadFaces faces;
#endif
#ifdef COARSE_FACES
    ReadFaces coarse_faces;
#endif
};

float towards_x(const int i) {
    return i == 0 ? TOWARDS_X_0 : i == SIZE_X - 1 ? TOWARDS_X_LAST : i == 1 ? TOWARDS_X_1
        : i == SIZE_X - 2 ? TOWARDS_X_BUT_ONE : 0.25;
}

float towards_y(const int i) {
    return i == 0 ? TOWARDS_Y_0 : i == SIZE_Y - 1 ? TOWARDS_Y_LAST : i == 1 ? TOWARDS_Y_1
        : i == SIZE_Y - 2 ? TOWARDS_Y_BUT_ONE : 0.25;
}

float towards_z(const int i) {
    return i == 0 ? TOWARDS_Z_0 : i == SIZE_Z - 1 ? TOWARDS_Z_LAST : i == 1 ? TOWARDS_Z_1
        : i == SIZE_Z - 2 ? TOWARDS_Z_BUT_ONE : 0.25;
}

void main() {
    ivec3 item = COARSE_WORK(COARSE_BRICK, COARSE_BRICK, COARSE_BRICK / PAIRS);
    int z0 = item.z * PAIRS;
    int cy = item.y;
    int cx = first_coarse_plane(item.x);
    if (z0 >= COARSE_Z || cy >= COARSE_Y || cx >= COARSE_X) {
        return;
    }
    // Beyond an end that is not periodic there is nothing: 0, the value of open air; a wall has TOWARDS 0.
    bool has_xl = PERIODIC_X || cx > 0;
    bool has_xh = PERIODIC_X || cx < COARSE_X - 1;
    bool has_yl = PERIODIC_Y || cy > 0;
    bool has_yh = PERIODIC_Y || cy < COARSE_Y - 1;
    float row[PAIRS + 2];
    for (int k = 0; k < PAIRS + 2; k++) {
        int z = z0 - 1 + k;
        bool there = PERIODIC_Z || uint(z) < uint(COARSE_Z);
        float v = coarse.v[coarse_near_z(cx, cy, z)];
        row[k] = there ? v : 0.0;
    }
    for (int p = 0; p < PAIRS; p++) {
        int cz = min(z0 + p, COARSE_Z - 1);
        float own = row[p + 1];
        // What each side adds for a full step towards it.
        precise float xl = coarse.v[coarse_near_x(cx - 1, cy, cz)];
        precise float xh = coarse.v[coarse_near_x(cx + 1, cy, cz)];
        precise float yl = coarse.v[coarse_near_y(cx, cy - 1, cz)];
        precise float yh = coarse.v[coarse_near_y(cx, cy + 1, cz)];
        xl = (has_xl ? xl : 0.0) - own;
        xh = (has_xh ? xh : 0.0) - own;
        yl = (has_yl ? yl : 0.0) - own;
        yh = (has_yh ? yh : 0.0) - own;
        precise float zl = row[p] - own;
        precise float zh = row[p + 2] - own;
#ifdef COARSE_FACES
        uint packed = coarse_faces.v[coarse_index(cx, cy, cz)];
        uint nx = coarse_faces.v[coarse_near_x(cx + 1, cy, cz)];
        uint ny = coarse_faces.v[coarse_near_y(cx, cy + 1, cz)];
        uint nz = coarse_faces.v[coarse_near_z(cx, cy, cz + 1)];
        const float unit = 1.0 / 255.0;
        xl *= float(packed & 255u) * unit;
        yl *= float(packed >> 8 & 255u) * unit;
        zl *= float(packed >> 16 & 255u) * unit;
        xh *= has_xh ? float(nx & 255u) * unit : 1.0;
        yh *= has_yh ? float(ny >> 8 & 255u) * unit : 1.0;
        zh *= PERIODIC_Z || cz < COARSE_Z - 1 ? float(nz >> 16 & 255u) * unit : 1.0;
#endif
        for (int dx = 0; dx < SPAN_X; dx++) {
            for (int dy = 0; dy < SPAN_Y; dy++) {
                int x = cx * SPAN_X + dx;
                int y = cy * SPAN_Y + dy;
                precise float value = own;
                if (SPAN_X == 2) {
                    value += towards_x(x) * (dx == 0 ? xl : xh);
                }
                if (SPAN_Y == 2) {
                    value += towards_y(y) * (dy == 0 ? yl : yh);
                }
                int odd = (x + y + COLOUR) & 1;
                int first = EVERY != 0 || SPAN_Z == 1 ? 0 : odd;
                int last = EVERY != 0 ? SPAN_Z - 1 : SPAN_Z == 1 ? 0 : odd;
                for (int dz = first; dz <= last; dz++) {
                    int z = SPAN_Z * (z0 + p) + dz;
                    precise float v = value;
                    if (SPAN_Z == 2) {
                        v += towards_z(z) * (dz == 0 ? zl : zh);
                    }
                    if (x < SIZE_X && y < SIZE_Y && z < SIZE_Z && !in_air_side(x, y, z) && IN_LEAF(x, y, z)) {
                        int i = cell_index(x, y, z);
#ifdef FACES
                        if (is_open_air(faces.v[i])) {
                            continue;
                        }
#endif
                        precise float corrected = unknown.v[i] + v;
                        unknown.v[i] = corrected;
                    }
                }
            }
        }
    }
}
