# SPDX-License-Identifier: GPL-3.0-or-later
"""A screen that nobody sees, with a mouse and a keyboard: Xvfb, xdotool and ImageMagick's import."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path
from types import TracebackType

__all__ = ["NEEDED", "Screen"]

NEEDED = ("Xvfb", "xdotool", "import")
PALETTE = 255  # colours of a picture; it keeps one of a window below 400 kB
STEPS_OF_A_DRAG = 8


class Screen:
    """An X server of our own. Places are pixels from the upper left corner."""

    def __init__(self, width: int, height: int, scratch: Path) -> None:
        self.width, self.height = width, height
        reading, writing = os.pipe()
        with (scratch / "screen.log").open("wb") as log:
            self._server = subprocess.Popen(
                ["Xvfb", "-displayfd", str(writing), "-screen", "0", f"{width}x{height}x24", "-nolisten", "tcp"],
                pass_fds=[writing],
                stdout=log,
                stderr=log,
            )
        os.close(writing)
        with os.fdopen(reading) as answer:  # the server writes its number once it is ready
            number = answer.readline().strip()
        if not number:
            raise RuntimeError(f"Xvfb did not start: {(scratch / 'screen.log').read_text()}")
        self.environment = {**os.environ, "DISPLAY": f":{number}"}

    def __enter__(self) -> Screen:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.terminate()
        self._server.wait()

    def _xdotool(self, *words: object) -> None:
        subprocess.run(["xdotool", *map(str, words)], env=self.environment, check=True, timeout=60)

    def move(self, x: int, y: int) -> None:
        # In two movements: a pointer that appears over a button does not light it up.
        self._xdotool("mousemove", x - 2, y, "mousemove", x, y)

    def click(self, x: int, y: int, button: int = 1) -> None:
        self.move(x, y)
        time.sleep(0.15)  # Blender lights the button up first, and presses only what is lit
        self._xdotool("mousedown", button, "sleep", 0.08, "mouseup", button)

    def drag(self, start: tuple[int, int], end: tuple[int, int]) -> None:
        self.move(*start)
        time.sleep(0.15)
        self._xdotool("mousedown", 1)
        for step in range(1, STEPS_OF_A_DRAG + 1):
            x, y = (a + (b - a) * step // STEPS_OF_A_DRAG for a, b in zip(start, end, strict=True))
            self._xdotool("mousemove", x, y, "sleep", 0.05)
        self._xdotool("mouseup", 1)

    def key(self, *names: str) -> None:
        """Press keys one after the other, such as "ctrl+z"."""
        self._xdotool("key", "--delay", 40, *names)

    def type(self, text: str) -> None:
        self._xdotool("type", "--delay", 40, "--", text)

    def picture(self, file: Path, box: tuple[int, int, int, int] | None = None) -> None:
        """Write what is seen as PNG, of `box` alone (x, y, width, height) where there is one."""
        x, y, width, height = box or (0, 0, self.width, self.height)
        cut = ["-crop", f"{width}x{height}+{x}+{y}", "+repage", "+dither", "-colors", str(PALETTE), "-strip"]
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_suffix(".part.png")
        subprocess.run(["import", "-window", "root", *cut, f"PNG8:{part}"], env=self.environment, check=True)
        shutil.move(part, file)
