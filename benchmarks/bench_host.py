# SPDX-License-Identifier: GPL-3.0-or-later
"""What a simulation of 20 stencils costs beside its computing: host work of a step, and the time to the first step.

A start is cold where nothing of ours or of the driver's is cached, and warm where the same script ran before. Each is a
process of its own, as the worker of a run is.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from .measure import table

STENCILS, STEPS, COLD, WARM = 20, 500, 3, 5

CODE = """
    float s = ReadField("u", idx);
    float sum = ReadField("u", coord + ivec3(1, 0, 0)) + ReadField("u", coord - ivec3(1, 0, 0))
              + ReadField("u", coord + ivec3(0, 1, 0)) + ReadField("u", coord - ivec3(0, 1, 0))
              + ReadField("u", coord + ivec3(0, 0, 1)) + ReadField("u", coord - ivec3(0, 0, 1));
    WriteField("u_new", idx, s + {rate} * (sum - 6.0 * s));
"""


def child(cache: str) -> None:
    """Start, step, and say in JSON how long each part took."""
    begin = time.perf_counter()
    from fluid_addon.engine import EngineEnvironment, FluidEngine, Format, StencilDefinition

    imported, imported_cpu = time.perf_counter(), time.process_time()
    engine = FluidEngine(domain_size=(64, 64, 64), environment=EngineEnvironment(cache=Path(cache)))
    try:
        engine.add_field("u", Format.R32F, 1.0)
        for number in range(STENCILS):
            code = CODE.replace("{rate}", f"0.{number + 10}")
            engine.add_stencil(StencilDefinition(f"seven_{number}", code, ("u",), ("u_new",)))
        declared = time.perf_counter()
        engine.step(0.1)
        engine.finish()
        stepped, cpu = time.perf_counter(), time.process_time()
        works = []
        for _ in range(STEPS):
            before = time.thread_time()  # waiting for the device is no work
            engine.step(0.1)
            works.append(time.thread_time() - before)
        engine.finish()
    finally:
        engine.close()
    parts = {"import": imported - begin, "declare": declared - imported, "step": stepped - declared}
    print(json.dumps(parts | {"cpu": cpu - imported_cpu, "host": statistics.median(works)}))


def start(folder: Path) -> dict[str, float]:
    """A child whose caches lie in `folder`."""
    caches = {"MESA_SHADER_CACHE_DIR": str(folder / "driver"), "XDG_CACHE_HOME": str(folder / "user")}
    command = [sys.executable, "-m", "benchmarks.bench_host", "--child", str(folder / "ours")]
    before = time.perf_counter()
    done = subprocess.run(command, env=os.environ | caches, capture_output=True, text=True, check=True)
    answer: dict[str, float] = json.loads(done.stdout)
    return answer | {"process": time.perf_counter() - before}


def main() -> None:
    runs: dict[str, list[dict[str, float]]] = {"cold": [], "warm": []}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(max(COLD, WARM)):
            if number < COLD:
                kept = Path(folder) / str(number)
                runs["cold"].append(start(kept))
            runs["warm"].append(start(kept))
    rows = []
    for kind, found in runs.items():
        parts = {name: statistics.median(run[name] for run in found) for name in ("import", "declare", "step")}
        first_step = statistics.median(run["declare"] + run["step"] for run in found)
        cpu = statistics.median(run["cpu"] for run in found)
        rows.append([kind, *(f"{seconds:.2f} s" for seconds in (*parts.values(), first_step, cpu))])
    head = ("", "imports", "engine and stencils", "first step", "both", "CPU time of both")
    table(f"Time to the first step of {STENCILS} stencils, median of {COLD} and {WARM} processes", head, rows)
    host = statistics.median(run["host"] for run in runs["warm"])
    table("Host work of a step, nothing changed", ("stencils", "ms a step"), [(str(STENCILS), f"{1e3 * host:.3f}")])


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2])
    else:
        main()
