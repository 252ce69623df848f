# SPDX-License-Identifier: GPL-3.0-or-later
"""A question about this machine, answered by the command line in a process of its own.

Whoever asks Vulkan for its devices loads every graphics driver, and a driver can end the process or hang it. So Blender
never asks itself, and never waits.
"""

from __future__ import annotations

import os
import subprocess
import threading
from dataclasses import dataclass

from ..child_process import child_command, child_environment, child_flags

__all__ = ["Answer", "Inquiry"]

SECONDS = 60.0


@dataclass(frozen=True)
class Answer:
    """What a verb of the command line said.

    Attributes:
        code: its exit code; None where it did not come to its end.
        text: its standard output.
        problem: why there is no answer, in one sentence; empty where it came to its end.
    """

    code: int | None
    text: str
    problem: str = ""


class Inquiry:
    """A verb of the command line under way: `Inquiry("devices", "--json")`. Poll it; close it if you go before."""

    def __init__(self, *arguments: str, seconds: float = SECONDS) -> None:
        self._arguments = arguments
        self._seconds = seconds
        self._answer: Answer | None = None
        self._process: subprocess.Popen[str] | None = None
        try:
            self._process = subprocess.Popen(
                child_command("fluid_addon", *arguments),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=child_environment() | {"PYTHONIOENCODING": "utf-8"},
                encoding="utf-8",
                errors="replace",
                start_new_session=os.name == "posix",
                creationflags=child_flags(),
            )
        except OSError as error:
            self._answer = Answer(None, "", f"No process could be started: {error}.")
            return
        self._reader = threading.Thread(target=self._read, args=(self._process,), name="inquiry", daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def _read(self, process: subprocess.Popen[str]) -> None:
        try:
            text, errors = process.communicate(timeout=self._seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            self._answer = Answer(None, "", f"A driver did not answer within {self._seconds:g} seconds.")
            return
        code = process.returncode
        if code < 0 or (code and not text.strip()):
            last = (errors.strip().splitlines() or ["nothing"])[-1]
            self._answer = Answer(None, "", f'The process ended with {code}; it said: "{last[:200]}".')
        else:
            self._answer = Answer(code, text)

    def poll(self) -> Answer | None:
        """The answer, or None as long as there is none; never waits."""
        return self._answer

    def close(self) -> None:
        """End it; no process is left behind."""
        if self._process is not None:
            if self._process.poll() is None:
                self._process.kill()
            self._reader.join(timeout=5.0)
