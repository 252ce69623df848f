# SPDX-License-Identifier: GPL-3.0-or-later
"""Reductions of a field to one number per component, over a fixed tree: leaves of 8x8x8 voxels, then 512 at a time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..diagnostics import did_you_mean, fail
from ..gpu.compiler import Compiler
from ..gpu.device import Device
from ..gpu.execution import Encoded, Execution
from ..gpu.kernel import Kernel, KernelLibrary
from ..gpu.memory import Buffer, Residence
from ..gpu.recording import Barrier, Command, Copy, Dispatch, Recording
from .address import Boundary
from .declarations import shader_text
from .domain import Domain
from .field import Field
from .formats import Format

__all__ = ["OPERATIONS", "Reductions", "check_operation"]

LANES = (64, 1, 1)
FAN_IN = 512


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
#: the largest Euclidean length of a voxel's value. Sums of integers are counted in 32-bit floats.
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


def _definitions(format_: Format, operation: _Operation, leaves: bool) -> tuple[str, np.dtype[np.generic], int]:
    """The generated include, and what a result is: numpy type and components."""
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
    stored = format_.glsl_stored if leaves else value
    loaded = f"vec{format_.components}" if operation.to_scalar and format_.components > 1 else value
    lines = [
        f"#define VALUE {value}",
        f"#define STORED {stored}",
        f"#define LOADED {loaded}",
        f"#define ALIGNMENT {format_.dtype.itemsize if leaves else 4}",
        f"#define IDENTITY {value}({identity})",
        f"#define COMBINE(a, b) {operation.combine}",
        f"#define MAP(v) {mapping}",
    ]
    if leaves:
        lines.append("#define LEAVES")
    dtype = format_.dtype if whole else np.dtype(np.float32)
    return "\n".join(lines) + "\n", dtype, components


class Reductions:
    """The reductions of one simulation; kernels and encodings are made on first use and kept."""

    def __init__(
        self, device: Device, kernels: KernelLibrary, execution: Execution, compiler: Compiler, domain: Domain
    ) -> None:
        self._device, self._kernels, self._execution = device, kernels, execution
        self._compiler, self._domain = compiler, domain
        self._leaves = tuple(-(-n // 8) for n in domain.size)
        self._made: dict[tuple[Format, str], list[Kernel]] = {}
        self._encoded: dict[tuple[int, str], Encoded] = {}
        self._result: Buffer | None = None
        self._partials: list[Buffer] = []

    @property
    def scratch_bytes(self) -> int:
        """Device memory that reductions need once used."""
        return sum(16 * count for count in self._counts())

    def _counts(self) -> list[int]:
        """Partial results after each level, down to one."""
        counts = [self._leaves[0] * self._leaves[1] * self._leaves[2]]
        while counts[-1] > 1:
            counts.append(-(-counts[-1] // FAN_IN))
        return counts

    def __call__(self, field: Field, name: str) -> tuple[float | int, ...]:
        """Reduce a field as it is after everything submitted; waits for the result.

        Returns:
            one number per component, or a single one for `norm` and `length`.

        Raises:
            FluidError: `bad-argument` for an unknown reduction, `cancelled`.
        """
        check_operation(name)
        operation = OPERATIONS[name]
        _, dtype, components = _definitions(field.format, operation, True)
        source = field.buffer(field.name)
        key = (id(source), name)
        if key not in self._encoded:
            self._encoded[key] = self._encode(field, source, name, components * dtype.itemsize)
        self._execution.wait(self._execution.submit(self._encoded[key]))
        assert self._result is not None and self._result.host is not None, "made when the reduction was encoded"
        self._result.invalidate()
        values = self._result.host[: components * dtype.itemsize].view(dtype)
        numbers = tuple(v.item() for v in values)
        return tuple(float(np.sqrt(n)) for n in numbers) if operation.root else numbers

    def _buffers(self) -> list[Buffer]:
        if not self._partials:
            self._partials = [
                Buffer(self._device, f"reduction level {i}", 16 * n) for i, n in enumerate(self._counts())
            ]
            self._result = Buffer(self._device, "reduction result", 16, Residence.READBACK)
        return self._partials

    def _levels(self, format_: Format, name: str) -> list[Kernel]:
        key = (format_, name)
        if key not in self._made:
            made = []
            for level, count in enumerate([0, *self._counts()[:-1]]):
                text, _, _ = _definitions(format_, OPERATIONS[name], level == 0)
                spirv = self._compiler.compile(shader_text("reduce.comp"), {"operation": text})
                special = self._domain.address.constants((Boundary.OPEN,) * 3) | {9: count}
                made.append(self._kernels.make(f"{name} level {level}", spirv, LANES, special))
            self._made[key] = made
        return self._made[key]

    def _encode(self, field: Field, source: Buffer, name: str, result_bytes: int) -> Encoded:
        partials = self._buffers()
        commands: list[Command] = []
        previous = (field.name, source)
        for level, kernel in enumerate(self._levels(field.format, name)):
            target = partials[level]
            x, y, z = self._leaves
            groups = (z, y, x) if level == 0 else (-(-self._counts()[level - 1] // FAN_IN), 1, 1)
            commands += [Dispatch(kernel, (previous, ("target", target)), groups), Barrier((target.name,))]
            previous = ("source", target)
        assert self._result is not None, "made together with the partial results"
        commands.append(Copy(previous[1], self._result, result_bytes))
        return self._execution.encode(Recording(f"{name} of {field.name}", commands))

    def close(self) -> None:
        for encoded in self._encoded.values():
            encoded.close()
        for buffer in (*self._partials, *([self._result] if self._result else [])):
            buffer.close()
