# SPDX-License-Identifier: GPL-3.0-or-later
# ruff: noqa: ARG002 - one interface for three storages, of which none needs all that another does
"""The GLSL that says where voxels lie in memory: at fixed offsets from a block, and around a place between voxels.

There are three kinds of storage, with the same interface: the whole domain as one array, a slab of it with a halo, and
the active leaves. Their twins are `shaders/include/storage_*.glsl`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import product

from .address import Boundary
from .block import Block
from .domain import Domain

__all__ = ["LEAF", "LEAVES_BINDINGS", "Lattice", "LeafPlaces", "Places", "SlabPlaces", "Storage", "leaf_edge"]

#: Voxels of the domain along the edge of a leaf.
LEAF = 8
#: The buffers of the topology as a kernel over leaves binds them, behind its fields.
LEAVES_BINDINGS = ("leaf order", "leaf records", "leaf table")

_ENDS = ("low", "high")
#: What was computed from planes that the halo lacks is no finding: the stencil runs again.
_BEYOND = (
    "    if (fs_beyond > 0) {",
    "        atomicMax(fs_overrun.v[0], uint(fs_beyond));",
    "        return;",
    "    }",
)


@dataclass(frozen=True)
class Storage:
    """How the fields of a simulation lie on its devices.

    Attributes:
        domain: None where nothing is known of it, as in a check.
        sparse: only active leaves are stored.
        slabs: several devices have a slab each.
    """

    domain: Domain | None = None
    sparse: bool = False
    slabs: bool = False

    def places(self, resolution: Fraction, block: Block) -> Places:
        """For a kernel that runs over voxels of a resolution in blocks."""
        kind = LeafPlaces if self.sparse else SlabPlaces if self.slabs else Places
        return kind(self, resolution, block)


@dataclass(frozen=True)
class Lattice:
    """The voxels of a field in the kernel of a stencil.

    Attributes:
        suffix: of the constants that hold its size; "" for the voxels that the stencil runs over.
        ratio: voxels along an axis for one that the stencil runs over.
        resolution: voxels along an axis for one of the domain.
    """

    suffix: str = ""
    ratio: Fraction = Fraction(1)
    resolution: Fraction = Fraction(1)

    def size(self, axis: str) -> str:
        return f"FS_SIZE_{axis.upper()}{self.suffix}"

    @property
    def scale(self) -> str:
        return f"ivec2({self.resolution.numerator}, {self.resolution.denominator})"

    @property
    def edge(self) -> int:
        return leaf_edge(self.resolution)

    def position(self) -> str:
        """`at`, in the voxels that the stencil runs over, in these voxels: both count from the domain's low corner."""
        return f"(at + 0.5) * {float(self.ratio)!r} - 0.5" if self.suffix else "at"


def leaf_edge(resolution: Fraction) -> int:
    """Voxels of a resolution along the edge of a leaf: 2 to 32."""
    return int(LEAF * resolution)


@dataclass
class Places:
    """The whole domain as one array.

    Attributes:
        resolution: of the voxels that the kernel runs over.
        block: the voxels of one invocation.
    """

    storage: Storage
    resolution: Fraction
    block: Block
    _known: set[str] = field(default_factory=set)

    include = "storage_dense.glsl"

    def constants(self) -> list[str]:
        """What is declared before the storage is included."""
        return []

    def members(self, others: Sequence[Lattice]) -> list[str]:
        """Of the uniform block, behind the fields and the status words: further buffers, and numbers of a dispatch."""
        return []

    def begin(self) -> list[str]:
        """`b` and `c`: the block of this invocation, in blocks and in voxels; the end where there is none."""
        return [
            "    ivec3 b = fs_block();",
            f"    ivec3 c = b * ivec3({self.block.along_x}, 1, {self.block.along_z});",
            "    if (!InDomain(c)) {",
            "        return;",
            "    }",
        ]

    def end(self, check: Iterable[str]) -> list[str]:
        """What is to be done behind the last store; `check` notices NaN in what was stored."""
        return [*check]

    def near(self, axes: Sequence[str], offset: Sequence[int], leaves: Sequence[bool], voxels: int) -> Iterator[str]:
        """Declarations before a chunk at a fixed offset can be reached by `near_index`.

        Args:
            axes: the variables that hold its coordinates, along z in chunks.
            offset: in voxels from the block's low one.
            leaves: whether it lies outside the block along each axis.
            voxels: of the chunk.
        """
        return iter(())

    def near_index(self, axes: Sequence[str], place: Sequence[int], leaves: Sequence[bool], voxels: int) -> str:
        """The number of a chunk in its field, in chunks; `place` is it counted from the block's low one."""
        x, y, z = axes
        return f"({x} * FS_SIZE_Y + {y}) * {_parts('FS_SIZE_Z', voxels)} + {z}"

    def around(self, spans: Sequence[str], ending: str, lattice: Lattice) -> list[str]:
        """Declarations before the corners of a cell can be reached by `corner`.

        Args:
            spans: the variables of type fs_Span along x, y, z.
            ending: of the names that are declared.
        """
        return []

    def corner(self, spans: Sequence[str], ends: Sequence[str], ending: str, lattice: Lattice) -> str:
        """The index of a voxel around a place; `ends` are "low" or "high" along each axis."""
        x, y, z = (f"{span}.{end}" for span, end in zip(spans, ends, strict=True))
        return f"({x} * {lattice.size('y')} + {y}) * {lattice.size('z')} + {z}"

    def _once(self, name: str, line: str) -> Iterator[str]:
        if name not in self._known:
            self._known.add(name)
            yield line


