// SPDX-License-Identifier: GPL-3.0-or-later
// Coordinates and boundaries: where voxels are, whatever way they lie in memory. Its Python twin is
// fluid_addon/engine/address.py; storage_dense.glsl, storage_slab.glsl and storage_leaves.glsl say how they lie.
//
// Every function gives a place that exists, whatever it is asked for, and says apart from it whether that is the voxel
// asked for: so a kernel loads first and selects the background afterwards, which costs far less than a branch around
// the load. Parameters are `const` throughout: a driver then has a fifth less to undo when it takes a kernel in.

layout(constant_id = 3) const int FS_SIZE_X = 1;
layout(constant_id = 4) const int FS_SIZE_Y = 1;
layout(constant_id = 5) const int FS_SIZE_Z = 1;
layout(constant_id = 6) const int FS_BOUNDARY_X = 0;
layout(constant_id = 7) const int FS_BOUNDARY_Y = 0;
layout(constant_id = 8) const int FS_BOUNDARY_Z = 0;
layout(constant_id = 10) const float voxel_size = 1.0;
const int FS_OPEN = 0;
const int FS_CLAMP = 1;
const int FS_PERIODIC = 2;

const ivec3 domain_size = ivec3(FS_SIZE_X, FS_SIZE_Y, FS_SIZE_Z);
const int FS_VOXELS = FS_SIZE_X * FS_SIZE_Y * FS_SIZE_Z;

bool InDomain(const ivec3 c) {
    return uint(c.x) < uint(FS_SIZE_X) && uint(c.y) < uint(FS_SIZE_Y) && uint(c.z) < uint(FS_SIZE_Z);
}

// A voxel's number in the whole domain, z fastest, which does not depend on how voxels are stored.
int dense_index(const ivec3 c) {
    return (c.x * FS_SIZE_Y + c.y) * FS_SIZE_Z + c.z;
}

ivec3 dense_coord(const int i) {
    int row = i / FS_SIZE_Z;
    return ivec3(row / FS_SIZE_Y, row % FS_SIZE_Y, i % FS_SIZE_Z);
}

// ===== From any coordinate to one inside the domain

// A coordinate along one axis by the axis' boundary rule, always 0 … size-1.
int fs_bring_in(const int c, const int size, const int boundary) {
    if (boundary == FS_PERIODIC) {
        int remainder = c % size;
        return remainder < 0 ? remainder + size : remainder;
    }
    return clamp(c, 0, size - 1);
}

// Whether the coordinate has a voxel: all do, but those outside an open axis.
bool fs_is_there(const int c, const int brought_in, const int boundary) {
    return boundary != FS_OPEN || brought_in == c;
}

// Whether the coordinate lies beyond a clamped end.
bool fs_is_beyond(const int c, const int brought_in, const int boundary) {
    return boundary == FS_CLAMP && brought_in != c;
}

// Whether the coordinate lies beyond the high end of a clamped axis, where a face along that axis is in a wall.
bool fs_is_wall(const int c, const int size, const int boundary) {
    return boundary == FS_CLAMP && c >= size;
}

// ===== Between voxels

// The two voxels around a position along one axis, and how far the position lies from the low one, 0 … 1.
struct fs_Span {
    int low;
    int high;
    bool has_low;
    bool has_high;
    float part;
};

// A whole number from -1 to `size` as an integer. A software driver turns floats into integers lane by lane, because
// anything might be in them; but from 2^23 to 2^24 the last bits of a float are the number itself.
int fs_whole(const float v, const int size) {
    return size < 1 << 22 ? floatBitsToInt(v + 12582912.0) - 0x4b400000 : int(v);
}

fs_Span fs_span(float p, const int size, const int boundary) {
    if (boundary == FS_PERIODIC) {
        p -= float(size) * floor(p / float(size));
    }
    // Comparisons in this sense turn NaN into a number, and what is left fits an integer.
    float lowest = boundary == FS_OPEN ? -1.0 : 0.0;
    float highest = boundary == FS_CLAMP ? float(size - 1) : float(size);
    p = p > lowest ? p : lowest;
    p = p < highest ? p : highest;
    float whole = floor(p);
    int c = fs_whole(whole, size);
    if (boundary == FS_PERIODIC) {  // c is at most `size`, where rounding put it
        int low = c == size ? 0 : c;
        return fs_Span(low, low + 1 == size ? 0 : low + 1, true, true, p - whole);
    }
    int low = boundary == FS_OPEN ? clamp(c, 0, size - 1) : c;
    int high = min(c + 1, size - 1);
    return fs_Span(low, high, fs_is_there(c, low, boundary), fs_is_there(c + 1, high, boundary), p - whole);
}

// The same between faces along their own axis: beyond the high end of a clamped axis there is a wall.
fs_Span fs_face_span(const float p, const int size, const int boundary) {
    if (boundary == FS_CLAMP) {
        return fs_span(p > 0.0 ? p : 0.0, size, FS_OPEN);
    }
    return fs_span(p, size, boundary);
}
