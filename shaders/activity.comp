// SPDX-License-Identifier: GPL-3.0-or-later
// How far the values of a field differ from its background, leaf by leaf: what decides which leaves are active next.
// A workgroup looks at one own active leaf of 8x8x8 voxels of the domain, for one rule. Its Python twin, which also
// says what the numbers mean, is fluid_addon/engine/activation.py.
// "field" is generated: STORED, LOADED, ALIGNMENT, COMPONENTS, SCALAR, WHOLE for fields of whole numbers, and VELOCITY
// and VELOCITY_ALIGNMENT where there is one.
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_buffer_reference : require
#extension GL_EXT_scalar_block_layout : require
#extension GL_EXT_shader_16bit_storage : require

layout(local_size_x_id = 0, local_size_y_id = 1, local_size_z_id = 2) in;

#include "field"
#include "address.glsl"

layout(constant_id = 11) const int EDGE = 8; // voxels of the field along the edge of a leaf
layout(constant_id = 12) const float ABOVE = 0.0;
layout(constant_id = 13) const float BELOW = 0.0;
layout(constant_id = 14) const SCALAR BACKGROUND_X = SCALAR(0);
layout(constant_id = 15) const SCALAR BACKGROUND_Y = SCALAR(0);
layout(constant_id = 16) const SCALAR BACKGROUND_Z = SCALAR(0);
layout(constant_id = 17) const SCALAR BACKGROUND_W = SCALAR(0);

layout(buffer_reference, scalar, buffer_reference_align = 4) restrict readonly buffer Numbers { int v[]; };
layout(buffer_reference, scalar, buffer_reference_align = ALIGNMENT) restrict readonly buffer Source { STORED v[]; };
#ifdef VELOCITY
layout(buffer_reference, scalar, buffer_reference_align = VELOCITY_ALIGNMENT) restrict readonly buffer Velocity {
    VELOCITY v[];
};
#endif
layout(buffer_reference, scalar, buffer_reference_align = 4) restrict writeonly buffer Target { uint v[]; };
layout(set = 0, binding = 1, scalar) uniform Addresses {
    Numbers order;
    Numbers records;
    Source source;
#ifdef VELOCITY
    Velocity velocity;
#endif
    Target target;
};

const int LEAF = 8;
const uint LANES = 64u;
const int SLOTS = 8;     // of the leaf order: the first number behind its ranges
const int RECORD = 32;   // numbers of a leaf
const int COORDS = 27;   // where its coordinates begin
const uint RESULTS = 8u; // numbers of a leaf
// Voxels of a finer field along the edge of a voxel of the domain.
const int FINER = EDGE > LEAF ? EDGE / LEAF : 1;

shared uint hot_planes;
shared uint warm_planes;
shared uint slowest[3];
shared uint fastest[3];

// Whole numbers differ by any difference. A NaN, seen by its bits, differs from everything.
bool differs(const LOADED v, const float by) {
#ifdef WHOLE
    return v != BACKGROUND_X;
#else
    vec4 value = vec4(0.0);
    vec4 background = vec4(0.0);
#if COMPONENTS == 1
    value.x = v;
    background.x = BACKGROUND_X;
#elif COMPONENTS == 2
    value.xy = v;
    background.xy = vec2(BACKGROUND_X, BACKGROUND_Y);
#elif COMPONENTS == 3
    value.xyz = v;
    background.xyz = vec3(BACKGROUND_X, BACKGROUND_Y, BACKGROUND_Z);
#else
    value = v;
    background = vec4(BACKGROUND_X, BACKGROUND_Y, BACKGROUND_Z, BACKGROUND_W);
#endif
    uvec4 bits = floatBitsToUint(value) & 0x7fffffffu;
    bvec4 no_number = greaterThan(bits, uvec4(0x7f800000u));
    return any(no_number) || any(greaterThan(abs(value - background), vec4(by)));
#endif
}

// A float as an unsigned number of the same order; a NaN as zero, for it says nothing of where something flows.
uint ordered(const float v) {
    uint bits = floatBitsToUint(v);
    if ((bits & 0x7fffffffu) > 0x7f800000u) {
        return 0x80000000u;
    }
    return bits ^ (bits >> 31u != 0u ? 0xffffffffu : 0x80000000u);
}

void main() {
    uint number = (gl_WorkGroupID.z * gl_NumWorkGroups.y + gl_WorkGroupID.y) * gl_NumWorkGroups.x + gl_WorkGroupID.x;
    if (number >= uint(order.v[1])) {
        return;
    }
    uint lane = gl_LocalInvocationIndex;
    if (lane == 0u) {
        hot_planes = 0u;
        warm_planes = 0u;
        for (int i = 0; i < 3; i++) {
            slowest[i] = 0xffffffffu;
            fastest[i] = 0u;
        }
    }
    barrier();

    int slot = order.v[SLOTS + order.v[0] + int(number)];
    int record = slot * RECORD + COORDS;
    ivec3 corner = LEAF * ivec3(records.v[record], records.v[record + 1], records.v[record + 2]);
    uint hot_here = 0u;
    uint warm_here = 0u;
    uvec3 low = uvec3(0xffffffffu);
    uvec3 high = uvec3(0u);
    for (int x = 0; x < LEAF; x++) {
        ivec3 at = ivec3(x, int(lane >> 3u), int(lane & 7u));
        if (!InDomain(corner + at)) {
            continue;
        }
        ivec3 first = at * EDGE / LEAF;
        bool hot = false;
        bool warm = false;
        for (int i = 0; i < FINER * FINER * FINER; i++) {
            ivec3 p = first + ivec3(i / (FINER * FINER), i / FINER % FINER, i % FINER);
            LOADED v = LOADED(source.v[((slot * EDGE + p.x) * EDGE + p.y) * EDGE + p.z]);
            hot = hot || differs(v, ABOVE);
            warm = warm || differs(v, BELOW);
        }
        uint planes = 1u << at.x | 0x100u << at.y | 0x10000u << at.z;
        warm_here |= warm ? planes : 0u;
        if (hot) {
            hot_here |= planes;
#ifdef VELOCITY
            vec3 flow = vec3(velocity.v[((slot * LEAF + at.x) * LEAF + at.y) * LEAF + at.z]);
#else
            vec3 flow = vec3(0.0);
#endif
            uvec3 key = uvec3(ordered(flow.x), ordered(flow.y), ordered(flow.z));
            low = min(low, key);
            high = max(high, key);
        }
    }
    if (warm_here != 0u) {
        atomicOr(warm_planes, warm_here);
    }
    if (hot_here != 0u) {
        atomicOr(hot_planes, hot_here);
        for (int i = 0; i < 3; i++) {
            atomicMin(slowest[i], low[i]);
            atomicMax(fastest[i], high[i]);
        }
    }
    barrier();
    if (lane == 0u) {
        uint result = number * RESULTS;
        target.v[result] = hot_planes;
        target.v[result + 1u] = warm_planes;
        for (uint i = 0u; i < 3u; i++) {
            target.v[result + 2u + i] = slowest[i];
            target.v[result + 5u + i] = fastest[i];
        }
    }
}
