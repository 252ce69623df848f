# SPDX-License-Identifier: GPL-3.0-or-later
"""A sparse grid as it lies in a file: leaves of 8×8×8 voxels, constant tiles, and a background elsewhere.

Readers make it, the engine takes its leaves or a dense box of it, writers store it. Index coordinates name voxel
centres and may be negative; `transform` maps them to the world (world = transform @ [i, j, k, 1]).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from .leaf_array import LEAF, LeafArray

__all__ = ["Background", "Grid", "GridClass", "GridKind", "LEAF", "Tiles", "as_leaves", "voxel_extents", "voxel_size"]

#: What a voxel holds. "half" is a float that its file stores in 16 bits; in memory it is a 32 bit float.
GridKind: TypeAlias = Literal["float", "half", "vec3f", "int32"]
GridClass: TypeAlias = Literal["unknown", "level set", "fog volume", "staggered"]
Background: TypeAlias = float | int | tuple[float, float, float]
_DTYPES: dict[GridKind, np.dtype[Any]] = {
    kind: np.dtype(np.int32 if kind == "int32" else np.float32) for kind in get_args(GridKind)
}
Box: TypeAlias = tuple[NDArray[np.int64], NDArray[np.int64]]


def voxel_size(transform: NDArray[np.float64]) -> NDArray[np.float64]:
    """Edge lengths (3,) of a voxel in world units: the lengths of the transform's first three columns."""
    sizes: NDArray[np.float64] = np.linalg.norm(np.asarray(transform, np.float64)[:3, :3], axis=0)
    return sizes


@dataclass(eq=False)
class Tiles:
    """`m` cubes of constant value, each aligned to its own edge (8, 128 or 4096 voxels in the files).

    `origins` (m, 3) int32, `edges` (m,) int32, `values` (m,) or (m, 3), `active` (m,) bool.
    """

    origins: NDArray[np.int32]
    edges: NDArray[np.int32]
    values: NDArray[Any]
    active: NDArray[np.bool_]

    @classmethod
    def none(cls) -> Tiles:
        return cls(np.zeros((0, 3), np.int32), np.zeros(0, np.int32), np.zeros(0, np.float32), np.zeros(0, np.bool_))

    def __len__(self) -> int:
        return len(self.origins)

    def active_corners(self) -> Box:
        """Low and high (exclusive) corners (k, 3) of the active tiles."""
        lows = self.origins[self.active].astype(np.int64)
        return lows, lows + self.edges[self.active, None]


