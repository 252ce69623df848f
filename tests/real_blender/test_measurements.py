# SPDX-License-Identifier: GPL-3.0-or-later
"""How Blender feels while a run goes on. The numbers are written down and not judged: docs/performance.md has them.

They go into output/real_blender.md and onto the terminal:

    make test-blender ARGS="-k measurements -s"
"""

from __future__ import annotations

import os
import random
import statistics
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.real_blender.conftest import ROOT
from tests.real_blender.simulations import ENDLESS, add, run, smoke, wait_for_frames
from tests.real_blender.window import Blender, settings_of_its_own, wait_for

REPORT = ROOT / "output" / "real_blender.md"
SECONDS = float(os.environ.get("FLUID_SCRIPT_MEASURE_SECONDS", "25"))


def write_down(line: str) -> None:
    REPORT.parent.mkdir(exist_ok=True)
    with REPORT.open("a", encoding="utf-8") as report:
        report.write(line + "\n")
    print("\n" + line)


def in_words(times: Sequence[float]) -> str:
    """Milliseconds as median, 99th percentile and largest."""
    if not times:
        return "none"
    ordered = sorted(times)
    late = ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))]
    return f"{statistics.median(ordered):.1f} | {late:.1f} | {ordered[-1]:.1f} | {len(ordered)}"


@pytest.fixture
def editors(blender: Blender) -> Blender:
    """A Text Editor beside the 3D View, both with our sidebar."""
    blender.tell(
        "with inside('VIEW_3D'): bpy.ops.screen.area_split(direction='VERTICAL', factor=0.5)\n"
        "views = [each for each in window().screen.areas if each.type == 'VIEW_3D']\n"
        "views[0].type = 'TEXT_EDITOR'; views = None"
    )
    for kind in ("TEXT_EDITOR", "VIEW_3D"):
        blender.show(kind, largest=False)
    return blender


def gaps(blender: Blender, what: str, parts: dict[str, tuple[str, str]] | None = None) -> None:
    """Write down how long Blender's main thread was away, and how long these functions of ours took."""
    parts = parts or {}
    for name, (module, function) in parts.items():
        blender.tell(f"{name} = Timed({module!r}, {function!r})")
    blender.tell("watched = Gaps()")
    time.sleep(SECONDS)
    write_down(f"| {what} | {in_words(blender.tell('watched.end()'))} |")
    for name in reversed(parts):
        write_down(f"| … {name} | {in_words(blender.tell(f'{name}.end()'))} |")


@contextmanager
def the_same_work_outside(blender: Blender, script: Path) -> Iterator[None]:
    """The very same simulation in a process that Blender knows nothing of."""
    python, package = blender.tell("import sys; [sys.executable, part('run').__file__]")
    paths = [str(Path(package).parents[2]), *blender.tell("[each for each in sys.path if each]")]
    words = [python, "-P", "-m", "fluid_addon", "run", str(script), "-o", str(script.parent / "outside"), "--json"]
    environment = settings_of_its_own(blender.home) | {"PYTHONPATH": os.pathsep.join(paths)}
    with subprocess.Popen(
        ["nice", "-n", "5", *words], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as other:
        assert other.stdout is not None
        for line in other.stdout:
            if '"event": "frame"' in line:
                break
        else:
            raise AssertionError("the other process wrote no frame")
        # Its further events are few, and a pipe holds 64 kB.
        yield
        other.terminate()


def test_measurements_of_the_main_thread(editors: Blender, tmp_path: Path) -> None:
    source = smoke(resolution=128, frames=ENDLESS, cube=True)
    script = tmp_path / "same.lua"
    script.write_text(source, "utf-8")
    write_down(f"\nGaps between turns of a timer in {editors.tell('bpy.app.version_string')}, {SECONDS:.0f} s each\n")
    write_down("| | median, ms | 99 % | largest | turns |\n|---|---|---|---|---|")
    gaps(editors, "idle")
    with the_same_work_outside(editors, script):
        gaps(editors, "idle beside a process that does the same work")
    add(editors, source)
    editors.tell("area('TEXT_EDITOR').spaces.active.text = bpy.data.texts['smoke.lua']")
    ours = {
        "drain": ("blender.live", "_drain"),
        "show": ("blender.live", "_show_frames"),
        "follow": ("blender.live", "_follow"),
    }
    for follow in (False, True):
        editors.tell(f"bpy.data.objects['Smoke'].fluid_addon.follow = {follow}")
        run(editors)
        wait_for_frames(editors, 2)
        gaps(editors, f"a run of 128³, Follow {'on' if follow else 'off'}", ours)
        frames = editors.tell("newest(bpy.data.objects['Smoke'])")
        write_down(f"\n{frames} frames were shown.")
        editors.tell("with inside('VIEW_3D'): bpy.ops.fluid_addon.stop_simulation(name='Smoke')")
        wait_for("the end of the worker", lambda: not editors.workers, 20.0)


@pytest.mark.parametrize("resolution", [64, 128])
def test_measurements_of_stopping(blender: Blender, resolution: int) -> None:
    add(blender, smoke(resolution, ENDLESS, cube=True))
    moments = random.Random(resolution)
    # Three while the worker starts and compiles, the others while it computes and exports.
    delays = [0.0, 0.3, 0.8, *(moments.uniform(1.5, 6.0) for _ in range(7))]
    took = []
    write_down(
        f"\nFrom Stop to the end of the run and its process, {resolution}³\n\n| after | stage | ms |\n|---|---|---|"
    )
    for delay in delays:
        run(blender)
        time.sleep(delay)
        blender.tell("watch = StopWatch(bpy.data.objects['Smoke']); None")
        took.append(blender.wait_for("watch.took", 20.0))
        write_down(f"| {delay:.1f} s | {blender.tell('watch.stage')} | {took[-1]:.0f} |")
        assert not blender.workers
    write_down(f"\nmedian {statistics.median(took):.0f} ms, longest {max(took):.0f} ms")
