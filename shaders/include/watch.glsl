// SPDX-License-Identifier: GPL-3.0-or-later
// What a voxel's code did that its results do not show: turns of loops, and reads at places that are none. Included by
// stencils that can do either; main() puts it into status words.

// ===== Loops: a voxel has so many turns for all of those that are counted. The Python twin is engine/glsl_loops.py.

int fs_turns = 0;
int fs_turned = -1; // the loop that had none left, the first one where there are several

// Whether loop `loop` may go on; a turn counts for `weight`, with those of plain loops in it.
bool fs_turn(const int loop, const int weight) {
    fs_turns += weight;
    bool goes_on = fs_turns <= FS_MOST_TURNS;
    if (FS_LOOPS > 1) { // a kernel with one loop knows which it was, and does without a third of what counting costs
        fs_turned = goes_on || fs_turned >= 0 ? fs_turned : loop;
    }
    return goes_on;
}

// ===== Places

const uint FS_NOWHERE = 0x7fffffffu;
uint fs_wildest = 0u; // from 0x7f800000, the bits of infinity, on there was a read at no place

void fs_look_at(const vec3 p) {
    uvec3 bits = floatBitsToUint(p) & 0x7fffffffu;
    fs_wildest = max(fs_wildest, max(bits.x, max(bits.y, bits.z)));
}

void fs_look_at(const bool inside) {
    fs_wildest = inside ? fs_wildest : FS_NOWHERE;
}
