# SPDX-License-Identifier: GPL-3.0-or-later
"""A real Blender with its window, on a screen of its own, with settings and caches of its own."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from tests.real_blender.screen import Screen

__all__ = ["Blender", "Button", "processes_of", "settings_of_its_own"]

T = TypeVar("T")
Button = tuple[int, int]

INSIDE = Path(__file__).with_name("inside.py")
MARK = "FLUID_SCRIPT_TEST"
PATIENCE = 60.0  # seconds; software that draws and computes on the same processor can be slow
ATTEMPTS = 3
STRIDE = 8  # pixels between two places at which a button is looked for; the smallest is twice as high


def settings_of_its_own(home: Path) -> dict[str, str]:
    """The environment of a Blender that touches nothing of this user. What it starts inherits the mark."""
    for folder in ("blender", "cache", "runtime"):
        (home / folder).mkdir(parents=True, exist_ok=True)
    (home / "runtime").chmod(0o700)
    strangers = ("PYTHON", "FLUID_SCRIPT_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(strangers)}
    return {
        **environment,
        "HOME": str(home),
        "BLENDER_USER_RESOURCES": str(home / "blender"),
        "XDG_CACHE_HOME": str(home / "cache"),
        "XDG_RUNTIME_DIR": str(home / "runtime"),
        "LIBGL_ALWAYS_SOFTWARE": "1",  # the screen has no graphics card
        MARK: str(home),
    }


def processes_of(home: Path) -> dict[int, str]:
    """What runs with the settings of `home`: process and command line."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it may end while we look
            marks = (folder / "environ").read_bytes().split(b"\0")
            if f"{MARK}={home}".encode() in marks and " Z " not in (folder / "stat").read_text("utf-8", "replace"):
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
                found[int(folder.name)] = command.strip()
    return found


def wait_for(what: str, look: Callable[[], T], patience: float = PATIENCE, every: float = 0.05) -> T:
    """Look until something true is seen, and return it."""
    end = time.monotonic() + patience
    while not (seen := look()):
        if time.monotonic() > end:
            raise TimeoutError(f"{what} did not come within {patience:.0f} s")
        time.sleep(every)
    return seen


