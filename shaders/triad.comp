// SPDX-License-Identifier: GPL-3.0-or-later
// a = b + s c over long arrays: the part of a device's speed that stencils live on, its memory's. The other half is
// fluid_addon/engine/device_speed.py.
#version 460
#extension GL_EXT_buffer_reference : require
#extension GL_EXT_scalar_block_layout : require

layout(local_size_x_id = 0, local_size_y_id = 1, local_size_z_id = 2) in;

layout(buffer_reference, scalar, buffer_reference_align = 4) restrict readonly buffer Source { float v[]; };
layout(buffer_reference, scalar, buffer_reference_align = 4) restrict writeonly buffer Target { float v[]; };
layout(set = 0, binding = 1, scalar) uniform Addresses {
    Target a;
    Source b;
    Source c;
};

void main() {
    const uint i = gl_GlobalInvocationID.x;
    a.v[i] = b.v[i] + 0.5 * c.v[i];
}
