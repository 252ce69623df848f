# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads and writes OpenVDB files (.vdb) through the module that Blender brings along.

Reading: the file's own skeleton says where leaves, masks and tiles are (vdb_structure, vdb_tree), OpenVDB fetches the
values, box by box. Time and memory follow the leaves, not the box that they span. OpenVDB believes every length, so it
sees no grid before all of the file that it will read was looked through (vdb_values).

Writing: a voxel is active where it differs from the background. OpenVDB does not notice a full disk, so every file's
skeleton is read back and compared with what was to be written before the file gets its name.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import VERSION
from ..diagnostics import FluidError, fail, printable
from ..faults import fault
from .atomic import atomic_write, probe_disk
from .grid import LEAF, Background, Grid, GridClass, GridKind, Tiles, as_leaves
from .grid_file import GridFile
from .leaf_array import LeafArray
from .leaf_boxes import boxes_of_leaves
from .openvdb_library import openvdb
from .vdb_structure import StoredGrid, read_structure
from .vdb_tree import VALUE_TYPES, VdbTree, read_tree
from .vdb_values import check_values

__all__ = ["VdbFrame", "VdbGrid", "openvdb", "read_vdb", "write_vdb"]

_NUMBERED = re.compile(r"(\[[0-9]*\])+\Z")
_LARGEST_HALF = 65504.0
_FARTHEST = 1 << 30  # beyond this index, OpenVDB's copies overflow and crash the process (seen at 2,000,000,000)


# ----- reading


def read_vdb(path: str | Path, only: Collection[str] | None = None) -> list[Grid]:
    """The grids of a VDB file in its order, or those whose names are in `only`.

    float and vec3s are taken as they are, double, vec3d, vec3i and bool as floats, int64 as int32 where it fits. Grids
    of other types (points, strings…) are passed over, unless they are asked for or the file holds nothing else; then
    grid-file-kind names them. Raises grid-file-missing, grid-file-corrupt, package-missing.
    """
    source = GridFile(Path(path))
    grids: list[Grid] = []
    try:
        library = _Library(source, read_structure(source))
        for stored in library.stored:
            if not source.wanted(stored.name, only):
                continue
            if stored.type_name in VALUE_TYPES:
                grids.append(_read_grid(source, stored, library))
            else:
                source.unread[stored.name] = stored.type_name
    except MemoryError as error:
        raise source.too_large("it needs more memory than this machine has") from error
    source.check_found([grid.name for grid in grids], only)
    return grids


def _read_grid(source: GridFile, stored: StoredGrid, library: _Library) -> Grid:
    tree = library.tree(stored)
    for origins in (tree.leaf_origins, tree.tile_origins[~tree.tile_known]):
        if np.abs(origins).max(initial=0) > _FARTHEST:
            raise source.unreadable(
                f'its grid "{stored.name}" has voxels more than {_FARTHEST:,} away from its origin',
                "Move the voxels, and put the distance into the transform.",
            )
    loaded = library.load(stored)
    if loaded.leafCount() != len(tree.leaf_origins) or loaded.activeVoxelCount() != tree.active_count:
        raise source.corrupt(f'the grid "{stored.name}" has other voxels than its tree says')
    vector = tree.background.shape
    read_as = {"int32": np.int32, "int64": np.int64}.get(stored.type_name, np.float32)
    leaf_values, tile_values = _fetched(loaded, tree, np.dtype(read_as))
    background = tree.background.astype(read_as)
    if stored.type_name == "int64":
        leaf_values, tile_values, background = (
            _narrowed(source, stored.name, values) for values in (leaf_values, tile_values, background)
        )
    scalar: GridKind = "int32" if stored.type_name in ("int32", "int64") else "half" if stored.half else "float"
    plain: Any = background.tolist()
    return Grid(
        name=stored.name,
        kind="vec3f" if vector else scalar,
        grid_class=stored.grid_class,
        transform=stored.transform,
        background=tuple(plain) if vector else plain,
        leaf_origins=tree.leaf_origins.astype(np.int32),
        leaf_values=leaf_values,
        leaf_masks=np.unpackbits(tree.leaf_masks, axis=1, bitorder="little").view(np.bool_).reshape(-1, *[LEAF] * 3),
        tiles=Tiles(
            tree.tile_origins.astype(np.int32), tree.tile_edges.astype(np.int32), tile_values, tree.tile_active
        ),
    )