class Blender:
    """Blender with its window, the full size of `screen`."""

    def __init__(self, program: str, screen: Screen, home: Path, *arguments: str) -> None:
        self.screen, self.home = screen, home
        self._orders, self._numbers = home / "orders", itertools.count()
        shutil.rmtree(self._orders, ignore_errors=True)
        self._orders.mkdir(parents=True)
        self.log = home / "blender.log"
        environment = settings_of_its_own(home)
        environment |= {"DISPLAY": screen.environment["DISPLAY"], "FLUID_SCRIPT_ORDERS": str(self._orders)}
        size = ["--window-geometry", "0", "0", str(screen.width), str(screen.height)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [program, *size, *arguments, "--python", str(INSIDE)],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.tell("True")

    def __enter__(self) -> Blender:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for left in processes_of(self.home):
            with contextlib.suppress(ProcessLookupError):
                os.kill(left, signal.SIGKILL)
        if kind is not None:
            print(f"----- {self.log}\n{self.log.read_text('utf-8', 'replace')[-4000:]}")

    # ===== Orders

    def order(self, source: str) -> Path:
        """Give an order, and do not wait. Returns where the answer will be."""
        number = next(self._numbers)
        unfinished = self._orders / f"{number:06d}.part"
        unfinished.write_text(source, "utf-8")
        unfinished.rename(unfinished.with_suffix(".py"))
        return unfinished.with_suffix(".json")

    def tell(self, source: str, patience: float = PATIENCE) -> Any:
        """Carry out a piece of Python inside Blender; returns the value of its last expression."""
        place = self.order(source)

        def come() -> bool:
            if self.process.poll() is not None and not place.exists():
                raise RuntimeError(f"Blender ended with {self.process.returncode} before it answered: {source}")
            return place.exists()

        wait_for(f"the answer to {source!r}", come, patience, every=0.01)
        answer = json.loads(place.read_text("utf-8"))
        place.unlink()
        if "error" in answer:
            raise RuntimeError(f"in Blender: {answer['error']}")
        return answer["value"]

    def wait_for(self, source: str, patience: float = PATIENCE) -> Any:
        """Ask until the answer is true."""
        return wait_for(source, lambda: self.tell(source), patience, every=0.1)

    def wait_for_end(self, patience: float = PATIENCE) -> int:
        """Blender's exit status, and that nothing of it is left behind."""
        status = self.process.wait(patience)
        wait_for("the end of all its processes", lambda: not processes_of(self.home), 10.0)
        return status

    @property
    def workers(self) -> list[int]:
        return [each for each, command in processes_of(self.home).items() if "fluid_addon.run.worker" in command]

    # ===== What is seen

    def redraw(self) -> None:
        """Return once everything is drawn as it is now."""
        self.tell("bpy.ops.wm.redraw_timer(type='DRAW_WIN_SWAP', iterations=1) and None")

    def show(self, area: str, sidebar: str | None = "Fluid", largest: bool = True) -> None:
        """Turn the largest area into another editor, with a tab of its sidebar open."""
        if largest:
            self.tell(
                "biggest = max(window().screen.areas, key=lambda a: a.width * a.height)\n"
                f"biggest.type = {area!r}; biggest.tag_redraw()"
            )
        if sidebar is not None:
            self.tell(f"area({area!r}).spaces.active.show_region_ui = True")
            self.wait_for(f"region({area!r}, 'UI').width > 50")
            self.redraw()
            self.tell(f"region({area!r}, 'UI').active_panel_category = {sidebar!r}")
        self.redraw()

    def box(self, area: str, region: str | None = None) -> tuple[int, int, int, int]:
        what = f"region({area!r}, {region!r})" if region else f"area({area!r})"
        x, y, width, height = self.tell(f"box({what})")
        return x, y, width, height

    def find(
        self,
        area: str,
        region: str,
        pattern: str,
        columns: tuple[float, ...] = (0.25, 0.75),
        near: Button | None = None,
    ) -> Button:
        """The middle of the button whose operator or property matches `pattern`.

        Blender tells no places of buttons, but what is under the mouse: the mouse walks over the region, from where
        `near` is. `columns` are where it walks, as shares of the region's width; a header is walked along.
        """
        for _ in range(ATTEMPTS):  # what is above may grow meanwhile, and move it away
            middle = self._walk(area, region, pattern, columns, near)
            if re.search(pattern, self._under_the_mouse(area, region, middle)):
                return middle
        raise AssertionError(f"the button {pattern!r} in the {region} of the {area} does not stay where it is")

    def _walk(self, area: str, region: str, pattern: str, columns: tuple[float, ...], near: Button | None) -> Button:
        x, y, width, height = self.box(area, region)
        if height < 60:
            lines = [[(x + step, y + height // 2) for step in range(STRIDE, width, STRIDE)]]
        else:
            rows = range(y + STRIDE // 2, y + height, STRIDE)
            lines = [[(x + int(share * width), row) for row in rows] for share in columns]
        seen: dict[str, None] = {}
        for line in lines:
            start = near or line[0]
            for place in sorted(line, key=lambda place: abs(place[0] - start[0]) + abs(place[1] - start[1])):
                name = self._under_the_mouse(area, region, place)
                seen[name] = None
                if re.search(pattern, name):
                    return self._middle(area, region, pattern, line, line.index(place))
        raise AssertionError(f"no button {pattern!r} in the {region} of the {area}; there are {[*seen]}")

    def _under_the_mouse(self, area: str, region: str, place: Button) -> str:
        self.screen.move(*place)
        names = ["?"]
        while len(names) < 2 or names[-1] != names[-2]:  # the movement may not have come to Blender yet
            names.append(self.tell(f"under_the_mouse({area!r}, {region!r})"))
        return names[-1]

    def _middle(self, area: str, region: str, pattern: str, line: list[Button], found: int) -> Button:
        """The middle of the stretch of a line around one place that matches."""

        def matches(place: Button) -> bool:
            return re.search(pattern, self._under_the_mouse(area, region, place)) is not None

        ends = []
        for step in (-1, 1):
            end = found
            while 0 <= end + step < len(line) and matches(line[end + step]):
                end += step
            ends.append(line[end])
        return (ends[0][0] + ends[1][0]) // 2, (ends[0][1] + ends[1][1]) // 2

    def press(
        self,
        area: str,
        region: str,
        pattern: str,
        columns: tuple[float, ...] = (0.25, 0.75),
        near: Button | None = None,
    ) -> Button:
        """Find a button, and click on it."""
        button = self.find(area, region, pattern, columns, near)
        self.screen.click(*button)
        return button
