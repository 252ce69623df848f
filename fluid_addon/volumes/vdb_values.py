# SPDX-License-Identifier: GPL-3.0-or-later
"""The values of a grid in an OpenVDB file, looked through before OpenVDB gets to see them: every length and every size
that packed values claim. What they are is left to OpenVDB.

Source: the public OpenVDB sources (tree/LeafNode.h, LeafNodeBool.h, io/Compression.h). Behind the tree, the leaves
follow each other in its order. Each is its mask again, a byte that says how inactive values are stored, up to two of
these, perhaps another mask, and the other values, perhaps packed. Leaves of booleans are two masks and a place.
"""

from __future__ import annotations

import struct

import numpy as np

from .blosc_chunks import first_bad_chunk
from .grid import LEAF
from .grid_file import MAX_FILE_BYTES, Bytes, GridFile
from .vdb_structure import StoredGrid
from .vdb_tree import BLOSC, MASKED, VALUE_TYPES, ZIP, VdbTree

__all__ = ["check_values"]

_VOXELS = LEAF**3
_MASK = _VOXELS // 8
_BOOLEANS = np.dtype([("mask", "u1", _MASK), ("origin", "<i4", 3), ("values", "u1", _MASK)])
_LENGTH = struct.Struct("<q")


def check_values(source: GridFile, grid: StoredGrid, tree: VdbTree) -> None:
    """Raises FluidError `grid-file-corrupt` where the leaves of a tree do not fill the values to their last byte."""
    start, end = grid.values_at
    if end - start > MAX_FILE_BYTES:
        raise source.too_large(f'the values of its grid "{grid.name}" take {end - start:,} bytes')
    try:
        with source.path.open("rb") as file:
            file.seek(start)
            data = Bytes(memoryview(file.read(end - start)), source)
    except OSError as error:
        raise source.missing(error) from error
    if grid.leaves_said not in (None, len(tree.leaf_origins)):
        raise source.corrupt(f'the metadata of the grid "{grid.name}" count {grid.leaves_said:,} leaves')
    if grid.type_name == "bool":
        _check_booleans(data, grid, tree)
    else:
        _check_leaves(data, grid, tree.leaf_masks.tobytes())


def _check_booleans(data: Bytes, grid: StoredGrid, tree: VdbTree) -> None:
    leaves = data.records(_BOOLEANS, 0, len(tree.leaf_origins), f'the values of the grid "{grid.name}"')
    if leaves.nbytes != len(data):
        raise _do_not_fit(data, grid)
    if (leaves["origin"] != tree.leaf_origins).any() or (leaves["mask"] != tree.leaf_masks).any():
        raise _do_not_fit(data, grid)


def _check_leaves(data: Bytes, grid: StoredGrid, masks: bytes) -> None:
    """`masks` are those of the tree. OpenVDB counts values by them and passes over those that stand here: where the two
    differ, it would look for the next leaf, and for lengths, where nobody has."""
    value = VALUE_TYPES[grid.type_name]
    half = grid.half and value.base.kind == "f"
    width = value.itemsize // value.base.itemsize * 2 if half else value.itemsize
    beside = [1, 1, 1 + value.itemsize, 1 + _MASK, 1 + value.itemsize + _MASK, 1 + 2 * value.itemsize + _MASK, 1]
    masked, packs = grid.compression & MASKED, grid.compression & (ZIP | BLOSC)
    raw, size, position = data.data, len(data), 0
    packed: tuple[list[int], list[int], list[int]] = [], [], []
    for start in range(0, len(masks), _MASK):
        mask = masks[start : start + _MASK]
        rule = raw[position + _MASK] if position + _MASK < size else 7
        if rule > 6 or raw[position : position + _MASK] != mask:
            raise _do_not_fit(data, grid)
        count = _VOXELS
        if masked and rule != 6:
            count = int.from_bytes(mask, "little").bit_count()
        position += _MASK + beside[rule]
        wanted = count * width
        if packs and (count or not half):  # of no halves not even a length is written
            if position + 8 > size:
                raise _do_not_fit(data, grid)
            length: int = _LENGTH.unpack_from(raw, position)[0]
            position += 8
            if length > 0:
                for numbers, number in zip(packed, (position, length, wanted), strict=True):
                    numbers.append(number)
                position += length
                continue
            if length != -wanted:
                raise _do_not_fit(data, grid)
        position += wanted
    if position != size:
        raise _do_not_fit(data, grid)
    if grid.compression & BLOSC and (bad := first_bad_chunk(raw, *packed)) is not None:
        what = f"{packed[1][bad]:,} bytes that cannot become {packed[2][bad]:,}"
        raise data.source.corrupt(f'a leaf of the grid "{grid.name}" is packed as {what}')


def _do_not_fit(data: Bytes, grid: StoredGrid) -> Exception:
    return data.source.corrupt(f'the values of the grid "{grid.name}" do not fit its tree')
