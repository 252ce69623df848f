# SPDX-License-Identifier: GPL-3.0-or-later
"""From a line of a script to the word in it that a message is about, and from a stencil's code to its first line."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

from ..diagnostics import Diagnostic, Place
from ..engine.stencil import CodeOrigin, CodePart
from .lua_tokens import Token, string_value
from .sources import Sources, SourceText

__all__ = ["code_origin", "complete", "find_word", "refine"]

_QUOTED = re.compile(r'"([^"\n]+)"')
_LAST_NAME = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?:\[\d+\])*$")
_OPENS, _CLOSES = frozenset("([{"), frozenset(")]}")
_MAX_LINES = 200
_MAX_TOKENS = 5000
_MAX_COMPARED = 100_000_000  # characters of code, times the lines that are sought in it


def complete(diagnostic: Diagnostic, sources: Sources) -> Diagnostic:
    """The same diagnostic, with the text of its line where its place does not know it."""
    place = diagnostic.place
    if place is None or place.text is not None:
        return diagnostic
    source = sources.get(place.file)
    return (
        diagnostic if source is None else replace(diagnostic, place=replace(place, text=source.place(place.line).text))
    )


def refine(place: Place, message: str, sources: Sources) -> Place:
    """The first word that `message` quotes and that stands in the call on this line, or the whole line."""
    source = sources.get(place.file)
    if source is None or place.column is not None:
        return place
    return find_word(source, place.line, _QUOTED.findall(message)) or place


def find_word(source: SourceText, line: int, words: list[str]) -> Place | None:
    """Where the first of the words that occurs at all stands: on the line, or further down in a call begun there."""
    tokens = list(_tokens_of_call(source, line))
    for word in words:
        offset = _offset_of(word, tokens)
        if offset is None and (last := _LAST_NAME.search(word)) and last[1] != word:
            word = last[1]  # of a path such as fields.rho.init[3]
            offset = _offset_of(word, tokens)
        if offset is not None:
            return source.place_at(offset, len(word))
    return None


def _tokens_of_call(source: SourceText, line: int) -> Iterator[Token]:
    """The tokens of a line, and of the lines after it until the brackets that it opened are closed."""
    start, depth = source.start_of(line), 0
    if start is None:
        return
    first = bisect_left(source.tokens, start, key=lambda token: token.start)
    for token in islice(source.tokens, first, first + _MAX_TOKENS):
        at = source.line_of(token.start)
        if (depth <= 0 and at > line) or at > line + _MAX_LINES:
            return
        if token.kind == "mark":
            depth = max(0, depth + (token.text in _OPENS) - (token.text in _CLOSES))
        yield token


def _offset_of(word: str, tokens: list[Token]) -> int | None:
    """A name or a text that is the word; else the word inside a text."""
    for token in tokens:
        if token.text == word and token.kind == "name":
            return token.start
        if token.kind == "string" and token.text[1:-1] == word:
            return token.start + 1
    inside = re.compile(rf"(?<!\w){re.escape(word)}(?!\w)")
    for token in tokens:
        if token.kind in ("string", "long_string") and (found := inside.search(token.text)):
            return token.start + found.start()
    return None


def code_origin(code: str, call: Place | None, sources: Sources) -> CodeOrigin | None:
    """The line on which a stencil's code begins: that of the text in a script that equals it.

    Of equal texts, the nearest at or after the call counts, then the nearest before it, then one of another file.
    Code that was put together begins at the call, and its parts are the texts of the artist's that it contains.
    """
    found: list[tuple[int, int, SourceText, int]] = []
    for source in sources:
        for line in _lines_of_text(code, source):
            if call is None or source.file != call.file:
                found.append((2, 0, source, line))
            else:
                found.append((0 if line >= call.line else 1, abs(line - call.line), source, line))
    if found:
        _, _, source, line = min(found, key=lambda match: match[:2])
        return CodeOrigin(source.file, line)
    return None if call is None else CodeOrigin(call.file, call.line, _parts(code, sources))


def _parts(code: str, sources: Sources) -> tuple[CodePart, ...]:
    """The texts of scripts, and the lines of long ones, that a code contains; the longest first."""
    parts: list[CodePart] = []
    left = _MAX_COMPARED
    for source in sources:
        for token in () if source.library else source.tokens:
            value = string_value(token) if token.kind in ("string", "long_string") else None
            if value is None:
                continue
            first = source.line_of(token.start) + value[1]
            for number, text in enumerate(value[0].split("\n"), first):
                left -= len(code)
                if left < 0:
                    break
                text, shown = text.strip(), source.line(number) or ""
                after = max(0, token.start - (source.start_of(number) or 0))
                if text and text in code and (column := shown.find(text, after)) >= 0:
                    parts.append(CodePart(text, source.file, number, column + 1, shown))
    return tuple(sorted(parts, key=lambda part: -len(part.text)))


def _lines_of_text(code: str, source: SourceText) -> Iterator[int]:
    for token in source.tokens:
        if token.kind in ("string", "long_string") and len(token.text) > len(code):
            value = string_value(token)
            if value is not None and value[0] == code:
                yield source.line_of(token.start) + value[1]
