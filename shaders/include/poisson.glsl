// SPDX-License-Identifier: GPL-3.0-or-later
// One grid of the pressure solver: its size, its metric, and what lies beyond its ends. The Python twin is
// fluid_addon/engine/multigrid.py, which also explains the numbers.
//
// Along each axis the equation of cell i is width_inverse(i) * (slope(i+1) * (x[i+1] - x[i]) - slope(i) * (x[i] -
// x[i-1])), where slope(i) is one over the distance between the centres of cells i-1 and i. All cells are alike but
// those at the ends, so a few specialisation constants say it all, and a compiler folds them.
//
// A grid is dense, or, where BRICK is defined, lies in bricks of BRICK cells along each edge, one for each active leaf;
// leaves that are not active are open air and have slot 0, which holds zeros. Kernels are the same but for three
// things: WORK, what an invocation has to do; cell_index, where a cell lies; and near_x, near_y, near_z, where the next
// cell along an axis lies. Both storages have to give the same bits, so what is rounded is `precise`: a compiler may
// not round it otherwise in one kernel than in another.
//
// Of a domain on several devices each has a slab of the finest grid: where SLAB is defined the planes of a dense one, and
// where HELD is, the leaves that it computes and those of its halo. Kernels that smooth work on the halo as well, so that
// several half sweeps need one exchange; what is wrong there creeps in by a plane with each.

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

// The coarser grid: an axis of one cell is coarsened no further.
const int SPAN_X = SIZE_X > 1 ? 2 : 1;
const int SPAN_Y = SIZE_Y > 1 ? 2 : 1;
const int SPAN_Z = SIZE_Z > 1 ? 2 : 1;
const int COARSE_X = (SIZE_X + SPAN_X - 1) / SPAN_X;
const int COARSE_Y = (SIZE_Y + SPAN_Y - 1) / SPAN_Y;
const int COARSE_Z = (SIZE_Z + SPAN_Z - 1) / SPAN_Z;

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

// The cell before or after along an axis, always one that exists.
int before(const int i, const int size, const bool periodic) {
    return i > 0 ? i - 1 : periodic ? size - 1 : 0;
}

int after(const int i, const int size, const bool periodic) {
    return i < size - 1 ? i + 1 : periodic ? 0 : size - 1;
}

// i where it lies on the axis, and the cell beyond the end where it does not.
int on_axis(const int i, const int size, const bool periodic) {
    return i < 0 ? before(0, size, periodic) : i < size ? i : after(size - 1, size, periodic);
}

// The number of an invocation, where workgroups of 64 lie along x and y.
int invocation() {
    return int((gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x) * 64u + gl_LocalInvocationIndex);
}

#ifdef BRICK
layout(buffer_reference, scalar, buffer_reference_align = 4) restrict readonly buffer Ints { int v[]; };
// The first members of a kernel's addresses: which leaves are active, their neighbours, and the slots of all leaves.
#define TOPOLOGY Ints leaf_order; Ints leaf_records; Ints leaf_table;

// The leaf that is worked on: where it is among the leaves, its slot, and those of its neighbours along the axes.
struct Leaf {
    ivec3 at;
    int slot;
    int xl;
    int xh;
    int yl;
    int yh;
    int zl;
    int zh;
};
Leaf leaf;

void enter(const Ints records, const int slot) {
    const int row = 32 * slot;
    leaf.slot = slot;
    leaf.at = ivec3(records.v[row + 27], records.v[row + 28], records.v[row + 29]);
    leaf.xl = records.v[row + 4];
    leaf.xh = records.v[row + 22];
    leaf.yl = records.v[row + 10];
    leaf.yh = records.v[row + 16];
    leaf.zl = records.v[row + 12];
    leaf.zh = records.v[row + 14];
}

const int NO_LEAF = 1 << 24; // beyond the end of every grid

// Enter the leaf of an invocation, where a leaf has x * y * z pieces of work. Gives the coordinates of the piece among
// those of all leaves.
ivec3 work(const Ints order, const Ints records, const int x, const int y, const int z) {
    int number = invocation();
    int i = int(uint(number) / uint(x * y * z));
#ifdef HELD
    int leaves = records.v[31];
#else
    int leaves = order.v[1];
#endif
    if (i >= leaves) {
        return ivec3(NO_LEAF);
    }
    enter(records, order.v[8 + order.v[0] + i]);
    uint piece = uint(number);
    uvec3 own = uvec3(piece / uint(y * z) % uint(x), piece / uint(z) % uint(y), piece % uint(z));
    return leaf.at * ivec3(x, y, z) + ivec3(own);
}

