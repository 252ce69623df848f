// SPDX-License-Identifier: GPL-3.0-or-later
// The frame around an artist's stencil: one invocation per voxel. "fields" and "body" are generated for each stencil.
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_GOOGLE_cpp_style_line_directive : require
#extension GL_EXT_buffer_reference : require
#extension GL_EXT_scalar_block_layout : require
#extension GL_EXT_shader_16bit_storage : require

layout(local_size_x_id = 0, local_size_y_id = 1, local_size_z_id = 2) in;

#include "address.glsl"
#include "random.glsl"
#include "noise.glsl"
#include "fields"
#include "body"

void main() {
    fs_coord = invocation_coord();
    if (!InDomain(fs_coord)) {
        return;
    }
    fs_index = voxel_index(fs_coord);
    stencil(fs_index, fs_coord);
    fs_store();
}
