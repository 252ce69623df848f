# SPDX-License-Identifier: GPL-3.0-or-later
"""Reductions of a field to one number per component: each leaf on its device, then the leaves in their order.

Devices give a number for each leaf of 8x8x8 voxels of the domain, by a fixed tree. The host adds those up in 64-bit
floats, one after another, so that neither the storage nor the number of devices changes a bit: a leaf of zeros that is
not stored is one that changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..diagnostics import did_you_mean, fail
from ..gpu.compiler import Compiler
from ..gpu.execution import Encoded
from ..gpu.kernel import Kernel
from ..gpu.memory import Buffer, Residence
from ..gpu.recording import Barrier, Command, Copy, Dispatch, Recording
from .address import Boundary
from .declarations import shader_text
from .field import Field
from .formats import Format
from .part import Part
from .places import LEAVES_BINDINGS, leaf_edge

__all__ = ["OPERATIONS", "LeafReduction", "check_operation", "combined", "in_order"]

LANES = (64, 1, 1)
#: Room for what a leaf is reduced to.
LEAF_SUM_BYTES = 16


@dataclass(frozen=True)
class _Operation:
    combine: str
    identity_float: str
    identity_int: str = ""
    identity_uint: str = ""
    mapping: str = "(v)"
    to_scalar: bool = False
    root: bool = False


_ADD = "((a) + (b))"
_HUGE = "3.402823466e38"
#: `sum`, `min` and `max` go by component; `norm` is the Euclidean norm over all voxels and components, and `length`
#: the largest Euclidean length of a voxel's value. Sums of integers are counted in floats.
OPERATIONS = {
    "sum": _Operation(_ADD, "0.0"),
    "min": _Operation("min(a, b)", _HUGE, "0x7fffffff", "0xffffffffu"),
    "max": _Operation("max(a, b)", f"-{_HUGE}", "int(0x80000000)", "0u"),
    "norm": _Operation(_ADD, "0.0", mapping="dot(v, v)", to_scalar=True, root=True),
    "length": _Operation("max(a, b)", "0.0", mapping="dot(v, v)", to_scalar=True, root=True),
}


def check_operation(name: str) -> None:
    """Raises FluidError `bad-argument` for an unknown reduction."""
    if name not in OPERATIONS:
        raise fail("bad-argument", f'There is no reduction "{name}".', did_you_mean(name, OPERATIONS))


def in_order(values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """The sum over the first axis, one after another in 64-bit floats."""
    if not len(values):
        return np.zeros(values.shape[1:])
    total: npt.NDArray[np.float64] = np.add.accumulate(values, axis=0, dtype=np.float64)[-1]
    return total


def combined(
    name: str, leaves: Sequence[npt.NDArray[Any]], outside: npt.NDArray[Any] | None, voxels: int
) -> tuple[float | int, ...]:
    """The numbers of all leaves as one.

    Args:
        leaves: of each part of the domain, in their order, (n, components).
        outside: the value of voxels that are not active, (components,), and how many `voxels` those are.
    """
    operation, every = OPERATIONS[name], np.concatenate(list(leaves))
    with np.errstate(over="ignore", invalid="ignore"):
        if outside is not None and voxels:
            one = outside.astype(np.float64)
            one = np.array([np.dot(one, one)]) if operation.to_scalar else one
            every = np.concatenate([every.astype(np.float64), [one * (voxels if operation.combine == _ADD else 1)]])
        if operation.combine == _ADD:
            total: npt.NDArray[Any] = in_order(every)
        else:
            total = (np.fmin if name == "min" else np.fmax).reduce(every, axis=0)
        total = np.sqrt(total) if operation.root else total
    whole = every.dtype.kind in "iu" and operation.combine != _ADD
    return tuple(int(v) if whole else float(v) for v in total)


def _definitions(format_: Format, operation: _Operation) -> tuple[str, np.dtype[np.generic], int]:
    """The generated include, and what a leaf's number is: numpy type and components."""
    whole = not format_.is_float and bool(operation.identity_int)
    components = 1 if operation.to_scalar else format_.components
    scalar = format_.glsl if whole else "float"
    value = scalar if components == 1 else f"vec{components}"
    identity = operation.identity_float
    if whole:
        identity = operation.identity_uint if format_ is Format.R32UI else operation.identity_int
    mapping = operation.mapping
    if operation.to_scalar:
        inner = "float" if format_.components == 1 else f"vec{format_.components}"
        mapping = f"dot({inner}(v), {inner}(v))"
    loaded = f"vec{format_.components}" if operation.to_scalar and format_.components > 1 else value
    lines = [
        f"#define VALUE {value}",
        f"#define STORED {format_.glsl_stored}",
        f"#define LOADED {loaded}",
        f"#define ALIGNMENT {format_.dtype.itemsize}",
        f"#define IDENTITY {value}({identity})",
        f"#define COMBINE(a, b) {operation.combine}",
        f"#define MAP(v) {mapping}",
    ]
    dtype = format_.dtype if whole else np.dtype(np.float32)
    return "\n".join(lines) + "\n", dtype, components


