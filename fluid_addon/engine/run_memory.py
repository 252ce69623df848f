# SPDX-License-Identifier: GPL-3.0-or-later
"""The memory of a simulation: what each of its parts needs, held against its device before anything is allocated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ..diagnostics import fail
from ..gpu.memory import MemoryPlan, Residence, check_plan
from .activation import ACTIVITY_WORDS
from .active_leaves import ActiveLeaves
from .field import Field
from .leaf_room import Taken, check_room
from .leaves import LeafBox
from .part import Part, buffer_bytes, voxels_of_planes
from .reduction import LEAF_SUM_BYTES
from .solvers import Solvers
from .stencil import BACK_BUFFER_SUFFIX
from .topology import Topology
from .whole import Whole

__all__ = ["RunMemory", "Row", "field_rows", "leaf_rows"]

Row = tuple[str, int, Residence]


def field_rows(field: Field, size: int) -> list[Row]:
    """The rows of a field in a plan, whose buffers have `size` bytes each."""
    names = [field.name, field.name + BACK_BUFFER_SUFFIX] if field.has_back else [field.name]
    return [(name, size, Residence.DEVICE) for name in names]


def leaf_rows(box: LeafBox, capacity: int, rules: int) -> list[Row]:
    """The rows of a pool of leaves: which there are, and what they are measured by so many rules and reduced to."""
    numbers = capacity * _numbers(rules)
    return [
        ("leaves", Topology.bytes_for(box, capacity) + numbers, Residence.DEVICE),
        ("numbers of leaves", numbers, Residence.READBACK),
    ]


def _numbers(rules: int) -> int:
    """Bytes for each slot of what is measured, on the device, and as many where the host reads it."""
    return LEAF_SUM_BYTES + 4 * ACTIVITY_WORDS * rules


class RunMemory:
    """What a simulation takes of its devices' memory.

    Args:
        parts: those of this process.
        fields: the declared ones.
        leaves: None in a dense domain.
        whole: what solvers have of several parts, on the first one's device; None where there is none.

    Attributes:
        export_bytes: of the export ring on each device.
    """

    def __init__(
        self,
        parts: Sequence[Part],
        fields: Mapping[str, Field],
        leaves: ActiveLeaves | None,
        solvers: Solvers,
        whole: Whole | None,
    ) -> None:
        self._parts, self._fields, self._leaves, self._solvers, self._whole = parts, fields, leaves, solvers, whole
        self.export_bytes = 0

    @property
    def magnitudes(self) -> tuple[int, ...]:
        """Of each part's pool of leaves; they change where one has doubled, and the plan is worth telling again."""
        return tuple(part.topology.capacity.bit_length() for part in self._parts if part.topology is not None)

    def plan(self, part: Part | None = None) -> MemoryPlan:
        """What a part, by default the first, needs for fields, back buffers, solvers and the export ring."""
        part = part or self._parts[0]
        rows = [row for field in self._fields.values() for row in field_rows(field, part.bytes_of(field))]
        if part.topology is not None:
            rows += leaf_rows(part.topology.pool.box, part.topology.capacity, self._rules)
        rows += self._solvers.rows(self._later(part))
        if part is self._parts[0] and self._whole is not None:
            rows += self._whole.rows()
        if self.export_bytes:
            rows.append(("export ring", self.export_bytes, Residence.READBACK))
        return MemoryPlan(tuple(rows))

    @property
    def _rules(self) -> int:
        return self._leaves.rule_count if self._leaves is not None else 0

    def allocated(self, part: Part | None = None) -> int:
        """Bytes of a part's plan that are allocated already."""
        part = part or self._parts[0]
        whole = self._whole.allocated if part is self._parts[0] and self._whole else 0
        return part.allocated + self._solvers.allocated(self._later(part)) + whole

    def _later(self, part: Part) -> Part | None:
        """None for the first part, which solvers have more on than on others."""
        return None if part is self._parts[0] else part

    def check(self) -> None:
        """Raises FluidError `domain-too-large` when the plan does not fit on some device, which is named."""
        for first in {part.device.info.index: part for part in reversed(self._parts)}.values():
            sharing = [part for part in self._parts if part.device.info.index == first.device.info.index]
            plans = [self.plan(part) for part in sharing]
            if len(sharing) > 1:  # logical devices on one: together they need its memory
                plans = [_numbered(plan, self._parts.index(part)) for plan, part in zip(plans, sharing, strict=True)]
            rows = tuple(row for plan in plans for row in plan.rows)
            check_plan(first.device, MemoryPlan(rows), sum(map(self.allocated, sharing)))

    def check_field(self, field: Field) -> None:
        """Hold a field that was just declared against the devices. Raises as `check`, and `device-feature`."""
        for part in self._parts:
            if field.format.is_half and not part.device.info.half_storage:
                message = f'"{part.device.info.name}" cannot store 16-bit floats, which "{field.name}" asks for.'
                raise fail("device-feature", message, "Use a 32-bit format.")
        self.check()

    def check_room(self, wanted: Sequence[tuple[Part, int]]) -> None:
        """Raises FluidError `domain-too-large` when parts cannot hold so many slots; nothing is allocated before."""
        check_room(wanted, self._fields, 2 * _numbers(self._rules), self._solvers.growth)

    def check_halo(self, halo: int) -> None:
        """Raises FluidError `domain-too-large` where parts of a dense domain cannot have a halo of so many voxels."""
        devices: dict[int, Taken] = {}
        for part in self._parts:
            taken = devices.setdefault(part.device.info.index, Taken(part.device))
            slab = part.slab.widened(halo)
            for name, buffers in part.buffers.items():
                field = self._fields[name]
                size = buffer_bytes(field, voxels_of_planes(part.domain, field, slab.held(field.resolution)[1]))
                for buffer in buffers:
                    taken.replace(buffer.allocated, size)
        for taken in devices.values():
            if lack := taken.lack():
                message = f'"{taken.device.info.name}" cannot hold halos of {halo} voxels: they need {lack}.'
                hint = "Let less travel so far in a step: a shorter dt or more substeps; or use a smaller domain."
                raise fail("domain-too-large", message, hint)

    def told(self) -> dict[str, object]:
        """The plans of all parts as the event "memory" has them."""
        plans = [self.plan(part) for part in self._parts]
        names = [part.device.info.name for part in self._parts]
        tables = [plan.table() for plan in plans]
        if len(plans) > 1:
            slabs = [part.slab for part in self._parts]
            heads = [
                f'planes {s.begin} to {s.end - 1} of {s.planes} on "{n}":' for s, n in zip(slabs, names, strict=True)
            ]
            tables = [f"{head}\n{table}" for head, table in zip(heads, tables, strict=True)]
        return {
            "table": "\n".join(tables),
            "bytes": sum(plan.total() for plan in plans),
            "device": '", "'.join(dict.fromkeys(names)),
            "parts": [{"device": n, "bytes": plan.total()} for n, plan in zip(names, plans, strict=True)],
        }


def _numbered(plan: MemoryPlan, number: int) -> MemoryPlan:
    return replace(plan, rows=tuple((f"{name}, slab {number + 1}", size, where) for name, size, where in plan.rows))
