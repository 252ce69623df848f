// SPDX-License-Identifier: GPL-3.0-or-later
// The yardstick: seven points, clamped border, as fast as we could write it by hand for one format and one boundary.
// An invocation computes 4 voxels along z and walks 4 along x, keeping the rows behind and ahead; every full row of four
// is two 64-bit loads. Measured with lavapipe (Mesa 25.0, 2 cores) against 1 … 8 voxels an invocation, 4, 8 and 16-byte
// loads, storage buffers and buffer references, and workgroups of 32 … 512.
#version 460
#extension GL_EXT_buffer_reference : require
#extension GL_EXT_scalar_block_layout : require
#extension GL_EXT_shader_explicit_arithmetic_types_int64 : require
#extension GL_EXT_control_flow_attributes : require

layout(local_size_x_id = 0, local_size_y_id = 1, local_size_z_id = 2) in;
layout(constant_id = 3) const int NX = 4;
layout(constant_id = 4) const int NY = 1;
layout(constant_id = 5) const int NZ = 4;

layout(buffer_reference, scalar, buffer_reference_align = 8) restrict readonly buffer Pairs { uint64_t v[]; };
layout(buffer_reference, scalar, buffer_reference_align = 4) restrict readonly buffer Single { float v[]; };
layout(buffer_reference, scalar, buffer_reference_align = 8) restrict writeonly buffer Target { uint64_t v[]; };
layout(set = 0, binding = 1, scalar) uniform Addresses {
    Pairs source;
    Target target;
};

const float K = 0.1;

vec2 two(uint64_t word) {
    return uintBitsToFloat(unpackUint2x32(word));
}

// Four voxels along z; `place` counts fours.
vec4 four(int place) {
    return vec4(two(source.v[2 * place]), two(source.v[2 * place + 1]));
}

void main() {
    ivec3 c = ivec3(gl_GlobalInvocationID.zyx) * ivec3(4, 1, 4);
    int low_y = max(c.y - 1, 0);
    int high_y = min(c.y + 1, NY - 1);
    int z = c.z / 4;
    vec4 behind = four((max(c.x - 1, 0) * NY + c.y) * (NZ / 4) + z);
    vec4 here = four((c.x * NY + c.y) * (NZ / 4) + z);
    [[unroll]] for (int step = 0; step < 4; step++, c.x++) {
        int plane = c.x * NY;
        vec4 ahead = four((min(c.x + 1, NX - 1) * NY + c.y) * (NZ / 4) + z);
        float before = Single(source).v[(plane + c.y) * NZ + max(c.z - 1, 0)];
        float after = Single(source).v[(plane + c.y) * NZ + min(c.z + 4, NZ - 1)];
        vec4 low = four((plane + low_y) * (NZ / 4) + z);
        vec4 high = four((plane + high_y) * (NZ / 4) + z);
        vec4 sum = behind + ahead + low + high + vec4(before, here.xyz) + vec4(here.yzw, after);
        vec4 result = here + K * (sum - 6.0 * here);
        int place = 2 * ((plane + c.y) * (NZ / 4) + z);
        target.v[place] = packUint2x32(floatBitsToUint(result.xy));
        target.v[place + 1] = packUint2x32(floatBitsToUint(result.zw));
        behind = here;
        here = ahead;
    }
}
