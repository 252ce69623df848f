# SPDX-License-Identifier: GPL-3.0-or-later
"""Diagnostics as data: what went wrong, where in the artist's script, and what to do about it.

Every room raises `FluidError`; one renderer, `render`, turns it into text for the command line, the panel and the log.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import Enum

__all__ = [
    "CODES",
    "Diagnostic",
    "FluidError",
    "Kind",
    "Place",
    "did_you_mean",
    "fail",
    "human_bytes",
    "printable",
    "render",
]


class Kind(Enum):
    """Who has to act. The value is the exit code of the command line."""

    USAGE = 2
    SCRIPT = 3
    DEVICE = 4
    DISK = 5
    WORKER = 6
    CANCELLED = 130


#: Every code that a diagnostic may carry, and who has to act on it.
CODES: dict[str, Kind] = {
    # Lua
    "lua-syntax": Kind.SCRIPT,
    "lua-error": Kind.SCRIPT,
    "lua-timeout": Kind.SCRIPT,
    "lua-memory": Kind.SCRIPT,
    "bytecode": Kind.SCRIPT,
    "script-encoding": Kind.SCRIPT,
    "script-too-large": Kind.SCRIPT,
    "script-missing": Kind.USAGE,
    "named-arguments": Kind.SCRIPT,
    "module-missing": Kind.SCRIPT,
    # arguments of the Lua interface
    "unknown-option": Kind.SCRIPT,
    "unknown-method": Kind.SCRIPT,
    "missing-option": Kind.SCRIPT,
    "bad-argument": Kind.SCRIPT,
    "not-finite": Kind.SCRIPT,
    "not-a-number": Kind.SCRIPT,
    "plan-shape": Kind.SCRIPT,
    "bad-name": Kind.SCRIPT,
    "expired": Kind.SCRIPT,
    # fields, stencils, parameters
    "unknown-format": Kind.SCRIPT,
    "unknown-field": Kind.SCRIPT,
    "unknown-stencil": Kind.SCRIPT,
    "unknown-parameter": Kind.SCRIPT,
    "duplicate-name": Kind.SCRIPT,
    "not-an-input": Kind.SCRIPT,
    "not-an-output": Kind.SCRIPT,
    "in-place-read": Kind.SCRIPT,
    "write-elsewhere": Kind.SCRIPT,
    "needs-halos": Kind.SCRIPT,
    "other-resolution": Kind.SCRIPT,
    "glsl-error": Kind.SCRIPT,
    "glsl-type": Kind.SCRIPT,
    "glsl-directive": Kind.SCRIPT,
    "glsl-reserved": Kind.SCRIPT,
    "glsl-structure": Kind.SCRIPT,
    "glsl-limit": Kind.SCRIPT,
    "glsl-unbounded": Kind.SCRIPT,
    "glsl-turns": Kind.SCRIPT,
    "glsl-compiler": Kind.WORKER,
    # domains and files that the script names
    "bad-extent": Kind.SCRIPT,
    "domain-too-large": Kind.DEVICE,
    "too-many-devices": Kind.SCRIPT,
    "grid-file-missing": Kind.SCRIPT,
    "grid-file-corrupt": Kind.SCRIPT,
    "grid-file-kind": Kind.SCRIPT,
    "grid-mismatch": Kind.SCRIPT,
    "unknown-object": Kind.SCRIPT,
    "mesh-broken": Kind.SCRIPT,
    "export-path": Kind.SCRIPT,
    "export-field": Kind.SCRIPT,
    # the machine
    "no-vulkan": Kind.DEVICE,
    "no-device": Kind.DEVICE,
    "device-feature": Kind.DEVICE,
    "device-memory": Kind.DEVICE,
    "device-lost": Kind.DEVICE,
    "disk-full": Kind.DISK,
    "disk-error": Kind.DISK,
    "bake-missing": Kind.DISK,
    "bake-corrupt": Kind.DISK,
    "bake-empty": Kind.DISK,
    "bake-locked": Kind.DISK,
    "checkpoint-missing": Kind.DISK,
    "checkpoint-mismatch": Kind.USAGE,
    "checkpoint-corrupt": Kind.DISK,
    "package-missing": Kind.USAGE,
    "no-mpi": Kind.USAGE,
    "usage": Kind.USAGE,
    # the artist's own shelf: texts, presets, caches
    "no-simulation": Kind.USAGE,
    "untrusted-script": Kind.USAGE,
    "newer-file": Kind.USAGE,
    "preset-broken": Kind.USAGE,
    "cache-limit": Kind.DISK,
    "worker-died": Kind.WORKER,
    "worker-protocol": Kind.WORKER,
    "worker-stalled": Kind.WORKER,
    "worker-memory": Kind.WORKER,
    "cancelled": Kind.CANCELLED,
}


LONGEST_QUOTED = 1000  # characters of a line of a script


def printable(text: str) -> str:
    """The text with control and direction characters as escapes, so that it cannot disguise itself in a log."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in "\t " else c.encode("unicode_escape").decode("ascii") for c in text)


