// SPDX-License-Identifier: GPL-3.0-or-later
// The residual r = b - A x of a grid, its mean over the cells that a coarse cell holds, which is the right side of the
// next coarser grid, and the sum of its squares over them, the first level of the norm.
// An invocation has a column of cells that become PAIRS coarse cells along z. After half a sweep the cells of that
// colour have no residual left, so only those of COLOUR are computed, or all of them with EVERY.
// "variant" defines PAIRS, and what applies of BRICK, FACES, COARSE (there is a coarser grid) and NORM (sums of squares
// are wanted).
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_buffer_reference : require
#extension GL_EXT_scalar_block_layout : require

#include "variant"
#include "poisson.glsl"

layout(constant_id = 34) const int EVERY = 0;
// One over the width of the coarse cells: the first, the last, the others.
layout(constant_id = 35) const float COARSE_WIDTH_X_0 = 1.0;
layout(constant_id = 36) const float COARSE_WIDTH_X_LAST = 1.0;
layout(constant_id = 37) const float COARSE_WIDTH_X = 1.0;
layout(constant_id = 38) const float COARSE_WIDTH_Y_0 = 1.0;
layout(constant_id = 39) const float COARSE_WIDTH_Y_LAST = 1.0;
layout(constant_id = 40) const float COARSE_WIDTH_Y = 1.0;
layout(constant_id = 41) const float COARSE_WIDTH_Z_0 = 1.0;
layout(constant_id = 42) const float COARSE_WIDTH_Z_LAST = 1.0;
layout(constant_id = 43) const float COARSE_WIDTH_Z = 1.0;

layout(set = 0, binding = 1, scalar) uniform Addresses {
    TOPOLOGY
    ReadFloats unknown;
    ReadFloats rhs;
    Numbers numbers;
#ifdef FACES
    ReadFaces faces;
#endif
#ifdef COARSE
    Floats coarse_rhs;
#endif
#ifdef NORM
    Floats squares;
#endif
};

// The part of its coarse cell that a cell fills.
float part(const int x, const int y, const int z) {
    int cx = x / SPAN_X, cy = y / SPAN_Y, cz = z / SPAN_Z;
    precise float coarse = cx == 0 ? COARSE_WIDTH_X_0 : cx == COARSE_X - 1 ? COARSE_WIDTH_X_LAST : COARSE_WIDTH_X;
    coarse *= cy == 0 ? COARSE_WIDTH_Y_0 : cy == COARSE_Y - 1 ? COARSE_WIDTH_Y_LAST : COARSE_WIDTH_Y;
    coarse *= cz == 0 ? COARSE_WIDTH_Z_0 : cz == COARSE_Z - 1 ? COARSE_WIDTH_Z_LAST : COARSE_WIDTH_Z;
    precise float filled = coarse / (width_x(x) * width_y(y) * width_z(z));
    return filled;
}

// The residual of cell z, whose neighbours along z are given.
float residual(
    const int x, const int y, const int z, const float own, const float zl, const float zh, const float mean,
    const float shift
) {
    int i = cell_index(x, y, z);
    Couplings c = couplings(x, y, z);
    bool air = in_air_side(x, y, z);
    float leak = 0.0;
#ifdef FACES
    uint packed = faces.v[i];
    uint nx = faces.v[near_x(x + 1, y, z)];
    uint ny = faces.v[near_y(x, y + 1, z)];
    uint nz = faces.v[near_z(x, y, z + 1)];
    close_faces(c, x, y, z, packed, nx, ny, nz);
    air = air || is_open_air(packed);
    leak = leak_of(packed);
#endif
    float xl = unknown.v[near_x(x - 1, y, z)];
    float xh = unknown.v[near_x(x + 1, y, z)];
    float yl = unknown.v[near_y(x, y - 1, z)];
    float yh = unknown.v[near_y(x, y + 1, z)];
    precise float sum = rhs.v[i] - mean + (shift + leak) * own;
    sum -= c.xl * ((is_there_x(x - 1) ? xl : 0.0) - own) + c.xh * ((is_there_x(x + 1) ? xh : 0.0) - own);
    sum -= c.yl * ((is_there_y(y - 1) ? yl : 0.0) - own) + c.yh * ((is_there_y(y + 1) ? yh : 0.0) - own);
    sum -= c.zl * (zl - own) + c.zh * (zh - own);
    return air || total(c) + leak + shift == 0.0 ? 0.0 : sum;
}

