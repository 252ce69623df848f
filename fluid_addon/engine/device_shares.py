# SPDX-License-Identifier: GPL-3.0-or-later
"""Which devices a domain is cut for: how many over all processes of a run, and those that this one opens."""

from __future__ import annotations

from itertools import chain

from ..diagnostics import fail
from ..gpu.device import choose_several, list_devices
from .domain import Domain
from .environment import EngineEnvironment
from .slab import check_count

__all__ = ["checked_count", "devices_here"]


#: More than any machine room has. Each of them is opened, and takes memory of this process.
MOST_DEVICES = 1024


def checked_count(environment: EngineEnvironment, given: int | None, domain: Domain) -> int:
    """Devices over all processes; each of those takes one at least.

    Args:
        given: by the script; the run may override it.
        domain: what they share.

    Raises:
        FluidError: `bad-argument`, `too-many-devices`.
    """
    count = environment.gpu_count if environment.gpu_count is not None else given
    ranks = environment.carrier.ranks
    if count is None:
        return ranks
    if count < 1:
        raise fail("bad-argument", f'"gpu_count" is {count}; it is at least 1.')
    check_count(domain, count)
    if count > MOST_DEVICES:
        raise fail("too-many-devices", f'"gpu_count" is {count}; it is at most {MOST_DEVICES}.')
    if count < ranks:
        environment.note(f"gpu_count = {count}: each of the {ranks} processes takes a device, so it is {ranks}.")
    return max(count, ranks)


def devices_here(environment: EngineEnvironment, wanted: int | str | None, count: int) -> list[int | str | None]:
    """Those of this process, of `count` over all of them: as many as in the others, or one more.

    Processes on one machine share its devices out; where there are fewer, several logical ones are opened on each.

    Args:
        wanted: index or part of a name; None takes the best.

    Raises:
        FluidError: `no-vulkan`, `no-device`.
    """
    if count == 1:
        return [wanted]
    carrier = environment.carrier
    machine = carrier.machine()
    mine = count // carrier.ranks + (carrier.rank < count % carrier.ranks)
    every = carrier.allgather((machine, mine))
    before = sum(devices for other, devices in every[: carrier.rank] if other == machine)
    infos = choose_several(list_devices(), wanted, before + mine)[before:]
    taken = list(chain.from_iterable(carrier.allgather([(machine, info.index, info.name) for info in infos])))
    if len(set(taken)) < count:
        names = ", ".join(sorted({f'"{name}"' for _, _, name in taken}))
        environment.note(f"gpu_count = {count}: several logical devices share {names}; it will not be faster.")
    return [info.index for info in infos]
