// SPDX-License-Identifier: GPL-3.0-or-later
// Half a sweep of red-black Gauss-Seidel, in place: every cell of one colour gets the value that solves its equation,
// or goes beyond it.
// An invocation has ROWS rows along x, each of PAIRS pairs along z; one cell of a pair has the colour. All that it
// reads are cells of the other colour, which nobody writes meanwhile. "variant" defines ROWS, PAIRS, and what applies
// of BRICK (see poisson.glsl), FACES (a field says how open faces are) and FROM_ZERO (the other colour is 0 and is
// written as such: the first half of the first sweep on a coarse grid).
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_buffer_reference : require
#extension GL_EXT_scalar_block_layout : require

#include "variant"
#include "poisson.glsl"

// The colour that is smoothed, and over-relaxation: how far to go, where 1 is up to the solution. In a buffer, so
// that one kernel does for all of them: drivers take long to take in a kernel.
layout(buffer_reference, scalar, buffer_reference_align = 4) restrict readonly buffer Half {
    int colour;
    float omega;
};

layout(set = 0, binding = 1, scalar) uniform Addresses {
    TOPOLOGY
    Floats unknown;
    ReadFloats rhs;
    Numbers numbers;
#ifdef FACES
    ReadFaces faces;
#endif
    Half half_sweep;
};

// Whether blocks never reach beyond an end of the domain, so that nothing has to be asked.
const bool WHOLE_X = SIZE_X % ROWS == 0;
#if defined(BRICK) && BRICK % 2 != 0
const bool WHOLE_Z = false;
#else
const bool WHOLE_Z = SIZE_Z % (2 * PAIRS) == 0;
#endif

// Where the cells lie that `other` has: in row r of the block, or in the rows beside it.
int near_block(const int r, const int x, const int y, const int z) {
#ifdef BRICK
    // A cell of the block is beyond its leaf only where an end of the domain cuts the leaf.
    if (r < 0 || r == ROWS || !WHOLE_X && x >= SIZE_X) {
        return near_x(x, y, WHOLE_Z ? z : own_z(z));
    }
    return WHOLE_Z ? cell_index(x, y, z) : near_z(x, y, z);
#else
    return near_z(on_axis(x, SIZE_X, PERIODIC_X), y, z);
#endif
}

void main() {
#ifdef BRICK
    const int across = (BRICK + 2 * PAIRS - 1) / (2 * PAIRS);
    ivec3 item = WORK(BRICK / ROWS, BRICK, across);
    // Where a leaf has an odd number of cells, its pairs are those that hold one of them.
    int pair = BRICK % 2 == 0 ? item.z * PAIRS : leaf.at.z * BRICK / 2 + item.z - leaf.at.z * across;
#else
    ivec3 item = WORK(0, 0, 0);
    int pair = item.z * PAIRS;
#endif
    int y = item.y;
    int x0 = first_plane(item.x, ROWS);
    if (2 * pair >= SIZE_Z || y >= SIZE_Y || x0 >= SIZE_X) {
        return;
    }
    float mean = numbers.mean;
    float shift = numbers.shift;
    int colour = half_sweep.colour;
    float omega = half_sweep.omega;
#ifndef FROM_ZERO
    // Cells of the other colour: in row r of the block at z = 2 (pair + p) + 1 - odd(r), which is where the rows
    // beside it have the colour.
    float other[(ROWS + 2) * PAIRS];
    for (int r = -1; r <= ROWS; r++) {
        int x = x0 + r;
        int beside = (x0 + r + y + colour + 1) & 1;
        bool there = is_there_x(x);
        for (int p = 0; p < PAIRS; p++) {
            int z = 2 * (pair + p) + beside;
            bool inside = there && (PERIODIC_Z || z < SIZE_Z);
            float v = unknown.v[near_block(r, x, y, z)];
            other[(r + 1) * PAIRS + p] = inside ? v : 0.0;
        }
    }
#endif
    for (int r = 0; r < ROWS; r++) {
        int x = x0 + r;
        if (!WHOLE_X && x >= SIZE_X) {
            break;
        }
        int odd = (x + y + colour) & 1;
#ifndef FROM_ZERO
        // The neighbour along z that lies in no pair of this block.
        int far_z = odd == 1 ? 2 * (pair + PAIRS) : 2 * pair - 1;
        float far = unknown.v[near_z(x, y, far_z)];
        far = is_there_z(far_z) ? far : 0.0;
#endif
        for (int p = 0; p < PAIRS; p++) {
            int z = 2 * (pair + p) + odd;
            bool there = WHOLE_Z || z == own_z(z);
            z = WHOLE_Z ? z : own_z(z);
            int i = cell_index(x, y, z);
            Couplings c = couplings(x, y, z);
            bool air = in_air_side(x, y, z);
            float leak = 0.0;
#ifdef FACES
            uint own = faces.v[i];
            uint nx = faces.v[near_x(x + 1, y, z)];
            uint ny = faces.v[near_y(x, y + 1, z)];
            uint nz = faces.v[near_z(x, y, z + 1)];
            close_faces(c, x, y, z, own, nx, ny, nz);
            air = air || is_open_air(own);
            leak = leak_of(own);
#endif
            precise float sum = mean - rhs.v[i];
#ifndef FROM_ZERO
            float here = other[(r + 1) * PAIRS + p];
            float zl = odd == 1 ? here : p == 0 ? far : other[(r + 1) * PAIRS + max(p - 1, 0)];
            float zh = odd == 0 ? here : p == PAIRS - 1 ? far : other[(r + 1) * PAIRS + min(p + 1, PAIRS - 1)];
            float yl = unknown.v[near_y(x, y - 1, z)];
            float yh = unknown.v[near_y(x, y + 1, z)];
            sum += c.xl * other[r * PAIRS + p] + c.xh * other[(r + 2) * PAIRS + p];
            sum += c.yl * (is_there_y(y - 1) ? yl : 0.0) + c.yh * (is_there_y(y + 1) ? yh : 0.0);
            sum += c.zl * zl + c.zh * zh;
#endif
            precise float diagonal = total(c) + leak + shift;
            precise float value = sum / diagonal;
#ifdef FROM_ZERO
            value *= omega;
#else
            if (omega != 1.0) {
                float old = unknown.v[i];
                value = old + omega * (value - old);
            }
#endif
            value = air || diagonal == 0.0 ? 0.0 : value;
            if (there && in_turn(x, y, z)) {
                unknown.v[i] = value;
            }
#ifdef FROM_ZERO
            int beside = 2 * (pair + p) + 1 - odd;
            if (WHOLE_Z || beside == own_z(beside)) {
                unknown.v[cell_index(x, y, beside)] = 0.0;
            }
#endif
        }
    }
}