@dataclass(eq=False)
class Grid:
    """`n` leaves, and tiles that do not overlap them. Values are float32, or int32 where `kind` is "int32".

    `leaf_origins` (n, 3) int32, multiples of 8: the low corner of each leaf. `leaf_values` (n, 8, 8, 8) or
    (n, 8, 8, 8, 3), z fastest, inactive voxels included. `leaf_masks` (n, 8, 8, 8) bool: active voxels.
    Raises ValueError where the arrays do not fit together.
    """

    name: str
    kind: GridKind
    grid_class: GridClass
    transform: NDArray[np.float64]
    background: Background
    leaf_origins: NDArray[np.int32]
    leaf_values: NDArray[Any]
    leaf_masks: NDArray[np.bool_]
    tiles: Tiles = field(default_factory=Tiles.none)

    def __post_init__(self) -> None:
        vector = self.components
        if len(self.tiles) == 0:
            self.tiles.values = np.zeros((0, *vector), self.dtype)
        leaves, tiles = len(self.leaf_origins), len(self.tiles)
        for what, array, shape in (
            ("transform", self.transform, (4, 4)),
            ("leaf_origins", self.leaf_origins, (leaves, 3)),
            ("leaf_values", self.leaf_values, (leaves, LEAF, LEAF, LEAF, *vector)),
            ("leaf_masks", self.leaf_masks, (leaves, LEAF, LEAF, LEAF)),
            ("tiles.origins", self.tiles.origins, (tiles, 3)),
            ("tiles.edges", self.tiles.edges, (tiles,)),
            ("tiles.values", self.tiles.values, (tiles, *vector)),
            ("tiles.active", self.tiles.active, (tiles,)),
        ):
            if array.shape != shape:
                raise ValueError(f"{what} has the shape {array.shape}, not {shape}")
        if self.leaf_values.dtype != self.dtype:
            raise ValueError(f"the values of a grid of kind {self.kind} are {self.dtype}")
        if any((numbers % LEAF).any() for numbers in (self.leaf_origins, self.tiles.origins, self.tiles.edges)):
            raise ValueError("leaves and tiles lie on multiples of 8")

    @classmethod
    def from_dense(
        cls,
        name: str,
        array: NDArray[Any],
        low: Sequence[int],
        transform: NDArray[np.float64],
        background: Background = 0.0,
        grid_class: GridClass = "unknown",
    ) -> Grid:
        """The leaves of `array`, (nx, ny, nz) or (nx, ny, nz, 3), whose first voxel has the index coordinate `low`.

        A voxel is active where it differs from `background`; leaves without an active voxel are dropped. The kind
        follows from the array: float32 or float64 "float", float16 "half", int32 "int32", three components "vec3f".
        """
        kind = _kind_of(array, 3)
        dtype = _DTYPES[kind]
        corner = np.asarray(low, np.int64)
        first = corner >> 3
        blocks = ((corner + array.shape[:3] + LEAF - 1) >> 3) - first
        outside = np.asarray(background, dtype)
        padded = np.empty((*(blocks * LEAF), *array.shape[3:]), dtype)
        padded[...] = outside
        x, y, z = corner - first * LEAF
        padded[x : x + array.shape[0], y : y + array.shape[1], z : z + array.shape[2]] = array
        leaves = as_leaves(padded, blocks)
        kept = (leaves != outside).any(axis=tuple(range(3, leaves.ndim)))
        origins = (np.argwhere(kept) + first) * LEAF
        return cls._of_values(name, kind, grid_class, transform, background, origins, leaves[kept])

    @classmethod
    def from_leaves(
        cls,
        name: str,
        leaves: LeafArray,
        low: Sequence[int],
        transform: NDArray[np.float64],
        background: Background = 0.0,
        grid_class: GridClass = "unknown",
    ) -> Grid:
        """The twin of `from_dense` for a sparse field: what its leaves do not hold is `background`."""
        kind = _kind_of(leaves.values, 4)
        outside = np.asarray(background, _DTYPES[kind])
        origins, values = leaves.with_values(leaves.values.astype(_DTYPES[kind], copy=False)).aligned(low, outside)
        kept = (values != outside).any(axis=tuple(range(1, values.ndim)))
        if not kept.all():
            origins, values = origins[kept], values[kept]
        return cls._of_values(name, kind, grid_class, transform, background, origins, values)

    @classmethod
    def _of_values(
        cls,
        name: str,
        kind: GridKind,
        grid_class: GridClass,
        transform: NDArray[np.float64],
        background: Background,
        origins: NDArray[np.int64],
        values: NDArray[Any],
    ) -> Grid:
        """Voxels are active where they differ from the background."""
        differs = values != np.asarray(background, values.dtype)
        return cls(
            name=name,
            kind=kind,
            grid_class=grid_class,
            transform=np.array(transform, np.float64),
            background=background,
            leaf_origins=origins.astype(np.int32),
            leaf_values=values,
            leaf_masks=differs.any(axis=-1) if kind == "vec3f" else differs,
        )

    @property
    def components(self) -> tuple[int, ...]:
        """The trailing shape of a value: () or (3,)."""
        return (3,) if self.kind == "vec3f" else ()

    @property
    def dtype(self) -> np.dtype[Any]:
        return _DTYPES[self.kind]

    @property
    def active_count(self) -> int:
        """How many voxels are active, those of active tiles included."""
        edges = self.tiles.edges[self.tiles.active].astype(object)  # a few tiles of 4096³ leave the 64 bits
        return int(np.count_nonzero(self.leaf_masks)) + int((edges**3).sum())

    def active_box(self) -> Box | None:
        """(low, high_exclusive) of the active voxels and tiles, or None where nothing is active."""
        lows, highs = self.tiles.active_corners()
        occupied = self.leaf_masks.any(axis=(1, 2, 3))
        if occupied.any():
            first, last = voxel_extents(self.leaf_masks[occupied])
            origins = self.leaf_origins[occupied].astype(np.int64)
            lows = np.concatenate([lows, origins + first])
            highs = np.concatenate([highs, origins + last + 1])
        return (lows.min(axis=0), highs.max(axis=0)) if len(lows) else None

    def leaf_box(self) -> Box | None:
        """(low, high_exclusive), multiples of 8, of all leaves and active tiles; None where there are none."""
        lows, highs = self.tiles.active_corners()
        origins = self.leaf_origins.astype(np.int64)
        lows, highs = np.concatenate([lows, origins]), np.concatenate([highs, origins + LEAF])
        return (lows.min(axis=0), highs.max(axis=0)) if len(lows) else None

    def dense(self, low: Sequence[int], size: Sequence[int], outside: Background | None = None) -> NDArray[Any]:
        """The box of `size` voxels at `low` as one array (nx, ny, nz) or (nx, ny, nz, 3).

        Holds what the file stores, inactive voxels and tiles included, and `outside` (by default the background)
        where the file stores nothing.
        """
        corner, extent = np.asarray(low, np.int64), np.asarray(size, np.int64)
        first = corner >> 3
        blocks = np.where(extent > 0, ((corner + extent + LEAF - 1) >> 3) - first, 0)
        padded = np.empty((*(blocks * LEAF), *self.components), self.dtype)
        padded[...] = self.background if outside is None else outside
        leaves = as_leaves(padded, blocks)
        small = self.tiles.edges == LEAF
        starts = self.tiles.origins - first * LEAF
        stops = starts + self.tiles.edges[:, None]
        seen = ~small & (stops > 0).all(axis=1) & (starts < blocks * LEAF).all(axis=1)
        for index in np.flatnonzero(seen):
            ends = zip(np.maximum(starts[index], 0), stops[index], strict=True)
            padded[tuple(slice(*pair) for pair in ends)] = self.tiles.values[index]
        tile_values = self.tiles.values[small].reshape(-1, 1, 1, 1, *self.components)
        for origins, values in ((self.tiles.origins[small], tile_values), (self.leaf_origins, self.leaf_values)):
            place = (origins >> 3) - first
            inside = ((place >= 0) & (place < blocks)).all(axis=1)
            x, y, z = place[inside].T
            leaves[x, y, z] = values[inside]
        x, y, z = corner - first * LEAF
        return np.ascontiguousarray(padded[x : x + extent[0], y : y + extent[1], z : z + extent[2]])


