# SPDX-License-Identifier: GPL-3.0-or-later
"""Timing in interleaved rounds, and tables.

On a software device the CPU time of all threads is the steadier number, where other programs share the machine; the
wall time is what a user waits.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

__all__ = ["Times", "interleaved", "table"]


@dataclass
class Times:
    """Seconds of each round."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    @property
    def median_wall(self) -> float:
        return statistics.median(self.wall)

    @property
    def median_cpu(self) -> float:
        return statistics.median(self.cpu)


def measured(work: Callable[[], None]) -> tuple[float, float]:
    """Wall and CPU seconds of this process for one call."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def interleaved(works: Mapping[str, Callable[[], tuple[float, float]]], rounds: int) -> dict[str, Times]:
    """Times of each work, one after the other in every round, so that what else the machine does meets all alike.

    Args:
        works: each returns the wall and CPU seconds of one round.
    """
    times = {name: Times() for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            wall, cpu = work()
            times[name].wall.append(wall)
            times[name].cpu.append(cpu)
    return times


def table(title: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table: the first column to the left, the others to the right."""
    lines = [list(head), *(list(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    print(f"\n{title}")
    for number, line in enumerate(lines):
        cells = [line[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True))]
        print("  " + "  ".join(cells).rstrip())
        if number == 0:
            print("  " + "  ".join("-" * width for width in widths))