#define WORK(x, y, z) work(leaf_order, leaf_records, x, y, z)

// Enter the leaf that holds a cell; false: it is not active.
bool enter_at(const Ints table, const Ints records, const int x, const int y, const int z) {
    const int leaves_y = (SIZE_Y + BRICK - 1) / BRICK, leaves_z = (SIZE_Z + BRICK - 1) / BRICK;
    ivec3 at = ivec3(x, y, z) / BRICK;
    int slot = table.v[2 * ((at.x * leaves_y + at.y) * leaves_z + at.z)];
    enter(records, max(slot, 0));
    leaf.at = at;
    return slot > 0;
}

#define ENTER(x, y, z) enter_at(leaf_table, leaf_records, x, y, z)

// Where a cell of a brick lies, by its coordinates in the brick.
int brick_index(const int edge, const int slot, const int x, const int y, const int z) {
    return slot * (edge * edge * edge) + y * edge + x * (edge * edge) + z;
}

// Along an axis of `size` cells, of which a leaf has those from `first`: the brick that holds cell i of the leaf or next
// to it, and the cell's place in the brick.
ivec2 in_brick(const int size, const int edge, const int first, const int i, const int low, const int own, const int high) {
    int before_first = i < 0 ? (size - 1) % edge : edge - 1;
    return i < first ? ivec2(low, before_first) : i < min(first + edge, size) ? ivec2(own, i - first) : ivec2(high, 0);
}

// Where a cell lies that is in the leaf, or next to it along x; `size`, `edge`: of its grid.
int brick_near_x(const int size, const int edge, const int x, const int y, const int z) {
    ivec3 first = leaf.at * edge;
    ivec2 found = in_brick(size, edge, first.x, x, leaf.xl, leaf.slot, leaf.xh);
    return brick_index(edge, found.x, found.y, y - first.y, z - first.z);
}

int brick_near_y(const int size, const int edge, const int x, const int y, const int z) {
    ivec3 first = leaf.at * edge;
    ivec2 found = in_brick(size, edge, first.y, y, leaf.yl, leaf.slot, leaf.yh);
    return brick_index(edge, found.x, x - first.x, found.y, z - first.z);
}

int brick_near_z(const int size, const int edge, const int x, const int y, const int z) {
    ivec3 first = leaf.at * edge;
    ivec2 found = in_brick(size, edge, first.z, z, leaf.zl, leaf.slot, leaf.zh);
    return brick_index(edge, found.x, x - first.x, y - first.y, found.y);
}

// Where a cell of the leaf lies.
int brick_own(const int edge, const int x, const int y, const int z) {
    ivec3 place = ivec3(x, y, z) - leaf.at * edge;
    return brick_index(edge, leaf.slot, place.x, place.y, place.z);
}

int cell_index(const int x, const int y, const int z) {
    return brick_own(BRICK, x, y, z);
}

int near_x(const int x, const int y, const int z) {
    return brick_near_x(SIZE_X, BRICK, x, y, z);
}

int near_y(const int x, const int y, const int z) {
    return brick_near_y(SIZE_Y, BRICK, x, y, z);
}

int near_z(const int x, const int y, const int z) {
    return brick_near_z(SIZE_Z, BRICK, x, y, z);
}

// The cell of the leaf that is nearest along z.
int own_z(const int z) {
    return clamp(z, leaf.at.z * BRICK, min(leaf.at.z * BRICK + BRICK, SIZE_Z) - 1);
}

// Whether what lies at an index is part of a leaf that is not active, or of none at all.
bool in_background(const int index) {
    return index < BRICK * BRICK * BRICK;
}
#if BRICK % 2 == 0
// The coarser grid lies in bricks as well; that of bricks of an odd edge is dense.
#define COARSE_BRICK (BRICK / 2)
#endif
#else
#define TOPOLOGY
#define WORK(x, y, z) ivec3(gl_GlobalInvocationID.zyx)
#define ENTER(x, y, z) true

