# SPDX-License-Identifier: GPL-3.0-or-later
"""Memory that a simulation allocates, against what it needs: its fields, their back buffers and the ring of exports."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from fluid_addon.diagnostics import human_bytes
from fluid_addon.engine import EngineEnvironment, FluidEngine, Format, StencilDefinition
from fluid_addon.gpu import memory
from fluid_addon.volumes.bake import Bake

from .measure import table

SIZE = 128
FIELDS = {"density": Format.R32F, "temperature": Format.R16F, "velocity": Format.R32G32B32F, "flags": Format.R32UI}
EXPORTED = ["density", "velocity"]
CODE = 'WriteField("{f}_new", idx, SampleField("{f}", vec3(coord) - dt * ReadField("velocity", idx)));'


class Allocations:
    """Every allocation of device memory from now on, by the name of its buffer."""

    def __init__(self) -> None:
        self.sizes: Counter[str] = Counter()
        original, sizes = memory.Buffer._allocate, self.sizes

        def allocate(buffer: memory.Buffer, *arguments: Any) -> None:
            original(buffer, *arguments)
            sizes[f"{buffer.name} ({buffer.residence.value})"] += buffer.allocated

        memory.Buffer._allocate = allocate  # type: ignore[method-assign, assignment]


def main() -> None:
    allocations = Allocations()
    with tempfile.TemporaryDirectory() as folder:
        bake = Bake.create(Path(folder), "memory", script_hash="0", device="")
        engine = FluidEngine(domain_size=(SIZE,) * 3, environment=EngineEnvironment(open_bake=lambda _device: bake))
        try:
            for name, format_ in FIELDS.items():
                engine.add_field(name, format_, 0)
            for name in EXPORTED:
                inputs = tuple(dict.fromkeys((name, "velocity")))
                code = CODE.replace("{f}", name)
                engine.add_stencil(StencilDefinition(f"carry_{name}", code, inputs, (f"{name}_new",)))
            engine.step(0.1)
            engine.export_vdb("frame_1.vdb", EXPORTED)
            engine.step(0.1)
            engine.reduce("velocity", "length")
            engine.finish()
            assert engine._simulation is not None, "only a check has no device"
            plan = engine._simulation.memory.plan()
        finally:
            engine.close()
    needed = {name: size for name, size, _where in plan.rows}
    allocated = sum(allocations.sizes.values())
    rows = [(name, human_bytes(size)) for name, size in needed.items()]
    rows += [("needed", human_bytes(plan.total())), ("allocated", human_bytes(allocated))]
    rows.append(("allocated / needed", f"{allocated / plan.total():.3f}"))
    table(
        f"Memory of {len(FIELDS)} fields at {SIZE}³, {len(EXPORTED)} of them with back buffers and exported",
        ("", ""),
        rows,
    )
    known = {f"{name} ({where.value})" for name, _size, where in plan.rows}
    others = [(name, human_bytes(size)) for name, size in allocations.sizes.most_common() if name not in known]
    table("Allocated beside the fields", ("buffer", "size"), others)


if __name__ == "__main__":
    main()
