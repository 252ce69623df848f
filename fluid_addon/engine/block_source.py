# SPDX-License-Identifier: GPL-3.0-or-later
"""The main() of a kernel: it loads what a block of voxels reads, runs the artist's code on each, and stores.

The voxels of a block are named by their offset from its low one: `v_p1p0m1_density` lies one further in x and one less
in z. Offsets along x and z that leave the block, and all along y, go through the boundary rule once for each; `z2_m1`
counts chunks of two voxels. Rows are loaded just before the first voxel that needs them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, product

from .block import Block, Chunk
from .body import OWN, Body, Offset, offset_word
from .field import Field
from .formats import Format
from .glsl_loops import SHADER_TURNS
from .places import Places
from .status_source import Noticed, nan_noticed, status_checks

__all__ = ["BlockSource", "choose_block"]

# What lavapipe compiles in about a fifth of a second.
MOST_LOADS = 256  # at fixed offsets, by an invocation
MOST_EFFORT = 8_000  # in tokens, over the voxels of a block
GATHER = 150  # tokens that take as long as a load at a computed place


def choose_block(largest: Block, fields: Mapping[str, Field], body: Body, outputs: Mapping[str, Field]) -> Block:
    """The block that suits the code: the largest that compiles in a fraction of a second.

    Reads of neighbours grow with the block's surface, so that a large one pays even where it compiles slowly; whatever
    else the code does is repeated for every voxel.
    """
    if body.loops:
        return Block(words=largest.words)  # a voxel's turns are its own
    block = largest
    repeated = body.effort + GATHER * (
        sum(8 * count * sample_loads(fields[name], part) for (_, name, part), count in body.samples.items())
        + sum(count * voxel_loads(fields[name].format) for name, count in body.far_reads.items())
    )
    while block.voxels > 1:
        loads = Reads(block, fields, body.near, outputs).loads()
        turns = block.voxels * body.plain_turns
        if loads <= MOST_LOADS and block.voxels * repeated <= MOST_EFFORT and turns <= SHADER_TURNS:
            break
        block = block.halved()
    return block


def voxel_loads(format_: Format) -> int:
    """Gathers for one voxel at a computed place."""
    return format_.components if format_.is_half else -(-format_.bytes_per_voxel // 8)


def sample_loads(field: Field, part: str) -> int:
    """Gathers for one corner of a sample, of one component or all."""
    return (1 if part else field.format.components) if field.staggered else voxel_loads(field.format)


@dataclass(frozen=True)
class Reads:
    """What a block loads.

    Attributes:
        fields: every field that is read, by name.
        reads: (name, offset) of each value that the code takes, in order.
        outputs: the field behind each output; a voxel that the code does not write keeps that field's value.
    """

    block: Block
    fields: Mapping[str, Field]
    reads: Sequence[tuple[str, Offset]]
    outputs: Mapping[str, Field]

    def loads(self) -> int:
        """Loads of one invocation at fixed offsets."""
        return sum(self._chunks[name].loads for name, _ in set(chain.from_iterable(self._rows)))

    @cached_property
    def _chunks(self) -> dict[str, Chunk]:
        return {name: self.block.chunk(field.format) for name, field in self.fields.items()}

    @cached_property
    def _reads(self) -> list[tuple[str, Offset]]:
        """What a voxel reads: what its code takes, and the old value of what it writes."""
        return list(dict.fromkeys([*self.reads, *((field.name, OWN) for field in self.outputs.values())]))

    @cached_property
    def _rows(self) -> list[list[tuple[str, Offset]]]:
        """For each x of the block, the chunks that it reads: field, and offset in voxels, voxels, chunks."""
        rows: list[list[tuple[str, Offset]]] = []
        for x in range(self.block.along_x):
            row = []
            for name, offset in self._reads:
                voxels = self._chunks[name].voxels
                at = (x + offset[0], offset[1])
                row += [(name, (*at, (z + offset[2]) // voxels)) for z in range(self.block.along_z)]
            rows.append(list(dict.fromkeys(row)))
        return rows

    @cached_property
    def _values(self) -> set[str]:
        """The names of all voxels' values that the block takes."""
        inside = product(range(self.block.along_x), range(self.block.along_z))
        return {_voxel_name(n, (x + o[0], o[1], z + o[2])) for x, z in inside for n, o in self._reads}