class LeafReduction:
    """The reductions of one part's leaves; kernels and encodings are made on first use and kept."""

    def __init__(self, part: Part, compiler: Compiler) -> None:
        self._part, self._compiler = part, compiler
        self._kernels: dict[tuple[Format, str, int], Kernel] = {}
        self._encoded: dict[tuple[object, ...], Encoded] = {}
        self._result: tuple[Buffer, Buffer] | None = None
        self._tickets: dict[tuple[object, ...], int] = {}

    @property
    def _count(self) -> int:
        """Leaves that there is room for."""
        if self._part.topology is not None:
            return self._part.topology.capacity
        first, last = self._part.slab.leaf_planes()
        return (last - first) * self._along_y * self._along_z

    @property
    def _along_y(self) -> int:
        return -(-self._part.domain.size[1] // 8)

    @property
    def _along_z(self) -> int:
        return -(-self._part.domain.size[2] // 8)

    def begin(self, field: Field, name: str) -> tuple[object, ...]:
        """Queue the reduction of a field as it is after everything submitted. Returns the key for `finish`."""
        topology, source = self._part.topology, self._part.buffer(field)
        if self._result is not None and self._result[0].size != LEAF_SUM_BYTES * self._count:
            self._forget()
        key = (source.address, field.format, name, field.resolution, topology.version if topology else 0)
        if key not in self._encoded:
            self._encoded[key] = self._encode(field, source, name)
        self._tickets[key] = self._part.execution.submit(self._encoded[key])
        return key

    def finish(self, key: tuple[object, ...], field: Field, name: str) -> npt.NDArray[Any]:
        """The numbers of the leaves that the part computes, in their order, (n, components); waits for them."""
        self._part.execution.wait(self._tickets[key])
        _, dtype, components = _definitions(field.format, OPERATIONS[name])
        assert self._result is not None, "made when the reduction was encoded"
        host = self._result[1]
        host.invalidate()
        assert host.host is not None, "readback memory is always mapped"
        topology = self._part.topology
        count = topology.count if topology else self._count
        size = count * components * dtype.itemsize
        return np.array(host.host[:size].view(dtype).reshape(count, components))

    def _buffers(self) -> tuple[Buffer, Buffer]:
        if self._result is None:
            device, size = self._part.device, LEAF_SUM_BYTES * self._count
            self._result = (
                Buffer(device, "numbers of leaves", size),
                Buffer(device, "reduction result", size, Residence.READBACK),
            )
        return self._result

    def _kernel(self, field: Field, name: str) -> Kernel:
        edge = leaf_edge(field.resolution)
        key = (field.format, name, edge)
        if key not in self._kernels:
            text, _, _ = _definitions(field.format, OPERATIONS[name])
            text += f"#define EDGE {edge}\n" + ("#define SPARSE\n" if self._part.topology else "")
            spirv = self._compiler.compile(shader_text("reduce.comp"), {"operation": text})
            address = self._part.domain.at(field.resolution).address
            special = address.constants((Boundary.OPEN,) * 3)
            self._kernels[key] = self._part.library.make(f"{name} of leaves", spirv, LANES, special)
        return self._kernels[key]

    def _encode(self, field: Field, source: Buffer, name: str) -> Encoded:
        part, kernel = self._part, self._kernel(field, name)
        target, host = self._buffers()
        bindings = [(field.name, source), ("target", target)]
        topology = part.topology
        if topology is not None:
            bindings += zip(LEAVES_BINDINGS, (topology.order, topology.records, topology.table), strict=True)
            groups, numbers = (1, *topology.workgroups), (0, 0)
        else:
            first, last = part.slab.leaf_planes()
            groups = (self._along_z, self._along_y, last - first)
            numbers = (first, part.slab.held(field.resolution)[0])
        commands: list[Command] = [
            Dispatch(kernel, tuple(bindings), groups, numbers),
            Barrier((target.name,)),
            Copy(target, host, target.size),
        ]
        return part.execution.encode(Recording(f"{name} of {field.name}", commands))

    def _forget(self) -> None:
        for encoded in self._encoded.values():
            encoded.close()
        self._encoded.clear()
        for buffer in self._result or ():
            buffer.close()
        self._result = None

    def close(self) -> None:
        self._forget()