class SlabPlaces(Places):
    """A slab of the domain and its halo."""

    include = "storage_slab.glsl"

    def constants(self) -> list[str]:
        own = Lattice(resolution=self.resolution)
        return [f"const ivec2 FS_SCALE = {own.scale};"]

    def members(self, others: Sequence[Lattice]) -> list[str]:
        held = [f"    ivec2 fs_held{lattice.suffix};" for lattice in others]
        numbers = ["    ivec2 fs_run;", "    ivec2 fs_away;", "    ivec2 fs_held;", *held]
        return ["    fs_status_words fs_overrun;", *numbers]

    def begin(self) -> list[str]:
        block = self.block
        return [
            "    ivec3 b = fs_block();",
            f"    b.x += {_quotient('fs_run.x', block.along_x)};",
            f"    ivec3 c = b * ivec3({block.along_x}, 1, {block.along_z});",
            "    if (c.x >= fs_run.y || !InDomain(c)) {",
            "        return;",
            "    }",
        ]

    def end(self, check: Iterable[str]) -> list[str]:
        return [*_BEYOND, *check]

    def near(self, axes: Sequence[str], offset: Sequence[int], leaves: Sequence[bool], voxels: int) -> Iterator[str]:
        plane = f"{axes[0]}_plane"
        yield from self._once(plane, f"    int {plane} = fs_plane({axes[0]}, fs_held, FS_SIZE_X);")

    def near_index(self, axes: Sequence[str], place: Sequence[int], leaves: Sequence[bool], voxels: int) -> str:
        return super().near_index((f"{axes[0]}_plane", *axes[1:]), place, leaves, voxels)

    def around(self, spans: Sequence[str], ending: str, lattice: Lattice) -> list[str]:
        held = f"fs_held{lattice.suffix}, {lattice.size('x')}, {lattice.scale}"
        span = spans[0]
        return [
            f"    int {span}_{end}{ending}_plane = fs_hold({span}.{end}, {span}.has_{end}, {held});" for end in _ENDS
        ]

    def corner(self, spans: Sequence[str], ends: Sequence[str], ending: str, lattice: Lattice) -> str:
        x = f"{spans[0]}_{ends[0]}{ending}_plane"
        y, z = (f"{span}.{end}" for span, end in zip(spans[1:], ends[1:], strict=True))
        return f"({x} * {lattice.size('y')} + {y}) * {lattice.size('z')} + {z}"


