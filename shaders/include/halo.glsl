// SPDX-License-Identifier: GPL-3.0-or-later
// The planes of a slab and its halo, and the reads that go beyond them.

// How many planes of the domain's voxels a halo lacked, at most; the host widens it and runs the stencil again.
int fs_beyond = 0;

// Where a plane lies among those that are held; outside them where it is not.
int fs_plane(const int x, const ivec2 held, const int size) {
    int plane = x - held.x;
    if (FS_BOUNDARY_X == FS_PERIODIC) {
        plane = plane < 0 ? plane + size : plane >= size ? plane - size : plane;
    }
    return plane;
}

// The same for a plane that a script computed: always one that is held, and a read that needs another is noted.
// `scale` is the resolution of the planes, as numerator and denominator. While halos travel they count as missing.
int fs_hold(const int x, const bool asked, const ivec2 held, const int size, const ivec2 scale) {
    int plane = fs_plane(x, held, size);
    ivec2 away = fs_away * scale.x / scale.y;
    int below = away.x - plane;
    int above = plane - (held.y - away.y) + 1;
    int missing = below > 0 || FS_BOUNDARY_X != FS_PERIODIC ? max(above, below) : min(above, size - plane + away.x);
    missing = (missing * scale.y + scale.x - 1) / scale.x;
    fs_beyond = asked ? max(fs_beyond, missing) : fs_beyond;
    return clamp(plane, 0, held.y - 1);
}
