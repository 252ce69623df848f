# SPDX-License-Identifier: GPL-3.0-or-later
"""Small runs of every storage that tests let fail at some point, and the points at which they do."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from fluid_addon.engine import EngineEnvironment, FluidEngine, Format, StencilDefinition
from fluid_addon.engine.solver import SolverDefinition
from fluid_addon.volumes.bake import Bake

__all__ = ["KINDS", "passages", "run"]

KINDS: dict[str, dict[str, Any]] = {
    "dense": {},
    "sparse": {"sparse": True},
    "two": {"gpu_count": 2},
    "solver": {"solver": True},
    "sparse two": {"gpu_count": 2, "sparse": True},
    "sparse solver": {"sparse": True, "solver": True},
    "solver two": {"gpu_count": 2, "solver": True},
    "export": {"exports": True},
}

_GROW = StencilDefinition("grow", 'WriteField("a_new", idx, ReadField("a", idx) + 1.0);', ("a",), ("a_new",))
_SPREAD = StencilDefinition(
    "spread", 'WriteField("b_new", idx, ReadField("b", coord + ivec3(1, 0, 0)) + 1.0);', ("b",), ("b_new",)
)


def passages(exhaustive: bool) -> Iterator[int]:
    """Which passages of a point are to fail, one run each: all of them, or ever fewer."""
    return itertools.count(1) if exhaustive else (2 * 3**number for number in itertools.count())


def run(
    cache: Path,
    folder: Path,
    *,
    solver: bool = False,
    exports: bool = False,
    careful: bool = False,
    steps: Iterable[object] = range(3),
    **options: Any,
) -> float:
    """Build an engine, run it and close it, whatever happens; a sum of what it computed.

    Args:
        steps: one is run for each; what comes next is asked for just before.
    """
    open_bake = lambda device: Bake.create(folder, "test", script_hash="0", device=device)  # noqa: E731
    environment = EngineEnvironment(cache=cache, open_bake=open_bake, careful=careful)
    engine = FluidEngine(domain_size=(64, 32, 24), environment=environment, **options)
    try:
        for name in "ab":
            engine.add_field(name, Format.R32F, 0)
        engine.add_stencil(_GROW)
        engine.add_stencil(_SPREAD)
        if solver:
            engine.add_solver(SolverDefinition("solve", "a", "b", most=2))
        if engine.sparse:
            engine.activate(low=(0.8, 0, 0), high=(2, 2, 2))
        for number, _ in enumerate(steps):
            if engine.sparse and number == 1:
                engine.activate(low=(0, 0, 0), high=(6.3, 3.1, 2.3))  # more leaves than the first pool has room for
            engine.step(1.0)
            if exports:
                engine.export_nvdb(f"frame_{number}.nvdb")
        total = engine.reduce("b", "sum")
        engine.finish()
        return float(total)  # type: ignore[arg-type]
    finally:
        engine.close()
