// SPDX-License-Identifier: GPL-3.0-or-later
// Half a sweep of red-black Gauss-Seidel, in place: every cell of one colour gets the value that solves its equation,
// or goes beyond it.
// An invocation has ROWS rows along x, each of PAIRS pairs along z; one cell of a pair has the colour. All that it
// reads are cells of the other colour, which nobody writes meanwhile. "variant" defines ROWS, PAIRS, and what applies
// of FACES (a field says how open faces are) and FROM_ZERO (the other colour is 0 and is written as such: the first
// half of the first sweep on a coarse grid).
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
    Floats unknown;
    ReadFloats rhs;
    Numbers numbers;
#ifdef FACES
    ReadFaces faces;
#endif
    Half half_sweep;
};

void main() {
    int pair = int(gl_GlobalInvocationID.x) * PAIRS;
    int y = int(gl_GlobalInvocationID.y);
    int x0 = int(gl_GlobalInvocationID.z) * ROWS;
    if (2 * pair >= SIZE_Z || y >= SIZE_Y || x0 >= SIZE_X) {
        return;
    }
    float mean = numbers.mean;
    float shift = numbers.shift;
    int colour = half_sweep.colour;
    float omega = half_sweep.omega;
    int y_low = before(y, SIZE_Y, PERIODIC_Y);
    int y_high = after(y, SIZE_Y, PERIODIC_Y);
#ifndef FROM_ZERO
    // Cells of the other colour: in row r of the block at z = 2 (pair + p) + 1 - odd(r), which is where the rows
    // beside it have the colour.
    float other[(ROWS + 2) * PAIRS];
    for (int r = -1; r <= ROWS; r++) {
        int x = x0 + r;
        int beside = (x0 + r + y + colour + 1) & 1;
        bool there = PERIODIC_X || uint(x) < uint(SIZE_X);
        x = x < 0 ? before(0, SIZE_X, PERIODIC_X) : x >= SIZE_X ? after(SIZE_X - 1, SIZE_X, PERIODIC_X) : x;
        for (int p = 0; p < PAIRS; p++) {
            int z = 2 * (pair + p) + beside;
            bool inside = there && (PERIODIC_Z || z < SIZE_Z);
            z = z < SIZE_Z ? z : after(SIZE_Z - 1, SIZE_Z, PERIODIC_Z);
            float v = unknown.v[cell_index(x, y, z)];
            other[(r + 1) * PAIRS + p] = inside ? v : 0.0;
        }
    }
#endif
    for (int r = 0; r < ROWS; r++) {
        int x = x0 + r;
        if (x >= SIZE_X) {
            break;
        }
        int odd = (x + y + colour) & 1;
#ifndef FROM_ZERO
        // The neighbour along z that lies in no pair of this block.
        int far_z = odd == 1 ? 2 * (pair + PAIRS) : 2 * pair - 1;
        bool far_there = PERIODIC_Z || uint(far_z) < uint(SIZE_Z);
        far_z = far_z < 0 ? before(0, SIZE_Z, PERIODIC_Z) : far_z;
        far_z = far_z >= SIZE_Z ? after(SIZE_Z - 1, SIZE_Z, PERIODIC_Z) : far_z;
        float far = unknown.v[cell_index(x, y, far_z)];
        far = far_there ? far : 0.0;
#endif
        for (int p = 0; p < PAIRS; p++) {
            int z = 2 * (pair + p) + odd;
            bool there = z < SIZE_Z;
            z = there ? z : SIZE_Z - 1;
            int i = cell_index(x, y, z);
            Couplings c = couplings(x, y, z);
            bool air = in_air_side(x, y, z);
            float leak = 0.0;
#ifdef FACES
            uint own = faces.v[i];
            uint nx = faces.v[cell_index(after(x, SIZE_X, PERIODIC_X), y, z)];
            uint ny = faces.v[cell_index(x, y_high, z)];
            uint nz = faces.v[cell_index(x, y, after(z, SIZE_Z, PERIODIC_Z))];
            close_faces(c, x, y, z, own, nx, ny, nz);
            air = air || is_open_air(own);
            leak = leak_of(own);
#endif
            float sum = mean - rhs.v[i];
#ifndef FROM_ZERO
            float here = other[(r + 1) * PAIRS + p];
            float zl = odd == 1 ? here : p == 0 ? far : other[(r + 1) * PAIRS + max(p - 1, 0)];
            float zh = odd == 0 ? here : p == PAIRS - 1 ? far : other[(r + 1) * PAIRS + min(p + 1, PAIRS - 1)];
            float yl = unknown.v[cell_index(x, y_low, z)];
            float yh = unknown.v[cell_index(x, y_high, z)];
            sum += c.xl * other[r * PAIRS + p] + c.xh * other[(r + 2) * PAIRS + p];
            sum += c.yl * (PERIODIC_Y || y > 0 ? yl : 0.0) + c.yh * (PERIODIC_Y || y < SIZE_Y - 1 ? yh : 0.0);
            sum += c.zl * zl + c.zh * zh;
#endif
            float diagonal = total(c) + leak + shift;
            float value = sum / diagonal;
#ifdef FROM_ZERO
            value *= omega;
#else
            if (omega != 1.0) {
                value = mix(unknown.v[i], value, omega);
            }
#endif
            value = air || diagonal == 0.0 ? 0.0 : value;
            if (there && in_turn(x, y, z)) {
                unknown.v[i] = value;
            }
#ifdef FROM_ZERO
            int beside = 2 * (pair + p) + 1 - odd;
            if (beside < SIZE_Z) {
                unknown.v[cell_index(x, y, beside)] = 0.0;
            }
#endif
        }
    }
}