#ifdef SLAB
layout(constant_id = 47) const int HELD_FIRST = 0; // the first plane that is held, negative where it wraps around
layout(constant_id = 48) const int HELD_PLANES = 1;
layout(constant_id = 49) const int OWN_FIRST = 0; // the first plane that is computed here
layout(constant_id = 50) const int OWN_PLANES = 1;

// Where a plane lies among those that are held, the nearest where it is none of them; and the plane that lies there.
int held_place(const int x, const int size, const int first, const int planes) {
    int place = x - first;
    place = !PERIODIC_X ? place : place < 0 ? place + size : place >= size ? place - size : place;
    return clamp(place, 0, planes - 1);
}

int held_plane(const int place, const int size, const int first, const int planes) {
    int x = first + place;
    return place >= planes ? size : x < 0 ? x + size : x >= size ? x - size : x;
}

int cell_index(const int x, const int y, const int z) {
    return (held_place(x, SIZE_X, HELD_FIRST, HELD_PLANES) * SIZE_Y + y) * SIZE_Z + z;
}
#else
int cell_index(const int x, const int y, const int z) {
    return (x * SIZE_Y + y) * SIZE_Z + z;
}
#endif

// Where a cell lies whose x may be one beyond the ends; there it is any cell, or the one that follows.
int near_x(const int x, const int y, const int z) {
    return cell_index(on_axis(x, SIZE_X, PERIODIC_X), y, z);
}

int near_y(const int x, const int y, const int z) {
    return cell_index(x, on_axis(y, SIZE_Y, PERIODIC_Y), z);
}

int near_z(const int x, const int y, const int z) {
    return cell_index(x, y, on_axis(z, SIZE_Z, PERIODIC_Z));
}

int own_z(const int z) {
    return min(z, SIZE_Z - 1);
}

bool in_background(const int index) {
    return false;
}
#endif

// Between a grid and the coarser one an invocation has coarse cells. Where a leaf holds whole coarse cells, it has some
// of one leaf's; where it does not, each cell's leaf is looked up, and may be none.
#if defined(BRICK) && !defined(COARSE_BRICK)
#define COARSE_WORK(x, y, z) ivec3(gl_GlobalInvocationID.zyx)
#define IN_LEAF(x, y, z) ENTER(x, y, z)
#else
#define COARSE_WORK(x, y, z) WORK(x, y, z)
#define IN_LEAF(x, y, z) true
#endif

#ifdef COARSE_BRICK
int coarse_index(const int x, const int y, const int z) {
    return brick_own(COARSE_BRICK, x, y, z);
}

int coarse_near_x(const int x, const int y, const int z) {
    return brick_near_x(COARSE_X, COARSE_BRICK, x, y, z);
}

int coarse_near_y(const int x, const int y, const int z) {
    return brick_near_y(COARSE_Y, COARSE_BRICK, x, y, z);
}

int coarse_near_z(const int x, const int y, const int z) {
    return brick_near_z(COARSE_Z, COARSE_BRICK, x, y, z);
}
#else
#ifdef SLAB
const int COARSE_HELD_FIRST = HELD_FIRST / 2;
const int COARSE_HELD_PLANES = (HELD_PLANES + 1) / 2;

int coarse_index(const int x, const int y, const int z) {
    return (held_place(x, COARSE_X, COARSE_HELD_FIRST, COARSE_HELD_PLANES) * COARSE_Y + y) * COARSE_Z + z;
}
#else
int coarse_index(const int x, const int y, const int z) {
    return (x * COARSE_Y + y) * COARSE_Z + z;
}
#endif

int coarse_near_x(const int x, const int y, const int z) {
    return coarse_index(on_axis(x, COARSE_X, PERIODIC_X), y, z);
}

int coarse_near_y(const int x, const int y, const int z) {
    return coarse_index(x, on_axis(y, COARSE_Y, PERIODIC_Y), z);
}

int coarse_near_z(const int x, const int y, const int z) {
    return coarse_index(x, y, on_axis(z, COARSE_Z, PERIODIC_Z));
}
#endif

// The first of some planes that an invocation works on, by the number of its piece of work; of a slab those that are held,
// or those that are computed. Beyond the last it is `SIZE_X` or more, or `COARSE_X`.
#ifdef SLAB
int first_plane(const int number, const int planes) {
    return held_plane(number * planes, SIZE_X, HELD_FIRST, HELD_PLANES);
}

