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
        return "| | | 0"
    ordered = sorted(times)
    late = ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))]
    return f"{statistics.median(ordered):.1f} | {late:.1f} | {ordered[-1]:.1f} | {len(ordered)}"


@pytest.fixture
def plainly_drawn(blender: Blender) -> Blender:
    """Smooth edges are made by drawing everything eight times, which takes software long, also of nothing."""
    blender.tell("bpy.context.preferences.system.viewport_aa = 'OFF'")
    return blender


@pytest.fixture
def editors(plainly_drawn: Blender) -> Blender:
    """A Text Editor beside the 3D View, both with our sidebar."""
    blender = plainly_drawn
    blender.tell(
        "with inside('VIEW_3D'): bpy.ops.screen.area_split(direction='VERTICAL', factor=0.5)\n"
        "views = [each for each in window().screen.areas if each.type == 'VIEW_3D']\n"
        "views[0].type = 'TEXT_EDITOR'; views = None"
    )
    for kind in ("TEXT_EDITOR", "VIEW_3D"):
        blender.show(kind, largest=False)
    return blender


#: What the add-on does in Blender's main thread during a run.
OURS = {
    "our timer": ("blender.live", "_drain"),
    "of that, showing frames": ("blender.live", "_show_frames"),
    "of that, following": ("blender.live", "_follow"),
}


def gaps(blender: Blender, what: str, seconds: float = SECONDS) -> None:
    """Write down how long Blender's main thread was away."""
    blender.tell("watched = Gaps()")
    time.sleep(seconds)
    write_down(f"| {what} | {in_words(blender.tell('watched.end()'))} |")


def cost_of_a_redraw(blender: Blender, what: str, area: str = "VIEW_3D", drawn: str = "DRAW") -> None:
    took = blender.tell(
        "took = []\n"
        "for _ in range(10):\n"
        "    begin = time.perf_counter()\n"
        f"    with inside({area!r}): bpy.ops.wm.redraw_timer(type={drawn!r}, iterations=1)\n"
        "    took.append(1000.0 * (time.perf_counter() - begin))\n"
        "took"
    )
    write_down(f"| one redraw of {what} | {in_words(took)} |")


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


@pytest.mark.timeout(900)
def test_measurements_of_the_main_thread(editors: Blender, tmp_path: Path) -> None:
    source = smoke(resolution=128, frames=ENDLESS, cube=True)
    script = tmp_path / "same.lua"
    script.write_text(source, "utf-8")
    version = editors.tell("bpy.app.version_string")
    write_down(f"\nGaps between turns of a timer in Blender {version}, {SECONDS:.0f} s each\n")
    write_down("| | median, ms | 99 % | largest | turns |\n|---|---|---|---|---|")
    gaps(editors, "idle")
    with the_same_work_outside(editors, script):
        gaps(editors, "idle beside a process that does the same work")
    cost_of_a_redraw(editors, "the 3D View, empty")
    add(editors, source)
    editors.tell("area('TEXT_EDITOR').spaces.active.text = bpy.data.texts['smoke.lua']")
    for hidden, follow in ((True, False), (True, True), (False, False), (False, True)):
        editors.tell(
            f"bpy.data.objects['Smoke'].fluid_addon.follow = {follow}; "
            f"bpy.data.objects['Smoke'].hide_viewport = {hidden}"
        )
        editors.tell(f"timed = [Timed(*each) for each in {list(OURS.values())}]; None")
        run(editors)
        wait_for_frames(editors, 2)
        seen = "the volume hidden" if hidden else "the volume drawn by software"
        gaps(editors, f"a run of 128³, Follow {'on' if follow else 'off'}, {seen}")
        frames = editors.tell("newest(bpy.data.objects['Smoke'])")
        editors.tell("with inside('VIEW_3D'): bpy.ops.fluid_addon.stop_simulation(name='Smoke')")
        wait_for("the end of the worker", lambda: not editors.workers, 20.0)
        took = editors.tell("[each.end() for each in reversed(timed)][::-1]")
        for name, times in zip(OURS, took, strict=True):
            write_down(f"| … {name} | {in_words(times)} |")
        write_down(f"| … frames | {frames} | | | |")
    cost_of_a_redraw(editors, "the 3D View, with the volume of 128³ and no run")


@pytest.fixture
def without_a_3d_view(plainly_drawn: Blender) -> Blender:
    """A Text Editor in its place: what is drawn then is drawn quickly by software, too, as a 3D View is by a GPU."""
    plainly_drawn.tell(
        "for each in window().screen.areas:\n    if each.type == 'VIEW_3D': each.type = 'TEXT_EDITOR'\neach = None"
    )
    plainly_drawn.show("TEXT_EDITOR")
    return plainly_drawn


@pytest.mark.timeout(900)
def test_measurements_of_the_main_thread_without_a_3d_view(without_a_3d_view: Blender) -> None:
    blender = without_a_3d_view
    write_down(f"\nThe same without a 3D View, {SECONDS:.0f} s each\n")
    write_down("| | median, ms | 99 % | largest | turns |\n|---|---|---|---|---|")
    gaps(blender, "idle")
    add(blender, smoke(resolution=128, frames=ENDLESS, cube=True))
    cost_of_a_redraw(blender, "the window, with no run", "TEXT_EDITOR", "DRAW_WIN_SWAP")
    blender.tell("area('TEXT_EDITOR').spaces.active.text = bpy.data.texts['smoke.lua']")
    for follow in (False, True):
        blender.tell(f"bpy.data.objects['Smoke'].fluid_addon.follow = {follow}")
        run(blender)
        wait_for_frames(blender, 2)
        gaps(blender, f"a run of 128³, Follow {'on' if follow else 'off'}")
        cost_of_a_redraw(blender, "the window, during the run", "TEXT_EDITOR", "DRAW_WIN_SWAP")
        blender.tell("watch = StopWatch(bpy.data.objects['Smoke']); None")
        blender.wait_for("watch.took", 20.0)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("resolution", [64, 128])
def test_measurements_of_stopping(without_a_3d_view: Blender, resolution: int) -> None:
    blender = without_a_3d_view
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