def human_bytes(count: float) -> str:
    """`3355443200` as `3.1 GiB`."""
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"


def _printable_lines(text: str) -> str:
    return "\n".join(map(printable, text.split("\n")))


def _quoted(line: str, needed: int) -> str | None:
    """A line of a source with its columns where they were: cut where it is very long; None where that would cut what
    is meant, which ends at the column `needed`."""
    if len(line) > LONGEST_QUOTED:
        if needed > LONGEST_QUOTED:
            return None
        line = line[:LONGEST_QUOTED] + "…"
    return "".join(c if c.isprintable() or c == "\t" else "·" for c in line)


@dataclass(frozen=True)
class Place:
    """A line of a script. `line` and `column` count from 1; `text` is the source line, if it is known.

    All words are made printable: they may be those of a script.
    """

    file: str
    line: int
    column: int | None = None
    width: int = 1
    text: str | None = None
    label: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "file", printable(self.file))
        if self.text is not None:
            needed = 0 if self.column is None else self.column + self.width - 1
            object.__setattr__(self, "text", _quoted(self.text, needed))
        object.__setattr__(self, "label", printable(self.label))


@dataclass(frozen=True)
class Diagnostic:
    """One problem: a headline of one sentence, its place, a hint, and other places that explain it.

    All words are made printable: they may quote a script, a file or a driver. Message and hint may have several lines.
    """

    code: str
    message: str
    place: Place | None = None
    hint: str | None = None
    related: tuple[Place, ...] = ()

    def __post_init__(self) -> None:
        if self.code not in CODES:
            raise ValueError(f"unknown diagnostic code {self.code!r}")
        object.__setattr__(self, "message", _printable_lines(self.message))
        object.__setattr__(self, "hint", None if self.hint is None else _printable_lines(self.hint))

    @property
    def kind(self) -> Kind:
        return CODES[self.code]

    def at(self, place: Place | None) -> Diagnostic:
        """The same diagnostic at `place`, unless it already knows a better one."""
        return self if self.place is not None or place is None else replace(self, place=place)


class FluidError(Exception):
    """Raised by every room for a problem that the artist can understand. Carries one or more diagnostics."""

    def __init__(self, *diagnostics: Diagnostic) -> None:
        super().__init__("; ".join(d.message for d in diagnostics))
        self.diagnostics = diagnostics

    @property
    def code(self) -> str:
        return self.diagnostics[0].code

    @property
    def kind(self) -> Kind:
        return self.diagnostics[0].kind

    def at(self, place: Place | None) -> FluidError:
        """A copy whose diagnostics lie at `place` where they had no place of their own."""
        error = FluidError(*(d.at(place) for d in self.diagnostics))
        error.__cause__ = self.__cause__
        return error


def fail(code: str, message: str, hint: str | None = None, place: Place | None = None) -> FluidError:
    """Make a `FluidError` of one diagnostic: `raise fail("unknown-field", 'There is no field "smoke".')`."""
    return FluidError(Diagnostic(code, message, place, hint))


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    """A hint that names the closest known words, or lists them where none is close."""
    words = sorted(known)
    if not words:
        return None
    close = difflib.get_close_matches(word[:100], words, n=3, cutoff=0.6)  # its work grows with the square of a word
    if close:
        return "Did you mean " + " or ".join(f'"{w}"' for w in close) + "?"
    return "Known: " + ", ".join(f'"{w}"' for w in words[:24]) + ("…" if len(words) > 24 else "") + "."


def _gutter(place: Place) -> list[str]:
    if place.text is None:
        return []
    text = place.text.expandtabs(4)
    lines = [f"{place.line:5d} | {text}"]
    if place.column is not None:
        before = len(place.text[: place.column - 1].expandtabs(4))
        lines.append("      | " + " " * before + "^" * max(1, place.width))
    return lines


def render(diagnostic: Diagnostic) -> str:
    """The one text form of a diagnostic, without colours and without a trailing newline."""
    where = f"{diagnostic.place.file}:{diagnostic.place.line}: " if diagnostic.place else ""
    lines = [f"{where}error[{diagnostic.code}]: {diagnostic.message}"]
    if diagnostic.place:
        lines += _gutter(diagnostic.place)
    if diagnostic.hint:
        lines.append(f"  hint: {diagnostic.hint}")
    for place in diagnostic.related:
        label = f" {place.label}" if place.label else ""
        lines.append(f"  at {place.file}:{place.line}:{label}" if label else f"  at {place.file}:{place.line}")
    return "\n".join(lines)