int first_own_plane(const int number, const int planes) {
    return number * planes < OWN_PLANES ? OWN_FIRST + number * planes : SIZE_X;
}

int first_coarse_plane(const int number) {
    return held_plane(number, COARSE_X, COARSE_HELD_FIRST, COARSE_HELD_PLANES);
}
#else
int first_plane(const int number, const int planes) {
    return number * planes;
}

int first_own_plane(const int number, const int planes) {
    return number * planes;
}

int first_coarse_plane(const int number) {
    return number;
}
#endif

// Whether a cell before or after an end of the axis is one: it is where the axis is periodic.
bool is_there_x(const int x) {
    return PERIODIC_X || uint(x) < uint(SIZE_X);
}

bool is_there_y(const int y) {
    return PERIODIC_Y || uint(y) < uint(SIZE_Y);
}

bool is_there_z(const int z) {
    return PERIODIC_Z || uint(z) < uint(SIZE_Z);
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

#if defined(BRICK) && !defined(FACES)
// The coefficient of a leaf that is not active, from one over the cell's width.
float towards_air(const float w) {
    precise float c = w * (2.0 * w / (1.0 + w));
    return c;
}
#endif

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
    precise Couplings c = Couplings(
        wx * slope_x(x), wx * slope_x(x + 1), wy * slope_y(y), wy * slope_y(y + 1), wz * slope_z(z), wz * slope_z(z + 1)
    );
#if defined(BRICK) && !defined(FACES)
    if (LEAK != 0.0) {
        // Towards a leaf that is not active the unknown is 0 in the middle of the first voxel, not of the first cell.
        int lx = leaf.at.x * BRICK, ly = leaf.at.y * BRICK, lz = leaf.at.z * BRICK;
        int hx = min(lx + BRICK, SIZE_X) - 1, hy = min(ly + BRICK, SIZE_Y) - 1, hz = min(lz + BRICK, SIZE_Z) - 1;
        c.xl = x == lx && leaf.xl == 0 && is_there_x(x - 1) ? towards_air(wx) : c.xl;
        c.xh = x == hx && leaf.xh == 0 && is_there_x(x + 1) ? towards_air(wx) : c.xh;
        c.yl = y == ly && leaf.yl == 0 && is_there_y(y - 1) ? towards_air(wy) : c.yl;
        c.yh = y == hy && leaf.yh == 0 && is_there_y(y + 1) ? towards_air(wy) : c.yh;
        c.zl = z == lz && leaf.zl == 0 && is_there_z(z - 1) ? towards_air(wz) : c.zl;
        c.zh = z == hz && leaf.zh == 0 && is_there_z(z + 1) ? towards_air(wz) : c.zh;
    }
#endif
    return c;
}

float total(const Couplings c) {
    precise float sum = c.xl + c.xh + c.yl + c.yh + c.zl + c.zh;
    return sum;
}

// Byte 3 on the finest grid: whether a cell is open air. On coarser ones 255 is open air, and less is a leak into the
// open air among the cell's own cells, in sixteenths of LEAK.
bool is_open_air(const uint packed) {
    return packed >> 24 >= (LEAK == 0.0 ? 1u : 255u);
}

#ifdef FACES
float leak_of(const uint packed) {
    precise float leak = LEAK == 0.0 ? 0.0 : float(packed >> 24) * LEAK / 16.0;
    return leak;
}

// The openness of a cell's faces, from its own packed faces and those of the next cells. Beyond the high end of an axis
// that is not periodic nothing is stored: `couplings` closes it, or coarse grids take it as open.
void close_faces(
    inout Couplings c, const int x, const int y, const int z, const uint own, const uint nx, const uint ny, const uint nz
) {
    const float unit = 1.0 / 255.0;
    precise Couplings closed = c;
    closed.xl *= float(own & 255u) * unit;
    closed.yl *= float(own >> 8 & 255u) * unit;
    closed.zl *= float(own >> 16 & 255u) * unit;
    closed.xh *= PERIODIC_X || x < SIZE_X - 1 ? float(nx & 255u) * unit : 1.0;
    closed.yh *= PERIODIC_Y || y < SIZE_Y - 1 ? float(ny >> 8 & 255u) * unit : 1.0;
    closed.zh *= PERIODIC_Z || z < SIZE_Z - 1 ? float(nz >> 16 & 255u) * unit : 1.0;
    c = closed;
}
#endif
