// SPDX-License-Identifier: GPL-3.0-or-later
// One grid of the pressure solver: its size, its metric, and what lies beyond its ends. The Python twin is
// fluid_addon/engine/multigrid.py, which also explains the numbers.
//
// Along each axis the equation of cell i is width_inverse(i) * (slope(i+1) * (x[i+1] - x[i]) - slope(i) * (x[i] -
// x[i-1])), where slope(i) is one over the distance between the centres of cells i-1 and i. All cells are alike but
// those at the ends, so a few specialisation constants say it all, and a compiler folds them.

layout(local_size_x_id = 0, local_size_y_id = 1, local_size_z_id = 2) in;
layout(constant_id = 3) const int SIZE_X = 1;
layout(constant_id = 4) const int SIZE_Y = 1;
layout(constant_id = 5) const int SIZE_Z = 1;
layout(constant_id = 6) const int PERIODIC = 0; // a bit for each axis
layout(constant_id = 7) const int AIR_SIDES = 0; // a bit for x low, x high, y low … where the outermost layer is air
layout(constant_id = 8) const int COLOUR = 0; // 0: cells whose coordinates have an even sum
layout(constant_id = 9) const int WRAP = -1; // see `wrap_class`; -1: every cell
// slope at 0, 1, the last cell, beyond it, elsewhere; width_inverse at 0, the last cell, elsewhere
layout(constant_id = 10) const float SLOPE_X_0 = 1.0;
layout(constant_id = 11) const float SLOPE_X_1 = 1.0;
layout(constant_id = 12) const float SLOPE_X_LAST = 1.0;
layout(constant_id = 13) const float SLOPE_X_END = 1.0;
layout(constant_id = 14) const float SLOPE_X = 1.0;
layout(constant_id = 15) const float WIDTH_X_0 = 1.0;
layout(constant_id = 16) const float WIDTH_X_LAST = 1.0;
layout(constant_id = 17) const float WIDTH_X = 1.0;
layout(constant_id = 18) const float SLOPE_Y_0 = 1.0;
layout(constant_id = 19) const float SLOPE_Y_1 = 1.0;
layout(constant_id = 20) const float SLOPE_Y_LAST = 1.0;
layout(constant_id = 21) const float SLOPE_Y_END = 1.0;
layout(constant_id = 22) const float SLOPE_Y = 1.0;
layout(constant_id = 23) const float WIDTH_Y_0 = 1.0;
layout(constant_id = 24) const float WIDTH_Y_LAST = 1.0;
layout(constant_id = 25) const float WIDTH_Y = 1.0;
layout(constant_id = 26) const float SLOPE_Z_0 = 1.0;
layout(constant_id = 27) const float SLOPE_Z_1 = 1.0;
layout(constant_id = 28) const float SLOPE_Z_LAST = 1.0;
layout(constant_id = 29) const float SLOPE_Z_END = 1.0;
layout(constant_id = 30) const float SLOPE_Z = 1.0;
layout(constant_id = 31) const float WIDTH_Z_0 = 1.0;
layout(constant_id = 32) const float WIDTH_Z_LAST = 1.0;
layout(constant_id = 33) const float WIDTH_Z = 1.0;

layout(constant_id = 60) const float LEAK = 0.0; // the unit of leaks into open air; 0 on the finest grid

const bool PERIODIC_X = (PERIODIC & 1) != 0;
const bool PERIODIC_Y = (PERIODIC & 2) != 0;
const bool PERIODIC_Z = (PERIODIC & 4) != 0;

layout(buffer_reference, scalar, buffer_reference_align = 4) buffer Floats { float v[]; };
layout(buffer_reference, scalar, buffer_reference_align = 4) restrict readonly buffer ReadFloats { float v[]; };
layout(buffer_reference, scalar, buffer_reference_align = 4) restrict readonly buffer ReadFaces { uint v[]; };
layout(buffer_reference, scalar, buffer_reference_align = 4) restrict writeonly buffer Faces { uint v[]; };
// What changes from solve to solve.
layout(buffer_reference, scalar, buffer_reference_align = 4) restrict readonly buffer Numbers {
    float mean; // taken out of the right side
    float shift;
    float beta; // of conjugate gradients: how much of the last direction the next one keeps
    float alpha; // and how far to go along it
};

int cell_index(const int x, const int y, const int z) {
    return (x * SIZE_Y + y) * SIZE_Z + z;
}

// The cell before or after along an axis, always one that exists.
int before(const int i, const int size, const bool periodic) {
    return i > 0 ? i - 1 : periodic ? size - 1 : 0;
}

int after(const int i, const int size, const bool periodic) {
    return i < size - 1 ? i + 1 : periodic ? 0 : size - 1;
}

