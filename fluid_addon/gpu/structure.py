# SPDX-License-Identifier: GPL-3.0-or-later
"""What a compiled kernel declares, held against what kernels of ours may: the compiler's word is not taken for it.

The artist's text was looked at before it was compiled. This looks at what came of it: one entry point, the two uniform
blocks of `kernel.py`, buffers through references alone, and nothing that ends an invocation or needs a feature that is
not everywhere.
"""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from .spirv import Instruction, Op, Storage, instructions, module_words, text_of

__all__ = [
    "LOCAL_BYTES",
    "Structure",
    "StructureError",
    "check_kernel",
    "check_stencil",
    "counts_workgroups",
    "structure_of",
    "validate",
]

LOCAL_BYTES = 4096  # of arrays of an invocation: of what more a device would move to its slow memory
BINDINGS = (0, 1)
_NAMES = {
    1: "Shader",
    11: "Int64",
    4433: "StorageBuffer16BitAccess",
    4434: "UniformAndStorageBuffer16BitAccess",
    5347: "PhysicalStorageBufferAddresses",
}
_EXTENSIONS = frozenset(("SPV_KHR_physical_storage_buffer", "SPV_KHR_16bit_storage"))
#: The builtins that say which invocation this is.
_BUILTINS = {24: "NumWorkgroups", 25: "WorkgroupSize", 26: "WorkgroupId", 27: "LocalInvocationId"}
_BUILTINS |= {28: "GlobalInvocationId", 29: "LocalInvocationIndex"}
_BUILTIN, _BINDING, _SET = 11, 33, 34  # decorations
#: OpDecorate of anything with BuiltIn NumWorkgroups.
_NUM_WORKGROUPS = re.compile(
    struct.pack("<I", 4 << 16 | Op.DECORATE) + b".{4}" + struct.pack("<2I", _BUILTIN, 24), re.S
)
_REFUSED = {
    Op.TYPE_IMAGE: "an image",
    Op.TYPE_SAMPLER: "a sampler",
    Op.TYPE_SAMPLED_IMAGE: "a texture",
    Op.KILL: "a discard",
    Op.TERMINATE_INVOCATION: "a discard",
    Op.DEMOTE: "a discard",
}

_LOOKED_AT = (
    frozenset((Op.CAPABILITY, Op.EXTENSION, Op.ENTRY_POINT, Op.DECORATE, Op.CONSTANT, Op.VARIABLE, *_REFUSED))
    | frozenset(range(Op.TYPE_BOOL, Op.TYPE_POINTER + 1))
    | frozenset((Op.LOOP_MERGE, Op.CONTROL_BARRIER, *range(Op.ATOMIC_FIRST, Op.ATOMIC_LAST + 1)))
)


class StructureError(Exception):
    """A kernel declares what none may. `local_bytes` where its arrays are too large, else 0."""

    def __init__(self, text: str, local_bytes: int = 0) -> None:
        super().__init__(text)
        self.local_bytes = local_bytes


@dataclass
class Structure:
    """What a module declares.

    Attributes:
        blocks: (set, binding) of each uniform block.
        storages: storage classes of its variables.
        local_bytes: of the arrays that an invocation has for itself.
        odd: what no kernel may have, in words.
    """

    capabilities: list[str] = field(default_factory=list)
    extensions: list[str] = field(default_factory=list)
    entries: list[str] = field(default_factory=list)
    builtins: list[str] = field(default_factory=list)
    blocks: list[tuple[int, int]] = field(default_factory=list)
    storages: set[str] = field(default_factory=set)
    local_bytes: int = 0
    loops: int = 0
    barriers: int = 0
    atomics: int = 0
    odd: list[str] = field(default_factory=list)

    def text(self) -> str:
        """On one line, for people and for comparing."""
        parts = {
            "capabilities": self.capabilities,
            "extensions": self.extensions,
            "entries": self.entries,
            "builtins": self.builtins,
            "blocks": [f"{s}.{b}" for s, b in self.blocks],
            "variables": sorted(self.storages),
            "loops": [str(self.loops)],
            "barriers": [str(self.barriers)],
            "atomics": [str(self.atomics)],
        }
        return "; ".join(f"{name} {', '.join(values)}" for name, values in parts.items() if values not in ([], ["0"]))


