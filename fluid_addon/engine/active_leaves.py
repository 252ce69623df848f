# SPDX-License-Identifier: GPL-3.0-or-later
"""The active leaves of a simulation: where they come from, how they follow the fluid, and which part holds which."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain

import numpy as np
import numpy.typing as npt

from ..diagnostics import FluidError
from ..gpu.compiler import Compiler
from ..gpu.execution import Encoded
from ..gpu.kernel import Kernel
from ..gpu.memory import Buffer, Residence
from ..gpu.recording import Barrier, Command, Copy, Dispatch, Recording
from .activation import (
    ACTIVITY_WORDS,
    Activation,
    ActivationRule,
    activity_constants,
    activity_include,
    unpack_activity,
)
from .carrier import Carrier
from .declarations import shader_text
from .field import DOMAIN, Field, find_field
from .leaves import LEAF, Indices, Integers, LeafBox
from .part import Part
from .slab import Slab

__all__ = ["ActiveLeaves", "LeafMemory"]

_NONE = np.empty(0, np.int32)


@dataclass(frozen=True)
class _Share:
    """What a part has of the active leaves: those that it computes, and those that it holds, own ones or not."""

    part: Part
    own: npt.NDArray[np.bool_]
    held: npt.NDArray[np.bool_]

    @property
    def slots(self) -> int:
        """That of the background included."""
        return int((self.own | self.held).sum()) + 1


@dataclass(frozen=True)
class LeafMemory:
    """What the active leaves of the next step follow from, besides the fields and the rules.

    Attributes:
        indices: "active", "always", "calm" (as `Activation` has it), "start" where leaves were asked for, and
            "kept NAME" for each field that keeps some.
        settled: a stencil has run.
    """

    indices: dict[str, Indices]
    settled: bool


class ActiveLeaves:
    """Which leaves are active, on all parts of a simulation.

    Args:
        fields: the declared ones.
        moved: called when other leaves are active.
        parts: those of this process.
        check_room: given what parts will have to hold, in slots, raises where that is too much.

    Attributes:
        active: linear indices, sorted.
        rules: that leaves follow; without any, what is active at the start stays so.
        defaults: for fields that none of the rules is for.
    """

    def __init__(
        self,
        parts: Sequence[Part],
        box: LeafBox,
        fields: Mapping[str, Field],
        compiler: Compiler,
        moved: Callable[[], None],
        check_room: Callable[[Sequence[tuple[Part, int]]], None],
        carrier: Carrier,
    ) -> None:
        self._parts, self.box, self._fields, self._moved = parts, box, fields, moved
        self._check_room, self._carrier = check_room, carrier
        self.active: Indices = _NONE
        self.rules: list[ActivationRule] = []
        self.defaults: dict[str, ActivationRule] = {}
        self._always: Indices = _NONE
        self._kept: dict[str, Indices] = {}
        self._start: Indices | None = None
        self._begun, self._settled = False, False
        self._activation = Activation()
        self._meters = [_Meter(part, compiler) for part in parts]
        self._whole: list[Part] = []

    # ----- what is asked for

    def start_from(self, leaves: Indices) -> None:
        """Let these leaves be among those that are active at the start."""
        self._start = np.union1d(leaves, _NONE if self._start is None else self._start).astype(np.int32)
        if self._begun:
            self.wake(leaves)

    def also(self, part: Part) -> None:
        """Give a further part, which measures nothing, its leaves as well."""
        self._whole.append(part)
        if self._begun:
            self.spread_out()

    def follow_field(self, rule: ActivationRule) -> None:
        """Follow a field from now on; a rule that is there for it is replaced."""
        self.rules = [r for r in self.rules if r.field != rule.field] + [rule]

    def keep(self, field: str, leaves: Indices) -> None:
        """Keep these leaves awake, in place of those kept for this field before, as long as no rule follows it."""
        self._kept[field] = leaves
        if self._begun:
            self.wake(leaves)

    def keep_awake(self, lows: Integers, highs: Integers) -> None:
        """Keep the leaves awake that boxes of voxels touch."""
        self._always = np.union1d(self._always, self.box.touched(lows, highs)).astype(np.int32)
        if self._begun:
            self.wake(self._always)

    # ----- what is active

    def begin(self) -> None:
        """Hold what was asked for so far; nothing the second time."""
        if not self._begun:
            self._begun = True
            self._hold(_joined([_NONE if self._start is None else self._start, self._always, *self._kept.values()]))

    def settle(self) -> None:
        """Hold the whole box where nobody has said by the first stencil what is active."""
        if self._settled:
            return
        self._settled = True
        if self._start is None and not self.rules and not self.defaults and not len(self._always):
            self._hold(self.box.everything())

    def wake(self, leaves: Indices) -> bool:
        """Let leaves be active as well. True when any was not."""
        return self._hold(np.union1d(self.active, leaves).astype(np.int32))

    def follow(self, travel: float) -> bool:
        """Let the leaves follow their rules; nothing where there are none. True when other ones are active now.

        Args:
            travel: voxels that a velocity of 1 goes in the coming step.

        Raises:
            FluidError: `domain-too-large` where memory does not suffice; the fields are then as they were.
        """
        rules = [(rule, find_field(dict(self._fields), rule.field)) for rule in self._in_force()]
        if not rules:
            return False
        followed = {rule.field for rule, _ in rules}
        always = _joined([self._always, *(kept for field, kept in self._kept.items() if field not in followed)])
        velocity = self._fields.get("velocity")
        if velocity is not None and (velocity.format.components != 3 or velocity.resolution != DOMAIN):
            velocity = None
        for meter in self._meters:
            meter.begin(rules, velocity)
        here = [meter.finish() for meter in self._meters]
        measured = list(chain.from_iterable(self._carrier.allgather(here)))
        together = [np.concatenate([found[number] for found in measured]) for number in range(len(rules))]
        pairs = [(rule, unpack_activity(words)) for (rule, _), words in zip(rules, together, strict=True)]
        calm = self._activation.calm
        try:
            return self._hold(self._activation.wanted(self.box, self.active, pairs, travel, always))
        except FluidError:
            self._activation.calm = calm  # the decision did not come about
            raise

    def memory(self) -> LeafMemory:
        """For a checkpoint."""
        kept = {f"kept {field}": leaves for field, leaves in self._kept.items()}
        start = {} if self._start is None else {"start": self._start}
        fixed = {"active": self.active, "always": self._always, "calm": self._activation.calm}
        return LeafMemory(fixed | start | kept, self._settled)

    def recall(self, memory: LeafMemory) -> None:
        """Let the leaves be as they were. Raises FluidError `domain-too-large`."""
        indices = memory.indices
        self._begun, self._settled = True, memory.settled
        self._always, self._start = indices["always"], indices.get("start")
        self._kept = {name.removeprefix("kept "): i for name, i in indices.items() if name.startswith("kept ")}
        self._activation.calm = indices["calm"].reshape(-1, 2)
        self._hold(indices["active"])

    def _in_force(self) -> list[ActivationRule]:
        """The rules, and what stands in for those that are missing, by the names of their fields."""
        by_field = self.defaults | {rule.field: rule for rule in self.rules}
        return [by_field[field] for field in sorted(by_field)]

    def voxels_outside(self, resolution: Fraction = DOMAIN) -> int:
        """Voxels of a resolution that are not active."""
        size = self._parts[0].domain.at(resolution).size
        edge = int(LEAF * resolution)
        corners = self.box.coords(self.active).astype(np.int64) * edge
        inside = np.minimum(np.array(size) - corners, edge).prod(axis=1).sum()
        return int(np.prod(size, dtype=np.int64) - inside)

    def _hold(self, leaves: Indices) -> bool:
        if np.array_equal(leaves, self.active):
            return False
        before, self.active = self.active, leaves
        try:
            self.spread_out()
        except BaseException:
            self.active = before
            raise
        self._moved()
        return True

    def spread_out(self) -> None:
        """Give every part the leaves of its slab and its halo.

        Raises:
            FluidError: `domain-too-large`; nothing is changed.
        """
        parts = [*self._parts, *self._whole]
        self._hold_shares([_Share(part, self._own(part.slab), self._held(part.slab)) for part in parts])

    def take_in(self, slabs: Sequence[Slab]) -> None:
        """Let every part hold the leaves of another slab as well, in place of its halo. Raises as `spread_out`."""
        self._hold_shares(self._taken_in(slabs))

    def check_slabs(self, slabs: Sequence[Slab]) -> None:
        """Raises FluidError `domain-too-large` where parts could not take in other slabs, or have them."""
        pairs = zip(self._parts, slabs, strict=True)
        for shares in (self._taken_in(slabs), [_Share(part, self._own(s), self._held(s)) for part, s in pairs]):
            self._check_room([(share.part, share.slots) for share in shares])

    def _taken_in(self, slabs: Sequence[Slab]) -> list[_Share]:
        pairs = zip(self._parts, slabs, strict=True)
        return [_Share(part, self._own(part.slab), self._own(slab)) for part, slab in pairs]

    def load(self) -> npt.NDArray[np.int64]:
        """Active leaves in each leaf plane along x."""
        return np.bincount(self.box.planes(self.active), minlength=self.box.shape[0])

    def _own(self, slab: Slab) -> npt.NDArray[np.bool_]:
        return slab.computes(self.box.planes(self.active))

    def _held(self, slab: Slab) -> npt.NDArray[np.bool_]:
        return slab.holds(self.box.planes(self.active))

    def _hold_shares(self, shares: Sequence[_Share]) -> None:
        self._check_room([(share.part, share.slots) for share in shares])
        for share in shares:
            self._hold_part(share.part, share.own, share.held & ~share.own)

    def _hold_part(self, part: Part, own: npt.NDArray[np.bool_], halo: npt.NDArray[np.bool_]) -> None:
        topology = part.topology
        assert topology is not None, "a sparse simulation has topologies"
        part.execution.wait_all()
        first, stop = part.slab.leaf_planes()
        border = -(-part.slab.halo // LEAF)
        interior = (first + border, stop - border) if part.slab.halo else None
        change = topology.hold(self.active[own], self.active[halo], self.active[~own & ~halo], interior)
        if change.grown:
            part.regrow(dict(self._fields))
        if len(change.woken) and part.buffers:
            wakes: list[Command] = [part.wake(self._fields[name], change.woken_slots) for name in part.buffers]
            part.execution.run(Recording("wake leaves", wakes))

    @property
    def rule_count(self) -> int:
        """Rules by which leaves are measured."""
        return len(self._in_force())

    def close(self) -> None:
        for meter in self._meters:
            meter.close()


def _joined(leaves: Sequence[Indices]) -> Indices:
    joined: Indices = np.unique(np.concatenate(leaves))
    return joined


class _Meter:
    """Measures the activity of one part's leaves by `shaders/activity.comp`."""

    def __init__(self, part: Part, compiler: Compiler) -> None:
        self._part, self._compiler = part, compiler
        self._kernels: dict[tuple[object, ...], Kernel] = {}
        self._encoded: dict[tuple[object, ...], Encoded] = {}
        self._results: list[tuple[Buffer, Buffer]] = []
        self._version = -1
        self._ticket = 0
        self._rules = 0

    def begin(self, rules: Sequence[tuple[ActivationRule, Field]], velocity: Field | None) -> None:
        """Queue the measurement of every rule."""
        topology = self._part.topology
        assert topology is not None, "a sparse simulation has topologies"
        if self._version != topology.version or len(self._results) < len(rules):
            self._renew(len(rules))
            self._version = topology.version
        buffers = [self._part.buffer(field) for _, field in rules]
        flow = self._part.buffer(velocity) if velocity is not None else None
        key = (tuple(rule for rule, _ in rules), *(b.address for b in buffers), flow.address if flow else 0)
        if key not in self._encoded:
            self._encoded[key] = self._encode(rules, velocity)
        self._ticket = self._part.execution.submit(self._encoded[key])
        self._rules = len(rules)

    def finish(self) -> list[npt.NDArray[np.uint32]]:
        """What was found by each rule, (own leaves, 8); waits for it."""
        self._part.execution.wait(self._ticket)
        topology, found = self._part.topology, []
        assert topology is not None, "a sparse simulation has topologies"
        for _, host in self._results[: self._rules]:
            host.invalidate()
            assert host.host is not None, "readback memory is always mapped"
            size = 4 * ACTIVITY_WORDS * topology.count
            found.append(np.array(host.host[:size].view(np.uint32).reshape(-1, ACTIVITY_WORDS)))
        return found

    def _encode(self, rules: Sequence[tuple[ActivationRule, Field]], velocity: Field | None) -> Encoded:
        part, topology = self._part, self._part.topology
        assert topology is not None, "a sparse simulation has topologies"
        groups = (1, *topology.workgroups)
        commands: list[Command] = []
        for (rule, field), (target, _) in zip(rules, self._results, strict=False):
            bindings = [
                ("leaf order", topology.order),
                ("leaf records", topology.records),
                (field.name, part.buffer(field)),
            ]
            if velocity is not None:
                bindings.append((velocity.name, part.buffer(velocity)))
            bindings.append(("activity", target))
            commands.append(Dispatch(self._kernel(rule, field, velocity), tuple(bindings), groups))
        commands.append(Barrier(("activity",)))
        commands += [Copy(target, host, target.size) for target, host in self._results[: len(rules)]]
        return part.execution.encode(Recording("activity", commands))

    def _kernel(self, rule: ActivationRule, field: Field, velocity: Field | None) -> Kernel:
        key = (rule, velocity.name if velocity else None)
        if key not in self._kernels:
            include = activity_include(field.format, velocity.format if velocity else None)
            spirv = self._compiler.compile(shader_text("activity.comp"), {"field": include})
            constants = activity_constants(rule, field, self._part.domain.size)
            self._kernels[key] = self._part.library.make(f"activity of {field.name}", spirv, (64, 1, 1), constants)
        return self._kernels[key]

    def _renew(self, rules: int) -> None:
        self.close()
        topology = self._part.topology
        assert topology is not None, "a sparse simulation has topologies"
        size, device = 4 * ACTIVITY_WORDS * topology.capacity, self._part.device
        for _ in range(rules):
            target = Buffer(device, "activity", size)
            self._results.append((target, Buffer(device, "activity found", size, Residence.READBACK)))

    def close(self) -> None:
        for encoded in self._encoded.values():
            encoded.close()
        self._encoded.clear()
        for pair in self._results:
            for buffer in pair:
                buffer.close()
        self._results.clear()
