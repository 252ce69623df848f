# SPDX-License-Identifier: GPL-3.0-or-later
"""glslang in a process of its own, which is started for the first shader, kept for the next ones, and can be lost."""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import tempfile
import threading
from contextlib import suppress
from functools import cache
from typing import IO

from ..child_process import child_command, child_environment, child_flags
from ..faults import FAULTS_VARIABLE
from .compiler_child import SPIRV

__all__ = ["CompilerLostError", "CompilerProcess", "ShaderRefusedError", "shared_compiler"]

SECONDS = 10.0  # for one shader; the largest of ours takes a tenth of one
START_SECONDS = 60.0  # until the child is ready: a tenth of one, but for a disk that sleeps or a scanner that looks on
_LAST_WORDS = 200  # characters
#: What a Python of ours needs of its surroundings, and nothing else.
_KEPT = frozenset(
    ("PYTHONPATH", "PATH", "HOME", "LD_LIBRARY_PATH", "SYSTEMROOT", "WINDIR", "TEMP", "TMP", "TMPDIR", FAULTS_VARIABLE)
)


class ShaderRefusedError(Exception):
    """The shader is wrong; the text is the compiler's log."""


class CompilerLostError(Exception):
    """The compiler died or had to be ended; the text continues "the GLSL compiler …"."""


class CompilerProcess:
    """Compiles in a child process, one shader after another; a new child takes the place of one that was lost.

    Args:
        seconds: after which a compile is given up.
    """

    def __init__(self, seconds: float = SECONDS) -> None:
        self._seconds = seconds
        self._process: subprocess.Popen[bytes] | None = None
        self._errors: IO[bytes] | None = None
        self._ready = False
        self._turn = threading.Lock()

    @property
    def pid(self) -> int | None:
        """Of the child, where there is one."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Let the child start, which takes it a while, ahead of the first shader. Raises CompilerLostError."""
        with self._turn:
            self._begun()

    def compile(self, source: str, headers: dict[str, str]) -> bytes:
        """SPIR-V of a shader.

        Raises:
            ShaderRefusedError, CompilerLostError.
        """
        request = json.dumps([source, headers]).encode()
        with self._turn:
            process = self._started()
            kind, content = self._answer(process, self._seconds, len(request).to_bytes(4, "little") + request)
        if kind == SPIRV:
            return content
        raise ShaderRefusedError(content.decode("utf-8", "replace"))

    def _answer(self, process: subprocess.Popen[bytes], seconds: float, request: bytes = b"") -> tuple[bytes, bytes]:
        """What the child says to a request. Raises CompilerLostError when it dies over it, or takes too long."""
        late = threading.Event()

        def give_up() -> None:
            late.set()
            process.kill()

        timer = threading.Timer(seconds, give_up)
        timer.daemon = True
        timer.start()
        try:
            return _exchange(process, request)
        except (OSError, EOFError):
            timer.cancel()
            ending = self._ending()
            raise CompilerLostError(f"took longer than {seconds:g} seconds" if late.is_set() else ending) from None
        except BaseException:  # an interrupt: an answer that comes later is none to the next request
            process.kill()
            self._ending()
            raise
        finally:
            timer.cancel()

    def _started(self) -> subprocess.Popen[bytes]:
        process = self._begun()
        if not self._ready:
            self._answer(process, START_SECONDS)
            self._ready = True
        return process

    def _begun(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._process.poll() is not None:
            self._ending()  # it was ended between two shaders
        if self._process is None:
            environment = {name: value for name, value in child_environment().items() if name.upper() in _KEPT}
            self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
            try:
                self._process = subprocess.Popen(
                    child_command("fluid_addon.gpu.compiler_child"),
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=self._errors,
                    cwd=tempfile.gettempdir(),
                    env=environment,
                    creationflags=child_flags(),
                )
            except OSError as error:
                self._errors.close()
                raise CompilerLostError(f"could not be started: {error.strerror or error}") from error
        return self._process

    def _ending(self) -> str:
        """Bury the child; how it ended."""
        process, errors = self._process, self._errors
        assert process is not None and errors is not None, "there is a child to bury"
        self._process, self._ready = None, False
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                with suppress(OSError):  # what was never sent
                    stream.close()
        try:
            code = process.wait(1.0)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
        errors.seek(0, os.SEEK_END)
        errors.seek(max(0, errors.tell() - 8192))
        words = _last_words(errors.read().decode("utf-8", "replace"))
        errors.close()
        return f"ended: {words}" if words else f"ended with code {code}"

    def kill(self) -> None:
        """End the child, if there is one, also over a shader. Only for a process that ends right after."""
        if (process := self._process) is not None:
            process.kill()

    def close(self) -> None:
        """End the child, if there is one."""
        with self._turn:
            if self._process is not None:
                self._ending()


def _exchange(process: subprocess.Popen[bytes], request: bytes) -> tuple[bytes, bytes]:
    """Send a request, if there is one, and wait for an answer. Raises OSError or EOFError where nobody is there."""
    assert process.stdin is not None and process.stdout is not None, "both are pipes"
    process.stdin.write(request)
    process.stdin.flush()
    head = process.stdout.read(5)
    length = int.from_bytes(head[1:], "little")
    content = process.stdout.read(length)
    if len(head) < 5 or len(content) < length:
        raise EOFError
    return head[:1], content


def _last_words(log: str) -> str:
    """What a process said about its end: Python's line about a crash, or the last line."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    fatal = [line for line in lines if line.startswith("Fatal Python error")]
    return (fatal or lines or [""])[-1][:_LAST_WORDS].rstrip(".")


@cache
def shared_compiler() -> CompilerProcess:
    """The one of this process, which ends with it."""
    shared = CompilerProcess()
    atexit.register(shared.close)
    return shared