def structure_of(spirv: bytes) -> Structure:
    """What a module declares.

    Raises:
        ValueError: it is no module.
    """
    words = module_words(spirv)
    found = Structure()
    decorations: dict[int, dict[int, int]] = {}
    known: dict[int, Instruction] = {}
    for each in instructions(words, _LOOKED_AT):
        code, operands = each.code, each.operands
        if code == Op.CAPABILITY:
            found.capabilities.append(_NAMES.get(operands[0], f"capability {operands[0]}"))
        elif code == Op.EXTENSION:
            found.extensions.append(text_of(operands))
        elif code == Op.ENTRY_POINT:
            found.entries.append(text_of(operands[2:]) if operands[0] == 5 else f"execution model {operands[0]}")
        elif code == Op.DECORATE:
            decorations.setdefault(operands[0], {})[operands[1]] = operands[2] if len(operands) > 2 else 0
            if operands[1] == _BUILTIN:
                found.builtins.append(_BUILTINS.get(operands[2], f"builtin {operands[2]}"))
        elif Op.TYPE_BOOL <= code <= Op.TYPE_POINTER:
            known[operands[0]] = each
        elif code == Op.CONSTANT:
            known[operands[1]] = each
        elif code == Op.VARIABLE:
            _variable(found, each, known, decorations.get(operands[1], {}))
        if code in _REFUSED:
            found.odd.append(_REFUSED[Op(code)])
        found.loops += code == Op.LOOP_MERGE
        found.barriers += code == Op.CONTROL_BARRIER
        found.atomics += Op.ATOMIC_FIRST <= code <= Op.ATOMIC_LAST
    for names in (found.capabilities, found.extensions, found.builtins):
        names.sort()
    found.blocks.sort()
    return found


def _variable(found: Structure, each: Instruction, known: dict[int, Instruction], decorations: dict[int, int]) -> None:
    storage = each.operands[2]
    try:
        name = Storage(storage).name.lower()
    except ValueError:
        name = f"storage class {storage}"
        found.odd.append(name)
    found.storages.add(name)
    if storage == Storage.UNIFORM:
        found.blocks.append((decorations.get(_SET, -1), decorations.get(_BINDING, -1)))
    elif storage in (Storage.FUNCTION, Storage.PRIVATE):
        kind = known[each.operands[0]].operands[2]
        if known[kind].code in (Op.TYPE_ARRAY, Op.TYPE_STRUCT):
            size = _bytes(kind, known)
            found.local_bytes += size or 0
            if size is None:
                found.odd.append("a local array whose length is not written down")


def _bytes(kind: int, known: dict[int, Instruction]) -> int | None:
    """Of a type; None where an array in it has no length that is written down."""
    found = known[kind]
    parts: list[int | None]
    if found.code == Op.TYPE_STRUCT:
        parts = [_bytes(member, known) for member in found.operands[1:]]
        return None if None in parts else sum(part or 0 for part in parts)
    if found.code in (Op.TYPE_VECTOR, Op.TYPE_MATRIX, Op.TYPE_ARRAY):
        count: int | None = found.operands[2]
        if found.code == Op.TYPE_ARRAY:
            length = known.get(found.operands[2])
            count = length.operands[2] if length is not None else None
        one = _bytes(found.operands[1], known)
        return None if one is None or count is None else one * count
    return 8 if found.code == Op.TYPE_POINTER else 4


def check_kernel(spirv: bytes) -> Structure:
    """What a module declares. Raises StructureError unless it is a kernel as `kernel.py` runs them."""
    try:
        found = structure_of(spirv)
    except (ValueError, KeyError, IndexError) as error:
        raise StructureError(f"is no SPIR-V module: {error}") from None
    odd = [
        *found.odd,
        *(name for name in found.capabilities if name not in _NAMES.values()),
        *(name for name in found.extensions if name not in _EXTENSIONS),
        *(name for name in found.builtins if name not in _BUILTINS.values()),
        *(f"a block at set {s}, binding {b}" for s, b in found.blocks if s != 0 or b not in BINDINGS),
    ]
    if len(set(found.blocks)) != len(found.blocks):
        odd.append("a binding twice")
    if found.entries != ["main"]:
        odd.append(f"the entry points {', '.join(found.entries) or 'none'}")
    if odd:
        raise StructureError(f"has {odd[0]}, which no kernel may have")
    return found


def check_stencil(spirv: bytes) -> Structure:
    """The same for a kernel that is made of an artist's code."""
    found = check_kernel(spirv)
    if Storage.WORKGROUP.name.lower() in found.storages or found.barriers:
        raise StructureError("has memory that invocations share, which no stencil may have")
    if found.local_bytes > LOCAL_BYTES:
        raise StructureError(f"has {found.local_bytes} bytes of arrays", found.local_bytes)
    return found


def counts_workgroups(spirv: bytes) -> bool:
    """Whether a kernel may ask how many workgroups its dispatch has. Looks for bytes: it is asked of every kernel."""
    return _NUM_WORKGROUPS.search(spirv) is not None


def validate(spirv: bytes) -> str | None:
    """What `spirv-val` has against a module; None where it has nothing, or is not there."""
    tool = shutil.which("spirv-val")
    if tool is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "kernel.spv"
        file.write_bytes(spirv)
        command = [tool, "--target-env", "vulkan1.3", "--scalar-block-layout", str(file)]
        done = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", timeout=60, check=False)
    return None if done.returncode == 0 else (done.stderr or done.stdout).strip()
