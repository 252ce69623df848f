// SPDX-License-Identifier: GPL-3.0-or-later
// The coarsest grid, at most 64 cells, solved exactly by one workgroup: Cholesky's elimination without roots (L D
// L^T) of the equations made symmetric by the cells' volumes, a row for each invocation. Sweeps would not do: where a
// wall with a small opening parts the domain, the difference between its two sides is all that is left to this grid,
// and sweeps carry hardly anything through the opening. Where the unknown is known up to a constant only, the last
// cell of each part of the domain has no pivot and gets 0; so does open air. "variant" defines what applies of FACES.
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_buffer_reference : require
#extension GL_EXT_scalar_block_layout : require

#include "variant"
#include "poisson.glsl"

layout(set = 0, binding = 1, scalar) uniform Addresses {
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

int place(const int row, const int column) {
    return row * (row + 1) / 2 + column;
}

// Two cells that meet twice, across the ends of a periodic axis, are coupled twice.
void couple(const int row, const int column, const float by) {
    if (column < row) {
        matrix[place(row, column)] -= by;
    }
}

void main() {
    int lane = int(gl_LocalInvocationIndex);
    bool there = lane < CELLS;
    int i = there ? lane : 0;
    int z = i % SIZE_Z;
    int y = i / SIZE_Z % SIZE_Y;
    int x = i / (SIZE_Z * SIZE_Y);
    Couplings c = couplings(x, y, z);
    bool air = in_air_side(x, y, z);
    float leak = 0.0;
    int x_low = cell_index(before(x, SIZE_X, PERIODIC_X), y, z);
    int y_low = cell_index(x, before(y, SIZE_Y, PERIODIC_Y), z);
    int z_low = cell_index(x, y, before(z, SIZE_Z, PERIODIC_Z));
    int x_high = cell_index(after(x, SIZE_X, PERIODIC_X), y, z);
    int y_high = cell_index(x, after(y, SIZE_Y, PERIODIC_Y), z);
    int z_high = cell_index(x, y, after(z, SIZE_Z, PERIODIC_Z));
#ifdef FACES
    uint packed = faces.v[i];
    close_faces(c, x, y, z, packed, faces.v[x_high], faces.v[y_high], faces.v[z_high]);
    air = air || is_open_air(packed);
    leak = leak_of(packed);
#endif
    float volume = 1.0 / (width_x(x) * width_y(y) * width_z(z));
    float diagonal = volume * (total(c) + leak + numbers.shift);
    values[lane] = there ? -volume * rhs.v[i] : 0.0;
    if (there) {
        for (int column = 0; column < lane; column++) {
            matrix[place(lane, column)] = 0.0;
        }
        matrix[place(lane, lane)] = diagonal;
        couple(lane, x_low, volume * c.xl);
        couple(lane, x_high, volume * c.xh);
        couple(lane, y_low, volume * c.yl);
        couple(lane, y_high, volume * c.yh);
        couple(lane, z_low, volume * c.zl);
        couple(lane, z_high, volume * c.zh);
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
            values[lane] -= factor * values[k];
            for (int j = k + 1; j <= lane; j++) {
                matrix[place(lane, j)] -= factor * matrix[place(j, k)];
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
            values[lane] -= matrix[place(k, lane)] * solved;
        }
    }
    barrier();
    if (there) {
        unknown.v[lane] = values[lane];
    }
}
