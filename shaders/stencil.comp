// SPDX-License-Identifier: GPL-3.0-or-later
// The frame around an artist's stencil. Generated for each stencil: "fields", the buffers and what reads and writes
// them; "body", the artist's code as a function of one voxel; "block", main(), which runs it for a block of voxels.
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_GOOGLE_cpp_style_line_directive : require
#extension GL_EXT_buffer_reference : require
#extension GL_EXT_scalar_block_layout : require
#extension GL_EXT_shader_16bit_storage : require
#extension GL_EXT_shader_explicit_arithmetic_types_int64 : require

layout(local_size_x_id = 0, local_size_y_id = 1, local_size_z_id = 2) in;

#include "address.glsl"
#include "random.glsl"
#include "noise.glsl"
#include "faces.glsl"
#include "fields"
#include "body"
#include "block"