@dataclass(frozen=True)
class BlockSource(Reads):
    """What main() is made of, over voxels that lie where `places` says.

    Attributes:
        loops: how many loops of the code are counted.
        far: the code reads at places that it computes.
    """

    places: Places
    loops: int = 0
    far: bool = False

    def text(self) -> str:
        """The generated include."""
        block = self.block
        lines = [
            "void main() {",
            *self.places.begin(),
            *self._axes(),
        ]
        loaded: set[tuple[str, Offset]] = set()
        for x, row in enumerate(self._rows):
            for name, place in row:
                if (name, place) not in loaded:
                    loaded.add((name, place))
                    lines += self._load(name, place)
            for z in range(block.along_z):
                lines += self._voxel(x, z)
            for name, field in self.outputs.items():
                lines += self._store(name, field, x)
        return "\n".join([*lines, *self.places.end(self._check()), "}"]) + "\n"

    def _axes(self) -> Iterator[str]:
        """Each coordinate along each axis by the boundary rule; `…_in` says whether it is there."""
        places = {(self._chunks[name].voxels, at) for name, at in chain.from_iterable(self._rows)}
        inside = range(self.block.along_x)
        yield from self._axis("x", "FS_SIZE_X", "c.x", {at[0] for _, at in places}, inside)
        yield from self._axis("y", "FS_SIZE_Y", "c.y", {at[1] for _, at in places}, range(1))
        for voxels in sorted({voxels for voxels, _ in places}):
            chunks = self.block.along_z // voxels
            wanted = {at[2] for v, at in places if v == voxels}
            base = "b.z" if chunks == 1 else f"b.z * {chunks}"
            size = "FS_SIZE_Z" if voxels == 1 else f"FS_SIZE_Z / {voxels}"
            yield from self._axis(f"z{voxels}", size, base, wanted, range(chunks))

    @cached_property
    def _has_faces(self) -> bool:
        return any(field.staggered for field in self.fields.values())

    def _axis(self, axis: str, size: str, base: str, wanted: set[int], inside: range) -> Iterator[str]:
        boundary = f"FS_BOUNDARY_{axis[0].upper()}"
        for at in sorted(wanted | set(inside)):
            variable = f"{axis}_{offset_word(at)}"
            place = f"{base} + {at}" if at >= 0 else f"{base} - {-at}"
            if at in inside:
                yield f"    int {variable} = {place};"
            else:
                yield f"    int {variable} = fs_bring_in({place}, {size}, {boundary});"
                yield f"    bool {variable}_there = fs_is_there({place}, {variable}, {boundary});"
                if at > inside[-1] and self._has_faces:
                    yield f"    bool {variable}_wall = fs_is_wall({place}, {size}, {boundary});"
                if axis in ("z2", "z4"):
                    yield f"    bool {variable}_beyond = fs_is_beyond({place}, {variable}, {boundary});"

    def _load(self, name: str, place: Offset) -> Iterator[str]:
        field, chunk = self.fields[name], self._chunks[name]
        x, y, z = place
        axes = [f"x_{offset_word(x)}", f"y_{offset_word(y)}", f"z{chunk.voxels}_{offset_word(z)}"]
        voxels = [_voxel_name(name, (x, y, z * chunk.voxels + k)) for k in range(chunk.voxels)]
        used = [voxel for voxel in voxels if voxel in self._values]
        chunks = self.block.along_z // chunk.voxels
        leaves = (not 0 <= x < self.block.along_x, y != 0, not 0 <= z < chunks)
        yield from self.places.near(axes, (x, y, z * chunk.voxels), leaves, chunk.voxels)
        yield f"    {field.format.glsl} {', '.join(voxels)};"
        index = self.places.near_index(axes, place, leaves, chunk.voxels)
        yield f"    fs_load_chunk_{name}({index}, {', '.join(voxels)});"
        if leaves[2] and chunk.voxels > 1:
            # Beyond a clamped end lies the end's own voxel: the first of the chunk that was loaded, or its last.
            edge = voxels[0] if z < 0 else voxels[-1]
            yield from (f"    {v} = {axes[2]}_beyond ? {edge} : {v};" for v in used if v != edge)
        if field.staggered:
            walls = field.glsl_components(field.background)
            last = (self.block.along_x - 1, 0, chunks - 1)
            for axis, part, at, end, outside in zip(axes, "xyz", place, last, walls, strict=True):
                if at > end:
                    yield from (f"    {v}.{part} = {axis}_wall ? {outside} : {v}.{part};" for v in used)
        if any(leaves):
            there = " && ".join(f"{axis}_there" for axis, leave in zip(axes, leaves, strict=True) if leave)
            outside = field.glsl(field.background)
            yield from (f"    {v} = {there} ? {v} : {outside};" for v in used)

    def _voxel(self, x: int, z: int) -> Iterator[str]:
        coord = f"ivec3(x_{offset_word(x)}, c.y, c.z + {z})"
        values = [_voxel_name(name, (x + o[0], o[1], z + o[2])) for name, o in self.reads]
        for name, field in self.outputs.items():
            yield f"    fs_out_{name} = {_voxel_name(field.name, (x, 0, z))};"
        if self.far and self.block.voxels > 1:
            yield "    fs_wildest = 0u;"
        yield f"    stencil({', '.join([f'dense_index({coord})', coord, *values])});"
        if self.far:
            yield f"    uint wildest_{x}{z} = fs_wildest;"
        for name, field in self.outputs.items():
            yield f"    {field.format.glsl} {_new_name(name, x, z)} = fs_out_{name};"

    def _check(self) -> Iterator[str]:
        """What fills status words: once for the block, as a branch costs more than comparing."""
        inside = list(product(range(self.block.along_x), range(self.block.along_z)))
        places = [f"dense_index(ivec3(x_{offset_word(x)}, c.y, c.z + {z}))" for x, z in inside]
        noticed = [
            Noticed(self.loops + number, [nan_noticed(field.format, _new_name(name, x, z)) for x, z in inside])
            for number, (name, field) in enumerate(self._floats())
        ]
        if self.far:
            after = self.loops + len(noticed)
            noticed.append(Noticed(after, [f"wildest_{x}{z} + 1u" for x, z in inside]))
        if self.loops:
            noticed.append(Noticed("max(fs_turned, 0)", ["(fs_turns > FS_MOST_TURNS ? FS_NOWHERE : 0u)"]))
        yield from status_checks(noticed, places)

    def _floats(self) -> list[tuple[str, Field]]:
        return [(name, field) for name, field in self.outputs.items() if field.format.is_float]

    def _store(self, name: str, field: Field, x: int) -> Iterator[str]:
        chunk = self.block.chunk(field.format)
        for number, z in enumerate(range(0, self.block.along_z, chunk.voxels)):
            axes = [f"x_{offset_word(x)}", "y_p0", f"z{chunk.voxels}_{offset_word(number)}"]
            inside = (False, False, False)
            yield from self.places.near(axes, (x, 0, z), inside, chunk.voxels)
            index = self.places.near_index(axes, (x, 0, number), inside, chunk.voxels)
            values = ", ".join(_new_name(name, x, z + k) for k in range(chunk.voxels))
            yield f"    fs_store_chunk_{name}({index}, {values});"


def _voxel_name(name: str, offset: Offset) -> str:
    return f"v_{''.join(map(offset_word, offset))}_{name}"


def _new_name(name: str, x: int, z: int) -> str:
    return f"w_{x}{z}_{name}"
