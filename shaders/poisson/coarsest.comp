// SPDX-License-Identifier: GPL-3.0-or-later
// The coarsest grid, at most 64 cells: red-black sweeps forth and back until it is solved, by one workgroup.
// "variant" defines what applies of FACES.
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_buffer_reference : require
#extension GL_EXT_scalar_block_layout : require

#include "variant"
#include "poisson.glsl"

layout(constant_id = 34) const int SWEEPS = 16;
layout(constant_id = 35) const int TURNS = 2; // 2, or 16 where colours do not part neighbours

layout(set = 0, binding = 1, scalar) uniform Addresses {
    Floats unknown;
    ReadFloats rhs;
    Numbers numbers;
#ifdef FACES
    ReadFaces faces;
#endif
};

const int CELLS = SIZE_X * SIZE_Y * SIZE_Z;
shared float values[65];

void main() {
    int lane = int(gl_LocalInvocationIndex);
    bool there = lane < CELLS;
    int i = there ? lane : 0;
    int z = i % SIZE_Z;
    int y = i / SIZE_Z % SIZE_Y;
    int x = i / (SIZE_Z * SIZE_Y);
    Couplings c = couplings(x, y, z);
    bool air = in_air_side(x, y, z);
    int x_high = cell_index(after(x, SIZE_X, PERIODIC_X), y, z);
    int y_high = cell_index(x, after(y, SIZE_Y, PERIODIC_Y), z);
    int z_high = cell_index(x, y, after(z, SIZE_Z, PERIODIC_Z));
#ifdef FACES
    uint packed = faces.v[i];
    close_faces(c, x, y, z, packed, faces.v[x_high], faces.v[y_high], faces.v[z_high]);
    air = air || packed >> 24 != 0u;
#endif
    float diagonal = total(c) + numbers.shift;
    float inverse = air || diagonal == 0.0 ? 0.0 : 1.0 / diagonal;
    float b = rhs.v[i];
    // Place 64 holds the 0 beyond the ends.
    int xl = PERIODIC_X || x > 0 ? cell_index(before(x, SIZE_X, PERIODIC_X), y, z) : 64;
    int yl = PERIODIC_Y || y > 0 ? cell_index(x, before(y, SIZE_Y, PERIODIC_Y), z) : 64;
    int zl = PERIODIC_Z || z > 0 ? cell_index(x, y, before(z, SIZE_Z, PERIODIC_Z)) : 64;
    int xh = PERIODIC_X || x < SIZE_X - 1 ? x_high : 64;
    int yh = PERIODIC_Y || y < SIZE_Y - 1 ? y_high : 64;
    int zh = PERIODIC_Z || z < SIZE_Z - 1 ? z_high : 64;
    int turn = ((x + y + z) & 1) + 2 * wrap_class(x, y, z);
    values[lane] = 0.0;
    if (lane == 0) {
        values[64] = 0.0;
    }
    barrier();
    for (int sweep = 0; sweep < SWEEPS; sweep++) {
        for (int t = 0; t < TURNS; t++) {
            if (there && turn == (sweep % 2 == 0 ? t : TURNS - 1 - t)) {
                float sum = c.xl * values[xl] + c.xh * values[xh] + c.yl * values[yl] + c.yh * values[yh];
                sum += c.zl * values[zl] + c.zh * values[zh];
                values[lane] = (sum - b) * inverse;
            }
            barrier();
        }
    }
    if (there) {
        unknown.v[lane] = values[lane];
    }
}
