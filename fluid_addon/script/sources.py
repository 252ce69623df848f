# SPDX-License-Identifier: GPL-3.0-or-later
"""The Lua texts of a run: read with care, and kept so that messages can quote their lines."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from ..diagnostics import Diagnostic, FluidError, Place, fail, printable
from .lua_tokens import Token, line_starts, tokenize

__all__ = ["MAX_SOURCE_BYTES", "SourceText", "Sources", "printable", "read_source", "source_from_text"]

MAX_SOURCE_BYTES = 4 * 1024 * 1024

_BOM = b"\xef\xbb\xbf"


class SourceText:
    """One Lua text under the name that messages give it.

    Attributes:
        file: a path as given, or the name of a text; free of control characters.
        text: without a byte order mark.
        library: it ships with the add-on; an artist's own line explains an error better than a line of it.
        chunk: what Lua calls it, which scripts see in messages: without the folders of this machine.
    """

    def __init__(self, file: str, text: str, library: bool = False, chunk: str | None = None) -> None:
        self.file = printable(file) or "?"
        self.chunk = printable(re.split(r"[/\\]", file)[-1] if chunk is None else chunk) or "?"
        self.text = text
        self.library = library

    @cached_property
    def tokens(self) -> list[Token]:
        return tokenize(self.text)

    @cached_property
    def _starts(self) -> list[int]:
        return line_starts(self.text)

    def line_of(self, offset: int) -> int:
        """The line, from 1, on which the character at `offset` stands."""
        return bisect_right(self._starts, offset)

    def start_of(self, line: int) -> int | None:
        """The offset at which a line begins, or None where there is no such line."""
        return self._starts[line - 1] if 1 <= line <= len(self._starts) else None

    def line(self, number: int) -> str | None:
        """The text of a line without its end, or None where there is no such line."""
        start = self.start_of(number)
        if start is None:
            return None
        end = self._starts[number] if number < len(self._starts) else len(self.text)
        return self.text[start:end].rstrip("\r\n")

    def place(self, line: int, label: str = "") -> Place:
        """A whole line as a place."""
        return Place(self.file, line, text=self.line(line), label=label)

    def place_at(self, offset: int, width: int = 1) -> Place:
        """Some characters of a line as a place; `width` is cut at the end of the line."""
        line = self.line_of(offset)
        text = self.line(line) or ""
        column = offset - self._starts[line - 1] + 1
        return Place(self.file, line, column, max(1, min(width, len(text) - column + 1)), text)


class Sources:
    """Every text that the run has loaded, by name."""

    def __init__(self) -> None:
        self._by_file: dict[str, SourceText] = {}
        self._by_chunk: dict[str, SourceText] = {}

    def add(self, source: SourceText) -> str:
        """Keep a text. Returns what Lua is to call it: its `chunk`, with a number where another has that name."""
        chunk, number = source.chunk, 1
        while chunk in self._by_chunk and self._by_chunk[chunk].file != source.file:
            number += 1
            chunk = f"{source.chunk} ({number})"
        self._by_file[source.file] = self._by_chunk[chunk] = source
        return chunk

    def get(self, file: str) -> SourceText | None:
        return self._by_file.get(file)

    def of_chunk(self, chunk: str) -> SourceText | None:
        """The text that Lua calls so."""
        return self._by_chunk.get(chunk)

    def chunks(self) -> Iterator[tuple[str, SourceText]]:
        """(what Lua calls it, text)"""
        return iter(self._by_chunk.items())

    def __iter__(self) -> Iterator[SourceText]:
        return iter(self._by_file.values())


def source_from_text(name: str, text: str, library: bool = False, chunk: str | None = None) -> SourceText:
    """A text that is already in memory, for example of Blender's text editor.

    Raises:
        FluidError: `script-too-large`, `bytecode`.
    """
    _check_size(name, len(text))
    if text.startswith("\x1b"):
        raise _bytecode(name)
    return SourceText(name, text.removeprefix("\ufeff"), library, chunk)


def read_source(path: Path, name: str | None = None, library: bool = False, chunk: str | None = None) -> SourceText:
    """A Lua file; `name` is what messages call it, default the path as given, and `chunk` what Lua calls it.

    Raises:
        FluidError: `script-missing`, `script-too-large`, `script-encoding`, `bytecode`.
    """
    name = str(path) if name is None else name
    try:
        with path.open("rb") as file:
            content = file.read(MAX_SOURCE_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "the path is not valid"
        raise fail("script-missing", f'Cannot read "{name}": {reason}.', "Check the path.") from error
    _check_size(name, len(content))
    if content.startswith(b"\x1b"):
        raise _bytecode(name)
    content = content.removeprefix(_BOM)
    try:
        return SourceText(name, content.decode("utf-8"), library, chunk)
    except UnicodeDecodeError as error:
        if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
            raise fail("script-encoding", f'"{name}" is UTF-16 text.', "Save it as UTF-8.") from error
        readable = SourceText(name, content.decode("utf-8", "replace"))
        line = len(line_starts(content[: error.start].decode("utf-8")))
        byte = content[error.start]
        message = f'"{name}" is not UTF-8 text: byte 0x{byte:02X} in line {line}.'
        raise FluidError(
            Diagnostic("script-encoding", message, readable.place(line), "Save the file as UTF-8.")
        ) from error


def _check_size(name: str, size: int) -> None:
    if size > MAX_SOURCE_BYTES:
        limit = MAX_SOURCE_BYTES // (1024 * 1024)
        message = f'"{name}" is larger than {limit} MB, the most that a script may have.'
        raise fail("script-too-large", message, "Keep large data in files and fields, not in the script.")


def _bytecode(name: str) -> FluidError:
    message = f'"{name}" is compiled Lua, which cannot be checked and is not run.'
    return fail("bytecode", message, "Give the script as text.")