class LeafPlaces(Places):
    """Active leaves, on one device or of a slab."""

    include = "storage_leaves.glsl"

    @property
    def edge(self) -> int:
        return leaf_edge(self.resolution)

    def constants(self) -> list[str]:
        lines = [f"const int FS_EDGE = {self.edge};"]
        if self.storage.slabs:
            own = Lattice(resolution=self.resolution)
            lines = ["#define FS_SLABS", f"const ivec2 FS_SCALE = {own.scale};", *lines]
        if self.block.words:
            lines.append("#define FS_WORDS")
        pair = "uint64_t" if self.block.words else "ivec2"
        reference = "layout(buffer_reference, scalar, buffer_reference_align = {}) restrict readonly buffer"
        return [
            *lines,
            reference.format(4) + " fs_Numbers { int v[]; };",
            reference.format(8) + f" fs_Table {{ {pair} v[]; }};",
        ]

    def members(self, others: Sequence[Lattice]) -> list[str]:
        topology = ["    fs_Numbers fs_order;", "    fs_Numbers fs_records;", "    fs_Table fs_table;"]
        if not self.storage.slabs:
            return [*topology, "    ivec2 fs_run;"]
        held = [f"    ivec2 fs_held{lattice.suffix};" for lattice in others]
        numbers = ["    ivec2 fs_run;", "    ivec2 fs_away;", "    ivec2 fs_held;", *held]
        return [*topology, "    fs_status_words fs_overrun;", *numbers]

    def begin(self) -> list[str]:
        block, edge = self.block, self.edge
        along_z, along_x = edge // block.along_z, edge // block.along_x
        return [
            "    if (!fs_enter()) {",
            "        return;",
            "    }",
            "    int n = fs_invocation();",
            f"    ivec3 in_leaf = ivec3({_quotient('n', edge * along_z)}, {_remainder(_quotient('n', along_z), edge)}, "
            f"{_remainder('n', along_z)});",
            f"    ivec3 b = fs_leaf * ivec3({along_x}, {edge}, {along_z}) + in_leaf;",
            f"    ivec3 at = in_leaf * ivec3({block.along_x}, 1, {block.along_z});",
            f"    ivec3 c = b * ivec3({block.along_x}, 1, {block.along_z});",
            f"    if (n >= {along_x * edge * along_z} || !InDomain(c)) {{",
            "        return;",
            "    }",
            "    int own_leaf = fs_slot * FS_LEAF_VOXELS;",
        ]

    def end(self, check: Iterable[str]) -> list[str]:
        return [*_BEYOND, *check] if self.storage.slabs else [*check]

    def near(self, axes: Sequence[str], offset: Sequence[int], leaves: Sequence[bool], voxels: int) -> Iterator[str]:
        edges = (self.edge, self.edge, self.edge // voxels)
        name = self._leaf(axes, leaves)
        if not any(leaves):
            return
        if not all(
            self._adjacent(axis, abs(o)) for axis, (o, leave) in enumerate(zip(offset, leaves, strict=True)) if leave
        ):
            at = [f"{_quotient(a, e)}" for a, e in zip(axes, edges, strict=True)]
            yield from self._once(name, f"    int {name} = fs_slots({', '.join(at)}).x * FS_LEAF_VOXELS;")
            return
        signs: list[str] = []
        for number, (axis, o, edge, leave) in enumerate(zip(axes, offset, edges, leaves, strict=True)):
            if not leave:
                signs.append("0")
                continue
            here, part = f"{axis}_here", "xyz"[number]
            yield from self._once(here, f"    bool {here} = {_quotient(axis, edge)} == fs_leaf.{part};")
            if self._one_sided(number, o):
                side = f"side_{part}"
                middle = f"at.{part} < {self.edge // 2}"
                yield from self._once(side, f"    int {side} = {middle} ? -1 : 1;")
                signs.append(side)
            else:
                signs.append("1" if o > 0 else "-1")
        yield from self._known_neighbours(signs)
        yield from self._once(name, f"    int {name} = {self._choice(axes, signs)};")

    def _known_neighbours(self, signs: Sequence[str]) -> Iterator[str]:
        """Variables for where the neighbours along every choice of the axes with a sign begin."""
        for keep in product((False, True), repeat=3):
            moved = [sign if kept else "0" for sign, kept in zip(signs, keep, strict=True)]
            if any(sign != "0" for sign in moved):
                yield from self._once(
                    _neighbour(moved), f"    int {_neighbour(moved)} = fs_neighbour({', '.join(moved)});"
                )

    def _one_sided(self, axis: int, offset: int) -> bool:
        """Whether a block that leaves its leaf by such an offset on one side cannot leave it on the other as well."""
        along = (self.block.along_x, 1, self.block.along_z)[axis]
        reach = max(-offset, offset - along + 1)
        return not self._ragged(axis) and 2 * reach + along <= self.edge + 1

    def _choice(self, axes: Sequence[str], signs: Sequence[str]) -> str:
        """Where the leaf begins that a chunk lies in: the own one, or a neighbour along the axes with a sign."""

        def among(known: tuple[str, ...]) -> str:
            axis = len(known)
            if axis == 3:
                return _neighbour(known) if any(sign != "0" for sign in known) else "own_leaf"
            if signs[axis] == "0":
                return among((*known, "0"))
            return f"({axes[axis]}_here ? {among((*known, '0'))} : {among((*known, signs[axis]))})"

        return among(())

    def _adjacent(self, axis: int, voxels: int) -> bool:
        """Whether what lies so many voxels away is always in the own leaf or the next."""
        return voxels <= (self._ragged(axis) or self.edge)

    def _ragged(self, axis: int) -> int:
        """Voxels of a leaf that the end of a periodic axis cuts; 0: there is none."""
        domain = self.storage.domain
        if domain is None or domain.boundary[axis] is not Boundary.PERIODIC:
            return 0
        return domain.at(self.resolution).size[axis] % self.edge

    @staticmethod
    def _leaf(axes: Sequence[str], leaves: Sequence[bool]) -> str:
        moved = [axis for axis, leave in zip(axes, leaves, strict=True) if leave]
        return f"leaf_{'_'.join(moved)}" if moved else "own_leaf"

    def near_index(self, axes: Sequence[str], place: Sequence[int], leaves: Sequence[bool], voxels: int) -> str:
        edge = self.edge
        begin = _quotient(self._leaf(axes, leaves), voxels)
        # Inside the block it is the block's place and a constant, which a compiler adds up for all that is loaded.
        block = ("at.x", "at.y", _quotient("at.z", voxels))
        x, y, z = (
            _remainder(axis, length) if leave else f"({begins} + {offset})"
            for axis, length, leave, begins, offset in zip(
                axes, (edge, edge, edge // voxels), leaves, block, place, strict=True
            )
        )
        return f"{begin} + ({x} * {edge} + {y}) * {edge // voxels} + {z}"

    def around(self, spans: Sequence[str], ending: str, lattice: Lattice) -> list[str]:
        edge, lines = lattice.edge, []
        leaf = {(axis, end): f"{'xyz'[axis]}_{end}{ending}_leaf" for axis in range(3) for end in _ENDS}
        lines += [f"    int {leaf[a, e]} = {_quotient(f'{spans[a]}.{e}', edge)};" for a, e in leaf]
        if self.storage.slabs:
            held = f"fs_held{lattice.suffix}, {lattice.size('x')}, {lattice.scale}"
            lines += [f"    fs_hold({spans[0]}.{end}, {spans[0]}.has_{end}, {held});" for end in _ENDS]
        count_y, count_z = (f"(({lattice.size(a)} + {edge - 1}) / {edge})" for a in "yz")
        for x in _ENDS:
            for y in _ENDS:
                row = f"({leaf[0, x]} * {count_y} + {leaf[1, y]}) * {count_z} + {leaf[2, 'low']}"
                lines.append(f"    ivec2 slots_{x}_{y}{ending} = fs_slots({row});")
        lines.append(f"    bool next{ending} = {leaf[2, 'high']} != {leaf[2, 'low']};")
        for axis, name in enumerate("xyz"):
            for end in _ENDS:
                inside = _remainder(f"{spans[axis]}.{end}", edge)
                lines.append(f"    int at_{name}_{end}{ending} = {inside} * {edge ** (2 - axis)};")
        return lines

    def corner(self, spans: Sequence[str], ends: Sequence[str], ending: str, lattice: Lattice) -> str:
        slots = f"slots_{ends[0]}_{ends[1]}{ending}"
        slot = f"{slots}.x" if ends[2] == "low" else f"(next{ending} ? {slots}.y : {slots}.x)"
        inside = " + ".join(f"at_{axis}_{end}{ending}" for axis, end in zip("xyz", ends, strict=True))
        return f"{slot} * {lattice.edge**3} + ({inside})"


def _neighbour(signs: Sequence[str]) -> str:
    """The variable for where a neighbour begins."""
    words = {"0": "o", "1": "p", "-1": "m"}
    return "leaf_at_" + "_".join(words.get(sign, sign) for sign in signs)


def _parts(size: str, voxels: int) -> str:
    return size if voxels == 1 else f"({size} / {voxels})"


def _quotient(value: str, by: int) -> str:
    """A whole number that is not negative, divided."""
    if by == 1:
        return value
    return f"({value} >> {by.bit_length() - 1})" if by & (by - 1) == 0 else f"({value} / {by})"


def _remainder(value: str, by: int) -> str:
    if by == 1:
        return "0"
    return f"({value} & {by - 1})" if by & (by - 1) == 0 else f"({value} % {by})"