class _Library:
    """OpenVDB, as it reads the grids of one file, each of which is looked through before.

    Grids of equal names cannot be told apart by name, so it reads all of them at once then.

    Attributes:
        stored: the grids of the file in its order.
    """

    def __init__(self, source: GridFile, stored: list[StoredGrid]) -> None:
        self._source, self.stored = source, stored
        self._stems = Counter(_stem(grid) for grid in stored)
        self._trees: dict[StoredGrid, VdbTree] = {}
        self._loaded: dict[StoredGrid, Any] = {}

    def tree(self, grid: StoredGrid) -> VdbTree:
        """Its tree, whose values were looked through."""
        if grid not in self._trees:
            tree = self._trees[grid] = read_tree(grid)
            check_values(self._source, grid, tree)
        return self._trees[grid]

    def load(self, grid: StoredGrid) -> Any:
        """OpenVDB's own grid, of one whose tree was asked for."""
        alike = self._stems[_stem(grid)] > 1  # "a[1]" means the second "a" to OpenVDB
        if alike:
            self._look_through_all(grid)
        try:
            if fault("grid.read"):
                raise RuntimeError("a fault on purpose")
            path = str(self._source.path)
            if not alike:
                return openvdb().read(path, grid.raw_name)
            if not self._loaded:
                order = sorted(self.stored, key=lambda other: other.raw_name.encode())  # it keeps the order of equals
                self._loaded = dict(zip(order, openvdb().readAll(path)[0], strict=True))
            return self._loaded[grid]
        except MemoryError:
            raise
        except Exception as error:  # whatever the library threw
            said = printable(str(error)[:200])
            raise self._source.corrupt(f'OpenVDB cannot read the grid "{grid.name}" ({said})') from error

    def _look_through_all(self, grid: StoredGrid) -> None:
        for other in self.stored:
            if other.type_name not in VALUE_TYPES:
                raise self._source.unreadable(
                    f'it has several grids like "{grid.name}" beside one of the type {other.type_name}',
                    "Give its grids names of their own.",
                )
            self.tree(other)


def _stem(grid: StoredGrid) -> str:
    return _NUMBERED.sub("", grid.raw_name)


def _narrowed(source: GridFile, name: str, values: NDArray[Any]) -> NDArray[np.int32]:
    narrow = values.astype(np.int32)
    if (narrow != values).any():
        raise source.unreadable(f'its grid "{name}" holds integers beyond 32 bits', "Convert the grid to int32.")
    return narrow


