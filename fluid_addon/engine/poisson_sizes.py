# SPDX-License-Identifier: GPL-3.0-or-later
"""What a solver needs beside its fields, known before there is a device: its grids, and how large each buffer is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ..gpu.memory import Residence
from .leaves import LEAF
from .multigrid import Grid, grids
from .solver import Solver

__all__ = ["LevelShape", "buffer_of_blocks", "buffer_sizes", "leaf_sums", "level_shapes", "method_of", "plan_rows"]


@dataclass(frozen=True)
class LevelShape:
    """A grid of a solver as its buffers see it.

    Attributes:
        faces: whether a buffer says how open its faces are.
        leaf: cells along each edge of a leaf.
        in_bricks: whether it lies in bricks, one for each slot of a pool of leaves.
    """

    grid: Grid
    faces: bool
    leaf: int
    in_bricks: bool

    @property
    def block(self) -> int:
        """Cells along each edge of those that are added up at once."""
        return min(self.leaf, 4)

    def stored(self, capacity: int) -> int:
        """Cells that a buffer of the grid has room for, with a pool of so many slots."""
        return int(capacity * self.leaf**3 if self.in_bricks else self.grid.cells)


def level_shapes(solver: Solver, size: tuple[int, int, int], sparse: bool) -> list[LevelShape]:
    """The grids of a solver over `size` voxels, the finest first.

    Those whose cells fit into leaves lie in bricks where the domain is sparse; the coarser ones know air by their
    faces.
    """
    shapes: list[LevelShape] = []
    edge, in_bricks = int(LEAF * solver.unknown.resolution), sparse
    for grid in grids(size, solver.sides):
        shapes.append(LevelShape(grid, solver.faces is not None or sparse > in_bricks, edge, in_bricks))
        edge, in_bricks = max(edge // 2, 1), in_bricks and edge % 2 == 0
    return shapes


def method_of(solver: Solver, levels: Sequence[object]) -> str:
    """The one of `METHODS` that a solver uses: where there is no coarser grid, sweeps."""
    return solver.definition.method if len(levels) > 1 else "sweeps"


def leaf_sums(fine: LevelShape, capacity: int) -> int:
    """Sums by leaves that there is room for."""
    return capacity if fine.in_bricks else math.prod(-(-n // fine.leaf) for n in fine.grid.size)


def buffer_of_blocks(method: str) -> str:
    """Where sums by blocks are: not in an unknown that cells read in slot 0."""
    return "unknown 1" if method == "sweeps" else "rhs 1"


def buffer_sizes(levels: Sequence[LevelShape], method: str, capacity: int) -> dict[str, int]:
    """Bytes of each buffer on the device by its name.

    Args:
        levels: the finest first.
        capacity: slots of the pool of leaves; of no meaning where no grid lies in bricks.
    """
    fine = levels[0]
    if fine.in_bricks:
        squares = capacity * (fine.leaf // 2) ** 3
        blocks = capacity * (fine.leaf // fine.block) ** 3
    else:
        squares = fine.grid.coarser().cells
        blocks = math.prod(-(-n // fine.block) for n in fine.grid.size)
    # Squares by coarse cells and sums by blocks need room only while the first coarse grid is not in use.
    sizes = {"unknown 1": 4 * squares}
    sizes[buffer_of_blocks(method)] = max(4 * squares, 16 * blocks)
    if method != "sweeps":
        for number, level in enumerate(levels[1:], 1):
            sizes.setdefault(f"unknown {number}", 4 * level.stored(capacity))
            sizes.setdefault(f"rhs {number}", 4 * level.stored(capacity))
            if level.faces:
                sizes[f"faces {number}"] = 4 * level.stored(capacity)
    if method == "conjugate":
        sizes["direction"] = sizes["previous"] = 4 * fine.stored(capacity)
    sizes["sums"] = 16 * leaf_sums(fine, capacity)
    return sizes


def plan_rows(name: str, sizes: dict[str, int]) -> list[tuple[str, int, Residence]]:
    """The rows of the memory plan, from `buffer_sizes`."""
    rest, rows = dict(sizes), []
    if "direction" in rest:
        rows = [(f"{name}: search direction", rest.pop("direction"), Residence.DEVICE)]
        rows.append((f"{name}: last answer", rest.pop("previous"), Residence.DEVICE))
    return [*rows, (f"{name}: coarse grids", sum(rest.values()), Residence.DEVICE)]