float slope_x(const int i) {
    return i == 0 ? SLOPE_X_0 : i == SIZE_X ? SLOPE_X_END : i == 1 ? SLOPE_X_1
        : i == SIZE_X - 1 ? SLOPE_X_LAST : SLOPE_X;
}

float slope_y(const int i) {
    return i == 0 ? SLOPE_Y_0 : i == SIZE_Y ? SLOPE_Y_END : i == 1 ? SLOPE_Y_1
        : i == SIZE_Y - 1 ? SLOPE_Y_LAST : SLOPE_Y;
}

float slope_z(const int i) {
    return i == 0 ? SLOPE_Z_0 : i == SIZE_Z ? SLOPE_Z_END : i == 1 ? SLOPE_Z_1
        : i == SIZE_Z - 1 ? SLOPE_Z_LAST : SLOPE_Z;
}

float width_x(const int i) {
    return i == 0 ? WIDTH_X_0 : i == SIZE_X - 1 ? WIDTH_X_LAST : WIDTH_X;
}

float width_y(const int i) {
    return i == 0 ? WIDTH_Y_0 : i == SIZE_Y - 1 ? WIDTH_Y_LAST : WIDTH_Y;
}

float width_z(const int i) {
    return i == 0 ? WIDTH_Z_0 : i == SIZE_Z - 1 ? WIDTH_Z_LAST : WIDTH_Z;
}

// Whether the cell lies in an outermost layer that is open air.
bool in_air_side(const int x, const int y, const int z) {
    return (AIR_SIDES & 1) != 0 && x == 0 || (AIR_SIDES & 2) != 0 && x == SIZE_X - 1 ||
           (AIR_SIDES & 4) != 0 && y == 0 || (AIR_SIDES & 8) != 0 && y == SIZE_Y - 1 ||
           (AIR_SIDES & 16) != 0 && z == 0 || (AIR_SIDES & 32) != 0 && z == SIZE_Z - 1;
}

// Two colours do not part neighbours where a periodic axis has an odd number of cells: there the last cell meets one of
// its own colour. Cells of one colour and one class never meet.
int wrap_class(const int x, const int y, const int z) {
    return (PERIODIC_X && SIZE_X > 1 && (SIZE_X & 1) != 0 && x == SIZE_X - 1 ? 1 : 0) |
           (PERIODIC_Y && SIZE_Y > 1 && (SIZE_Y & 1) != 0 && y == SIZE_Y - 1 ? 2 : 0) |
           (PERIODIC_Z && SIZE_Z > 1 && (SIZE_Z & 1) != 0 && z == SIZE_Z - 1 ? 4 : 0);
}

bool in_turn(const int x, const int y, const int z) {
    return WRAP < 0 || wrap_class(x, y, z) == WRAP;
}

// The coefficients of a cell's six neighbours: x low, x high, y low, y high, z low, z high.
struct Couplings {
    float xl;
    float xh;
    float yl;
    float yh;
    float zl;
    float zh;
};

Couplings couplings(const int x, const int y, const int z) {
    float wx = width_x(x), wy = width_y(y), wz = width_z(z);
    return Couplings(
        wx * slope_x(x), wx * slope_x(x + 1), wy * slope_y(y), wy * slope_y(y + 1), wz * slope_z(z), wz * slope_z(z + 1)
    );
}

float total(const Couplings c) {
    return c.xl + c.xh + c.yl + c.yh + c.zl + c.zh;
}

#ifdef FACES
// Byte 3 on the finest grid: whether a cell is open air. On coarser ones 255 is open air, and less is a leak into the
// open air among the cell's own cells, in sixteenths of LEAK.
bool is_open_air(const uint packed) {
    return packed >> 24 >= (LEAK == 0.0 ? 1u : 255u);
}

float leak_of(const uint packed) {
    return LEAK == 0.0 ? 0.0 : float(packed >> 24) * LEAK / 16.0;
}

// The openness of a cell's faces, from its own packed faces and those of the next cells. Beyond the high end of an axis
// that is not periodic nothing is stored: `couplings` closes it, or coarse grids take it as open.
void close_faces(
    inout Couplings c, const int x, const int y, const int z, const uint own, const uint nx, const uint ny, const uint nz
) {
    const float unit = 1.0 / 255.0;
    c.xl *= float(own & 255u) * unit;
    c.yl *= float(own >> 8 & 255u) * unit;
    c.zl *= float(own >> 16 & 255u) * unit;
    c.xh *= PERIODIC_X || x < SIZE_X - 1 ? float(nx & 255u) * unit : 1.0;
    c.yh *= PERIODIC_Y || y < SIZE_Y - 1 ? float(ny >> 8 & 255u) * unit : 1.0;
    c.zh *= PERIODIC_Z || z < SIZE_Z - 1 ? float(nz >> 16 & 255u) * unit : 1.0;
}
#endif