def _fetched(loaded: Any, tree: VdbTree, dtype: np.dtype[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Values of all leaves (n, 8, 8, 8[, 3]), and of all tiles (m[, 3]), where they are not known from the tree."""
    vector = tree.background.shape
    leaves = len(tree.leaf_origins)
    leaf_values = np.empty((leaves, LEAF, LEAF, LEAF, *vector), dtype)
    with np.errstate(over="ignore"):
        tile_values = tree.tile_values.astype(dtype)
    small = np.flatnonzero(~tree.tile_known & (tree.tile_edges == LEAF))
    blocks = np.concatenate([tree.leaf_origins, tree.tile_origins[small]])
    for members, low, size in boxes_of_leaves(blocks):
        box = np.empty((*size, *vector), dtype)
        loaded.copyToArray(box, tuple(low.tolist()))
        split, place = as_leaves(box, size // LEAF), (blocks[members] - low) // LEAF
        is_leaf = members < leaves
        x, y, z = place[is_leaf].T
        leaf_values[members[is_leaf]] = split[x, y, z]
        x, y, z = place[~is_leaf].T
        tile_values[small[members[~is_leaf] - leaves]] = split[x, y, z, 0, 0, 0]
    voxel = np.empty((1, 1, 1, *vector), dtype)
    for number in np.flatnonzero(~tree.tile_known & (tree.tile_edges != LEAF)):
        loaded.copyToArray(voxel, tuple(tree.tile_origins[number].tolist()))
        tile_values[number] = voxel[0, 0, 0]
    return leaf_values, tile_values


# ----- writing


@dataclass(frozen=True, eq=False)
class VdbGrid:
    """A field to be stored: `values` (nx, ny, nz[, components]) or the leaves of a sparse field, whose domain's first
    voxel has the index coordinate `low`.

    Floats and 32 bit integers with one component, floats with two (stored as three, the third is 0) or three. `half`
    stores floats in 16 bits; a field with values beyond ±65504 is stored in 32 bits all the same. Velocities should be
    called "velocity": that is the name by which Blender finds them. The vector type stays OpenVDB's default, which is
    what Blender and Cycles take.
    """

    name: str
    values: NDArray[Any] | LeafArray
    low: tuple[int, int, int] = (0, 0, 0)
    transform: NDArray[np.float64] = field(default_factory=lambda: np.eye(4))
    background: Background | tuple[float, ...] = 0.0
    grid_class: GridClass = "unknown"
    half: bool = False


@dataclass(frozen=True, eq=False)
class VdbFrame:
    """The grids of one file; `frame` on the timeline and `time` in seconds go into its metadata, as does `metadata`."""

    grids: Sequence[VdbGrid]
    frame: int = 0
    time: float = 0.0
    metadata: Mapping[str, str | int | float | bool] = field(default_factory=dict)


def write_vdb(path: str | Path, frame: VdbFrame, announce: Callable[[Path], None] | None = None) -> dict[str, GridKind]:
    """Write a frame to `path`, atomically (see `atomic_write`, for `announce` as well); returns the kind in which each
    grid was stored.

    Raises export-field (a field that no VDB grid can hold), not-finite, disk-full, disk-error, package-missing.
    """
    library = openvdb()
    if not _is_text(path):
        message = f"OpenVDB cannot write into a folder whose name is no text: {str(path)!a}."
        raise fail("disk-error", message, "Choose another folder for the bake.")
    kinds: dict[str, GridKind] = {}
    grids: list[Any] = []
    creator = f"Fluid Script {VERSION}"  # Blender turns files of a creator "Houdini…" by 90 degrees
    for grid in frame.grids:
        if grid.name in kinds:
            raise fail("export-field", f'Two exported fields are called "{grid.name}".', "Export each field once.")
        kinds[grid.name], made = _vdb_grid(library, grid)
        made.creator = creator
        grids.append(made)
    metadata = {**frame.metadata, "creator": creator, "frame": int(frame.frame), "time": float(frame.time)}
    with atomic_write(path, sum(grid.values.nbytes for grid in frame.grids), announce) as part:
        try:
            library.write(str(part), grids, metadata)
        except (RuntimeError, KeyError) as error:
            raise OSError(f"OpenVDB says: {error}") from error
        _check_written(part, Path(path), [(grid.name, grid.activeVoxelCount()) for grid in grids])
    return kinds


def _is_text(path: str | Path) -> bool:
    """Disks of Linux have names of bytes that are no UTF-8; Python writes them as halves of characters."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def _check_written(part: Path, target: Path, grids: list[tuple[str, int]]) -> None:
    """Compare the skeleton of the file with what it should hold."""
    try:
        found = [
            (stored.name, read_tree(stored).active_count) for stored in read_structure(GridFile(part, limited=False))
        ]
    except FluidError as error:
        probe_disk(part)  # most likely the disk is full; then this says so
        raise fail("disk-error", f'"{target}" came out incomplete ({error}).', "Look after the disk.") from error
    if found != grids:
        raise fail("disk-error", f'"{target}" came out with {found} voxels instead of {grids}.', "Look after the disk.")


def _vdb_grid(library: Any, grid: VdbGrid) -> tuple[GridKind, Any]:
    origins, values, background = _storable(grid)
    largest = max(
        float(abs(end)) for array in (values, background) for end in (array.min(initial=0), array.max(initial=0))
    )
    half = grid.half and values.dtype == np.float32 and largest <= _LARGEST_HALF
    if half:  # as they will be stored, so that what becomes the background is not kept as active
        with np.errstate(under="ignore"):
            values, background = (a.astype(np.float16).astype(np.float32) for a in (values, background))
    kind: GridKind = "int32" if values.dtype == np.int32 else "half" if half else "float"
    if background.ndim:
        kind = "vec3f"
    wanted = {"vec3f": "Vec3SGrid", "int32": "Int32Grid"}.get(kind, "FloatGrid")
    make = getattr(library, wanted, None)
    if make is None:  # the module that Debian builds has no Int32Grid
        message = f'The OpenVDB of this Blender has no grid for the whole numbers of "{grid.name}".'
        raise fail("package-missing", message, "Leave the field out of the export, or use a Blender from blender.org.")
    plain: Any = background.tolist()
    made = make(tuple(plain) if background.ndim else plain)
    made.name = grid.name
    made.gridClass = getattr(library.GridClass, grid.grid_class.upper().replace(" ", "_"))
    made.saveFloatAsHalf = half
    made.transform = _vdb_transform(library, np.asarray(grid.transform, np.float64))
    for low, box in [(grid.low, values)] if origins is None else _runs(origins, values):
        if box.size:  # the library takes memory for C order, whatever the strides say, and refuses what is read-only
            made.copyFromArray(np.require(box, None, ["C", "W"]), tuple(int(number) for number in low))
    return kind, made


def _runs(origins: NDArray[np.int64], leaves: NDArray[Any]) -> Iterator[tuple[list[int], NDArray[Any]]]:
    """Leaves that follow each other along z, and in the arrays, as one box: its low corner, and its values. One box for
    each leaf would take up to twice as long, wider boxes with gaps as long as that."""
    follows = (np.diff(origins, axis=0) == (0, 0, LEAF)).all(axis=1)
    first = np.concatenate([np.ones(min(1, len(origins)), np.bool_), ~follows])
    starts = np.flatnonzero(first)
    stops = np.append(starts[1:], len(origins)).tolist()
    for start, stop, low in zip(starts.tolist(), stops, origins[starts].tolist(), strict=False):
        box = leaves[start:stop].transpose(1, 2, 0, 3, *range(4, leaves.ndim))
        yield low, box.reshape(LEAF, LEAF, (stop - start) * LEAF, *leaves.shape[4:])


def _vdb_transform(library: Any, transform: NDArray[np.float64]) -> Any:
    """OpenVDB multiplies rows by matrices. Given a matrix with a translation, it gets the voxel size as a difference of
    world positions, which is not exact far from the origin; so the translation comes afterwards."""
    matrix = np.eye(4)
    matrix[:3, :3] = transform[:3, :3].T
    result = library.createLinearTransform(matrix.tolist())
    if transform[:3, 3].any():
        result.postTranslate(tuple(transform[:3, 3].tolist()))
    return result


def _storable(grid: VdbGrid) -> tuple[NDArray[np.int64] | None, NDArray[Any], NDArray[Any]]:
    """The low corners of leaves, if there are any, values and background as float32 or int32 with no or three
    components. Raises export-field and not-finite."""
    origins, background = None, np.asarray(grid.background)
    if isinstance(grid.values, LeafArray):
        origins, values = grid.values.aligned(grid.low, background)
    else:
        values = np.asarray(grid.values)
    axes = 3 if origins is None else 4
    if values.ndim == axes + 1 and values.shape[-1] == 1:
        values, background = values[..., 0], background.reshape(())
    components = values.shape[axes] if values.ndim == axes + 1 else 1
    if values.ndim not in (axes, axes + 1) or components > 3 or (components > 1 and values.dtype.kind != "f"):
        raise fail(
            "export-field",
            f'The field "{grid.name}" has {components} components of {values.dtype}; a VDB grid holds one number or '
            "three floats.",
            "Export other fields: {fields = {…}}, or copy its parts into fields of their own.",
        )
    if values.dtype.kind == "f":
        with np.errstate(over="ignore"):  # what no float can hold becomes infinite, and is refused below
            values, background = values.astype(np.float32, copy=False), background.astype(np.float32)
    elif values.dtype.kind in "iu":
        values, background = _as_int32(grid.name, values), _as_int32(grid.name, background)
    else:
        raise fail("export-field", f'The field "{grid.name}" holds {values.dtype}, which no VDB grid can.')
    if components > 1:
        background = np.broadcast_to(background, (components,))
    if components == 2:
        pad = [(0, 0)] * axes + [(0, 1)]
        values, background = np.pad(values, pad), np.pad(background, (0, 1))
    corners = np.asarray(grid.low, np.int64) if origins is None else origins
    if np.abs(corners).max(initial=0) > _FARTHEST - max(values.shape[axes - 3 : axes]):
        raise fail(
            "export-field",
            f'The field "{grid.name}" lies more than {_FARTHEST:,} voxels from its origin, too far for a VDB file.',
            "Move the domain with its origin in world units instead.",
        )
    if not (np.isfinite(values).all() and np.isfinite(background).all()):
        raise _not_finite(grid, origins, values)
    return origins, values, background


def _as_int32(name: str, values: NDArray[Any]) -> NDArray[np.int32]:
    limits = np.iinfo(np.int32)
    for end in (int(values.max(initial=0)), int(values.min(initial=0))):
        if not limits.min <= end <= limits.max:
            raise fail(
                "export-field",
                f'The field "{name}" holds {end:,}; a VDB grid takes integers up to {limits.max:,}.',
                "Keep its values smaller, or copy it into a float field.",
            )
    return values.astype(np.int32, copy=False)


def _not_finite(grid: VdbGrid, origins: NDArray[np.int64] | None, values: NDArray[Any]) -> FluidError:
    where = "its background"
    bad = np.argwhere(~np.isfinite(values))
    if len(bad) and origins is None:
        where = f"voxel {tuple((bad[0][:3] + np.asarray(grid.low)).tolist())}"
    elif len(bad) and origins is not None:
        where = f"voxel {tuple(min((bad[:, 1:4] + origins[bad[:, 0]]).tolist()))}"
    return fail(
        "not-finite",
        f'The field "{grid.name}" is not a finite number at {where}.',
        "The simulation has become unstable: a smaller time step or more substeps often help.",
    )
