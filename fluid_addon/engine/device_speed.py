# SPDX-License-Identifier: GPL-3.0-or-later
"""How much of a domain each of several devices gets: the same where they are alike, else by their measured speed.

Stencils wait for memory, so the speed is that of a "triad" (McCalpin, "Memory Bandwidth and Machine Balance in Current
High Performance Computers", 1995): a = b + s c over arrays that are longer than most caches.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack

from ..gpu.compiler import Compiler
from ..gpu.device import Device, DeviceInfo
from ..gpu.execution import Execution
from ..gpu.kernel import KernelLibrary
from ..gpu.memory import Buffer
from ..gpu.recording import Dispatch, Recording
from .carrier import Carrier
from .declarations import shader_text

__all__ = ["device_weights", "measured_speed"]

LANES = 64
GROUPS = 32768  # every device takes that many
LENGTH = LANES * GROUPS  # floats of an array: 8 MiB
LONG_ENOUGH = 0.01  # seconds; what is shorter says more about submissions than about memory
MOST_TURNS = 4096
STEP = 8  # weights are multiples of one over this part of the slowest device's, so that they vary less than the clock


def device_weights(
    devices: Sequence[DeviceInfo], carrier: Carrier, measure: Callable[[DeviceInfo], float]
) -> list[float]:
    """The share of each part in the work, above 0, on all ranks; only their ratios count.

    Args:
        devices: of the parts of this rank; the same one several times shares its speed among them.
        measure: the speed of a device, above 0. It is not asked where all of the run have the same name and kind, and
            once on each rank for each name and kind otherwise.
    """
    ranks = carrier.allgather((carrier.machine(), list(devices)))
    every = [((machine, info.index), _kind(info)) for machine, infos in ranks for info in infos]
    if len({kind for _, kind in every}) == 1:
        return [1.0] * len(every)
    speeds: dict[tuple[str, str], float] = {}
    for measured in carrier.allgather({kind: measure(info) for kind, info in {_kind(i): i for i in devices}.items()}):
        speeds = measured | speeds
    places = [place for place, _ in every]
    shares = [speeds[kind] / places.count(place) for place, kind in every]
    slowest = min(shares)
    return [round(STEP * share / slowest) / STEP for share in shares]


def _kind(info: DeviceInfo) -> tuple[str, str]:
    return info.name, info.kind


def measured_speed(info: DeviceInfo, compiler: Compiler) -> float:
    """Bytes a second that a device reads and writes in a triad; takes a moment and 24 MiB of its memory."""
    with ExitStack() as opened:
        device = Device(info.index)
        opened.callback(device.close)
        library = KernelLibrary(device)
        opened.callback(library.close)
        execution = Execution(device, library, 16)
        opened.callback(execution.close)
        buffers = []
        for name in ("a", "b", "c"):
            buffers.append(Buffer(device, f"triad {name}", 4 * LENGTH))
            opened.callback(buffers[-1].close)
            execution.repeat(buffers[-1], bytes(4))
        kernel = library.make("triad", compiler.compile(shader_text("triad.comp"), {}), (LANES, 1, 1))
        bindings = tuple((buffer.name, buffer) for buffer in buffers)
        turn = Dispatch(kernel, bindings, (GROUPS, 1, 1))  # each writes the same, so they need no barriers
        turns, seconds = 1, 0.0
        while True:
            encoded = execution.encode(Recording("triad", [turn] * turns))
            try:
                execution.wait(execution.submit(encoded))  # warms up
                began = time.perf_counter()
                execution.wait(execution.submit(encoded))
                seconds = time.perf_counter() - began
            finally:
                execution.idle()
                encoded.close()
            if seconds >= LONG_ENOUGH or turns >= MOST_TURNS:
                return 12 * LENGTH * turns / max(seconds, 1e-9)
            turns *= 8
