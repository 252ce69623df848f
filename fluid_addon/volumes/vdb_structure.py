# SPDX-License-Identifier: GPL-3.0-or-later
"""The skeleton of an OpenVDB file (.vdb): which grids it has, and where each grid's leaves, masks and tiles are.

Blender's OpenVDB module reads and writes values, but it cannot tell where the leaves are, does not check lengths, and
says nothing when a disk is full. All that can be learnt from the file itself, whose structure is stored apart from the
values. Every offset and count is checked against the bytes that are there. Format versions 222 (2013) and later.

Source: the public OpenVDB sources (openvdb/io/Archive.cc, GridDescriptor.cc, Compression.h; tree/RootNode.h,
InternalNode.h). Everything is little endian. After a header and metadata, every grid has a descriptor that says where
it starts, where its values start, and where it ends. A grid is metadata, its transform and its tree: the root with tiles
and upper nodes (32³ children), those with lower nodes (16³), those with the masks of leaves (8³), depth first.
"""
