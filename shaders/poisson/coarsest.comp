// SPDX-License-Identifier: GPL-3.0-or-later
// The coarsest grid, at most 64 cells, solved exactly by one workgroup: Cholesky's elimination without roots (L D
// L^T) of the equations made symmetric by the cells' volumes, a row for each invocation. Sweeps would not do: where a
// wall with a small opening parts the domain, the difference between its two sides is all that is left to this grid,
// and sweeps carry hardly anything through the opening. Where the unknown is known up to a constant only, the last
// cell of each part of the domain has no pivot and gets 0; so does open air. "variant" defines what applies of BRICK and FACES.
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_buffer_reference : require
#extension GL_EXT_scalar_block_layout : require

#include "variant"
#include "poisson.glsl"

layout(set = 0, binding = 1, scalar) uniform Addresses {
    TOPOLOGY
    Floats unknown;
    ReadFloats rhs;
    Numbers numbers;
#ifdef FACES
    ReadFaces faces;
#endif
};

const int CELLS = SIZE_X * SIZE_Y * SIZE_Z;
const float NO_PIVOT = 1e-5; // what is left of a row's diagonal by rounding alone
shared float matrix[64 * 65 / 2]; // the lower triangle, row by row
shared float values[64];
shared float scales[64];

int number_of(const int x, const int y, const int z) {
    return (x * SIZE_Y + y) * SIZE_Z + z;
}

int place(const int row, const int column) {
    return row * (row + 1) / 2 + column;
}

// Two cells that meet twice, across the ends of a periodic axis, are coupled twice.
void couple(const int row, const int column, const float by) {
    if (column < row) {
        precise float coupled = matrix[place(row, column)] - by;
        matrix[place(row, column)] = coupled;
    }
}

void main() {
    int lane = int(gl_LocalInvocationIndex);
    bool there = lane < CELLS;
    int i = there ? lane : 0;
    int z = i % SIZE_Z;
    int y = i / SIZE_Z % SIZE_Y;
    int x = i / (SIZE_Z * SIZE_Y);
    bool held = ENTER(x, y, z);
    Couplings c = couplings(x, y, z);
    bool air = in_air_side(x, y, z) || !held;
    float leak = 0.0;
    int stored = cell_index(x, y, z);
#ifdef FACES
    uint packed = faces.v[stored];
    uint nx = faces.v[near_x(x + 1, y, z)];
    uint ny = faces.v[near_y(x, y + 1, z)];
    uint nz = faces.v[near_z(x, y, z + 1)];
    close_faces(c, x, y, z, packed, nx, ny, nz);
    air = air || is_open_air(packed);
    leak = leak_of(packed);
#endif
    precise float volume = 1.0 / (width_x(x) * width_y(y) * width_z(z));
    precise float diagonal = volume * (total(c) + leak + numbers.shift);
    precise float right = -volume * rhs.v[stored];
    values[lane] = there && !air ? right : 0.0;
    if (there) {
        for (int column = 0; column < lane; column++) {
            matrix[place(lane, column)] = 0.0;
        }
        matrix[place(lane, lane)] = diagonal;
        couple(lane, number_of(before(x, SIZE_X, PERIODIC_X), y, z), volume * c.xl);
        couple(lane, number_of(after(x, SIZE_X, PERIODIC_X), y, z), volume * c.xh);
        couple(lane, number_of(x, before(y, SIZE_Y, PERIODIC_Y), z), volume * c.yl);
        couple(lane, number_of(x, after(y, SIZE_Y, PERIODIC_Y), z), volume * c.yh);
        couple(lane, number_of(x, y, before(z, SIZE_Z, PERIODIC_Z)), volume * c.zl);
        couple(lane, number_of(x, y, after(z, SIZE_Z, PERIODIC_Z)), volume * c.zh);
        scales[lane] = NO_PIVOT * diagonal;
        if (air) {
            matrix[place(lane, lane)] = 0.0; // no pivot
        }
    }
    // There is one workgroup. A count that a compiler cannot know keeps it from unrolling loops of barriers: lavapipe
    // takes seconds over those.
    int cells = CELLS * int(gl_NumWorkGroups.x);
    for (int k = 0; k < cells; k++) {
        barrier();
        float pivot = matrix[place(k, k)];
        bool below = there && lane > k;
        float factor = 0.0;
        if (below) {
            factor = matrix[place(lane, k)];
        }
        float inverse = pivot > scales[k] ? 1.0 / pivot : 0.0;
        if (below) {
            factor *= inverse;
            precise float right = values[lane] - factor * values[k];
            values[lane] = right;
            for (int j = k + 1; j <= lane; j++) {
                precise float left = matrix[place(lane, j)] - factor * matrix[place(j, k)];
                matrix[place(lane, j)] = left;
            }
        }
    }
    for (int k = cells - 1; k >= 0; k--) {
        barrier();
        float pivot = matrix[place(k, k)];
        float inverse = pivot > scales[k] ? 1.0 / pivot : 0.0;
        float solved = values[k] * inverse;
        barrier();
        if (lane == k) {
            values[k] = solved;
        } else if (there && lane < k) {
            precise float right = values[lane] - matrix[place(k, lane)] * solved;
            values[lane] = right;
        }
    }
    barrier();
    if (there && held) {
        unknown.v[stored] = values[lane];
    }
}
