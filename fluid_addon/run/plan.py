# SPDX-License-Identifier: GPL-3.0-or-later
"""`devices --plan`: what a script would take of the devices and send between them, as data and as text."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import asdict

from ..diagnostics import FluidError, fail, human_bytes
from ..engine.run_plan import PartPlan, RunPlan
from .events import Emit
from .request import RunRequest
from .session import look_through, tell_findings

__all__ = ["run_plan"]


def run_plan(request: RunRequest, emit: Emit, cancel: threading.Event) -> int:
    """Plan a script here, with nothing computed. Its problems, or the plans of its engines, are events; the last one is
    "finished".

    Returns:
        the exit code of the command line.
    """
    begun = time.monotonic()
    emit({"event": "started", "script": request.script})
    problems, session = look_through(request, cancel, emit)
    plans: list[RunPlan] = []
    if not problems and not cancel.is_set():
        try:
            plans = [engine.plan() for engine in session.engines]
        except FluidError as error:
            problems = [error]
        if not plans and not problems:
            problems = [fail("usage", f'"{session.name}" makes no FluidEngine.', "A simulation begins with it.")]
    for plan in plans:
        emit({"event": "plan", "text": _text(plan), "json": _json(plan)})
    return tell_findings(problems, begun, emit, cancel)


def _json(plan: RunPlan) -> str:
    """The plan as one JSON object; sizes are in bytes."""
    parts = [{**asdict(part), "bytes": part.bytes} for part in plan.parts]
    return json.dumps({**asdict(plan), "parts": parts})


def _text(plan: RunPlan) -> str:
    """The plan for people."""
    size = ", ".join(map(str, plan.size))
    count = len(plan.parts)
    kind = "dense" if plan.leaves is None else f"sparse with {plan.leaves:,} leaves"
    lines = [f"{{{size}}} voxels, {kind}, on {count} device{'s' * (count != 1)}"]
    for number, part in enumerate(plan.parts, 1):
        lines += ["", _head(part, number, plan)]
        lines += _table(part)
    lines += _lacking(plan)
    if count > 1:
        lines += ["", "Halos of a step:"]
        lines += [f'  {e.when} "{e.what}": {", ".join(e.fields)}, {human_bytes(e.bytes)}' for e in plan.exchanges]
        counted = [e for e in plan.exchanges if not e.in_cycles]
        cycles = "" if len(counted) == len(plan.exchanges) else ", and those of the cycles"
        plural = "s" * (len(counted) != 1)
        lines.append(f"  {len(counted)} exchange{plural} of {human_bytes(sum(e.bytes for e in counted))}{cycles}")
    return "\n".join(lines)


def _lacking(plan: RunPlan) -> list[str]:
    """A line for each device whose memory is too small for all parts on it."""
    lines = []
    for device in dict.fromkeys(part.device for part in plan.parts):
        sharing = [part for part in plan.parts if part.device == device]
        needed, first = sum(part.bytes for part in sharing), sharing[0]
        if needed > first.memory:
            lines += ["", f'"{first.name}" has too little memory: {human_bytes(needed)} are needed.']
    return lines


def _head(part: PartPlan, number: int, plan: RunPlan) -> str:
    slab = f"Slab {number}, planes {part.begin} to {part.end - 1} and a halo of {part.halo}, on device"
    device = f'{part.device}, "{part.name}" with {human_bytes(part.memory)}'
    head = f"{slab if len(plan.parts) > 1 else 'Device'} {device}:"
    if part.leaves is None:
        return head
    beside = f" and {part.halo_leaves:,} in the halo" if len(plan.parts) > 1 else ""
    more = f"one more takes {human_bytes(part.leaf_bytes)}"
    return f"{head}\n  {part.leaves:,} leaves are active at the start{beside}; {more}"


def _table(part: PartPlan) -> list[str]:
    columns = {
        "own": [f.own for f in part.fields],
        "halo": [f.halo for f in part.fields],
        "spare": [f.spare for f in part.fields],
        "back buffer": [f.back for f in part.fields],
    }
    shown = {name: sizes for name, sizes in columns.items() if name == "own" or any(sizes)}
    rows = [["", *shown]]
    rows += [[f.name, *(_bytes(sizes[place]) for sizes in shown.values())] for place, f in enumerate(part.fields)]
    rows += [[name, _bytes(size)] for name, size in part.other]
    rows.append(["total", _bytes(part.bytes)])
    widths = [max(len(row[place]) for row in rows if place < len(row)) for place in range(len(rows[0]))]
    return ["  " + _line(row, widths) for row in rows]


def _line(row: list[str], widths: list[int]) -> str:
    first, *rest = row
    return "  ".join(
        [first.ljust(widths[0]), *(text.rjust(w) for text, w in zip(rest, widths[1:], strict=False))]
    ).rstrip()


def _bytes(size: int) -> str:
    return human_bytes(size) if size else "-"