def _kind_of(array: NDArray[Any], axes: int) -> GridKind:
    """The kind of values with so many axes before those of their components."""
    if array.ndim == axes + 1 and array.shape[axes] == 3 and array.dtype.kind == "f":
        return "vec3f"
    kinds: dict[str, GridKind] = {"float16": "half", "float32": "float", "float64": "float", "int32": "int32"}
    if array.ndim != axes or array.dtype.name not in kinds:
        raise ValueError(f"no grid holds an array of {array.dtype} with the shape {array.shape}")
    return kinds[array.dtype.name]


def as_leaves(padded: NDArray[Any], blocks: NDArray[np.int64]) -> NDArray[Any]:
    """A view (bx, by, bz, 8, 8, 8[, 3]) of an array whose sides are multiples of 8; writing to it fills the array."""
    x, y, z = blocks
    split = padded.reshape(x, LEAF, y, LEAF, z, LEAF, *padded.shape[3:])
    return split.transpose(0, 2, 4, 1, 3, 5, *range(6, split.ndim))


def voxel_extents(masks: NDArray[np.bool_]) -> Box:
    """First and last active voxel (n, 3) along each axis of leaf masks that are not empty."""
    first, last = (np.empty((len(masks), 3), np.int64) for _ in range(2))
    for axis in range(3):
        line = masks.any(axis=tuple({1, 2, 3} - {axis + 1}))
        first[:, axis] = line.argmax(axis=1)
        last[:, axis] = LEAF - 1 - line[:, ::-1].argmax(axis=1)
    return first, last