// A cell whose z may lie one beyond the ends; 0 where there is none.
float at_z(const int x, const int y, const int z) {
    float v = unknown.v[near_z(x, y, z)];
    return is_there_z(z) ? v : 0.0;
}

#if defined(BRICK) && !defined(COARSE_BRICK)
#define IN_ROW(k) at_z(x, y, SPAN_Z * z0 - 1 + (k))
#else
#define IN_ROW(k) row[k]
#endif

void main() {
    ivec3 item = COARSE_WORK(COARSE_BRICK, COARSE_BRICK, COARSE_BRICK / PAIRS);
    int z0 = item.z * PAIRS;
    int cy = item.y;
    int cx = first_coarse_plane(item.x);
    if (z0 >= COARSE_Z || cy >= COARSE_Y || cx >= COARSE_X) {
        return;
    }
    float mean = numbers.mean;
    float shift = numbers.shift;
    precise float sums[PAIRS];
    precise float squared[PAIRS];
    for (int p = 0; p < PAIRS; p++) {
        sums[p] = 0.0;
        squared[p] = 0.0;
    }
    for (int dx = 0; dx < SPAN_X; dx++) {
        for (int dy = 0; dy < SPAN_Y; dy++) {
            int x = cx * SPAN_X + dx;
            int y = cy * SPAN_Y + dy;
            bool row_there = x < SIZE_X && y < SIZE_Y;
            x = min(x, SIZE_X - 1);
            y = min(y, SIZE_Y - 1);
#if !defined(BRICK) || defined(COARSE_BRICK)
            // The row from one cell before the column to one after it.
            float row[2 * PAIRS + 2];
            for (int k = 0; k < 2 * PAIRS + 2; k++) {
                row[k] = at_z(x, y, SPAN_Z * z0 - 1 + k);
            }
#endif
            int odd = (x + y + COLOUR) & 1;
            for (int p = 0; p < PAIRS; p++) {
                int z = SPAN_Z * (z0 + p);
                if (EVERY != 0 || SPAN_Z == 1) {
                    for (int dz = 0; dz < SPAN_Z; dz++) {
                        int k = SPAN_Z * p + dz + 1;
                        int at = min(z + dz, SIZE_Z - 1);
                        bool there = IN_LEAF(x, y, at) && row_there && z + dz < SIZE_Z;
                        float r = residual(x, y, at, IN_ROW(k), IN_ROW(k - 1), IN_ROW(k + 1), mean, shift);
                        r = there ? r : 0.0;
                        sums[p] += r * part(x, y, z + dz);
                        squared[p] += r * r;
                    }
                } else {
                    int k = 2 * p + 1;
                    int at = min(z + odd, SIZE_Z - 1);
                    bool there = IN_LEAF(x, y, at) && row_there && z + odd < SIZE_Z;
                    float own = odd == 1 ? IN_ROW(k + 1) : IN_ROW(k);
                    float zl = odd == 1 ? IN_ROW(k) : IN_ROW(k - 1);
                    float zh = odd == 1 ? IN_ROW(k + 2) : IN_ROW(k + 1);
                    float r = residual(x, y, at, own, zl, zh, mean, shift);
                    r = there ? r : 0.0;
                    sums[p] += r * part(x, y, z + odd);
                    squared[p] += r * r;
                }
            }
        }
    }
    for (int p = 0; p < PAIRS; p++) {
        int cz = z0 + p;
        if (cz < COARSE_Z) {
            int i = coarse_index(cx, cy, cz);
#ifdef COARSE
            coarse_rhs.v[i] = sums[p];
#endif
#ifdef NORM
#ifdef SLAB
            int own = cx - OWN_FIRST / 2;
            if (uint(own) < uint((OWN_PLANES + 1) / 2)) {
                squares.v[(own * COARSE_Y + cy) * COARSE_Z + cz] = squared[p];
            }
#else
            squares.v[i] = squared[p];
#endif
#endif
        }
    }
}
