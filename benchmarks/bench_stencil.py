# SPDX-License-Identifier: GPL-3.0-or-later
"""The seven-point stencil at 128³: `step` of a simulation, a bare loop of a hand-written shader, and Taichi's Vulkan.

Taichi runs from an environment of its own, `.venv-taichi`; FLUID_SCRIPT_TAICHI=install makes it first, and
FLUID_SCRIPT_TAICHI=/path/to/python takes another one.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fluid_addon.engine import FluidEngine, Format, StencilDefinition
from fluid_addon.gpu.compiler import Compiler
from fluid_addon.gpu.device import Device
from fluid_addon.gpu.execution import Execution
from fluid_addon.gpu.kernel import KernelLibrary
from fluid_addon.gpu.memory import Buffer, Residence
from fluid_addon.gpu.recording import Copy, Dispatch, Recording

from .measure import interleaved, measured, table

SIZE, STEPS, ROUNDS = 128, 20, 15
HERE = Path(__file__).resolve().parent
TAICHI = "taichi==1.7.4"
Round = Callable[[], tuple[float, float]]

SEVEN_POINTS = """
    float s = ReadField("u", idx);
    float sum = ReadField("u", coord + ivec3(1, 0, 0)) + ReadField("u", coord - ivec3(1, 0, 0))
              + ReadField("u", coord + ivec3(0, 1, 0)) + ReadField("u", coord - ivec3(0, 1, 0))
              + ReadField("u", coord + ivec3(0, 0, 1)) + ReadField("u", coord - ivec3(0, 0, 1));
    WriteField("u_new", idx, s + 0.1 * (sum - 6.0 * s));
"""


def start() -> npt.NDArray[np.float32]:
    return np.random.default_rng(1).random((SIZE, SIZE, SIZE), dtype=np.float32)


@contextmanager
def simulation() -> Iterator[FluidEngine]:
    """The stencil as an artist writes it, in a clamped domain."""
    engine = FluidEngine(domain_size=(SIZE,) * 3, boundary="clamp")
    try:
        engine.add_field("u", Format.R32F, 0.0)
        assert engine._simulation is not None, "only a check has no device"
        engine._simulation.start_from(engine.fields["u"], start())
        engine.add_stencil(StencilDefinition("seven", SEVEN_POINTS, ("u",), ("u_new",)))
        yield engine
    finally:
        engine.close()


def step_all(engine: FluidEngine) -> None:
    for _ in range(STEPS):
        engine.step(1.0)
    engine.finish()


class BareLoop:
    """The hand-written shader, recorded once for each side of two buffers and submitted in a loop."""

    def __init__(self) -> None:
        self.device = Device()
        self.library = KernelLibrary(self.device)
        self.execution = Execution(self.device, self.library, 256)
        spirv = Compiler({}).compile((HERE / "handwritten.comp").read_text("utf-8"))
        sizes = dict.fromkeys((3, 4, 5), SIZE)
        kernel = self.library.make("handwritten", spirv, (32, 2, 1), sizes)
        self.buffers = [Buffer(self.device, name, 4 * SIZE**3) for name in ("u", "u_new")]
        self.execution.upload(self.buffers[0], start())
        groups = kernel.groups((SIZE // 4, SIZE, SIZE // 4))
        self.sides = [
            self.execution.encode(Recording("bare", [Dispatch(kernel, (("u", a), ("u_new", b)), groups)]))
            for a, b in (self.buffers, self.buffers[::-1])
        ]

    def run(self) -> None:
        for step in range(STEPS):
            self.execution.submit(self.sides[step % 2])
        self.execution.wait_all()

    def values(self) -> npt.NDArray[np.float32]:
        """What is in the buffer that the next step reads."""
        host = Buffer(self.device, "readback", 4 * SIZE**3, Residence.READBACK)
        try:
            self.execution.run(Recording("readback", [Copy(self.buffers[0], host, host.size)]))
            assert host.host is not None, "readback memory is always mapped"
            return host.host.view(np.float32).reshape(SIZE, SIZE, SIZE).copy()
        finally:
            host.close()

    def close(self) -> None:
        self.execution.idle()
        for side in self.sides:
            side.close()
        for buffer in self.buffers:
            buffer.close()
        self.execution.close()
        self.library.close()
        self.device.close()


def taichi_python() -> tuple[Path | None, str]:
    """The interpreter that has Taichi, or why there is none."""
    wish = os.environ.get("FLUID_SCRIPT_TAICHI", "")
    own = HERE.parent / ".venv-taichi"
    python = own / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if wish == "install" and not python.exists():
        steps = ([sys.executable, "-m", "venv", str(own)], [str(python), "-m", "pip", "install", "-q", TAICHI])
        if any(subprocess.run(step, check=False).returncode for step in steps):
            return None, f"{TAICHI} could not be installed"
    elif wish not in ("", "install"):
        python = Path(wish)
    return (python, "") if python.exists() else (None, "FLUID_SCRIPT_TAICHI=install installs it")


@contextmanager
def taichi() -> Iterator[tuple[Round | None, str]]:
    """A round in Taichi's own process, and what runs there, or None and why not."""
    python, reason = taichi_python()
    if python is None:
        yield None, reason
        return
    command = [str(python), str(HERE / "taichi_stencil.py"), str(SIZE), str(STEPS)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdin is not None, "asked for"
        assert child.stdout is not None, "asked for"
        ask, answer = child.stdin, child.stdout
        name = next((line for line in answer if line.startswith('"')), "")  # Taichi greets on stdout as well
        if not name:
            yield None, "it did not start"
            return

        def one_round() -> tuple[float, float]:
            ask.write("\n")
            ask.flush()
            wall, cpu = json.loads(answer.readline())
            return wall, cpu

        yield one_round, json.loads(name)
        ask.close()


def compare(device: str, ours: Round, other: str, theirs: Round) -> None:
    """Print our step beside one other way, in interleaved rounds."""
    times = interleaved({"sim:step": ours, other: theirs}, ROUNDS)
    cells, cores = SIZE**3 * STEPS / 1e6, os.cpu_count() or 1
    own = times["sim:step"]
    rows = [
        (
            what,
            f"{cells / t.median_wall:.0f}",
            f"{t.median_wall / own.median_wall:.2f}",
            f"{cells * cores / t.median_cpu:.0f}",
            f"{t.median_cpu / own.median_cpu:.2f}",
        )
        for what, t in times.items()
    ]
    title = f"Seven points, {SIZE}³, clamped, on {device}: median of {ROUNDS} rounds of {STEPS} steps"
    table(title, ("", "Mcells/s", "we are × as fast", "by CPU time", "we are × as fast"), rows)


def main() -> None:
    with ExitStack() as stack:
        engine = stack.enter_context(simulation())
        bare = BareLoop()
        stack.callback(bare.close)
        taichi_round, about = stack.enter_context(taichi())
        step_all(engine)
        bare.run()
        difference = float(np.abs(engine.array("u") - bare.values()).max())
        name = bare.device.info.name
        ours: Round = lambda: measured(lambda: step_all(engine))  # noqa: E731 - a round like the others
        compare(name, ours, "hand-written, bare loop", lambda: measured(bare.run))
        if taichi_round is not None:  # by itself: its threads keep the processor busy for a while after a round
            compare(name, ours, about, taichi_round)
    print(f"  Largest difference between ours and hand-written after {STEPS} steps: {difference:.1e}")
    if taichi_round is None:
        print(f"  Left out: Taichi ({about}).")


if __name__ == "__main__":
    main()
