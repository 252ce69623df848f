# SPDX-License-Identifier: GPL-3.0-or-later
"""What Lua says went wrong, as diagnostics: the place taken out of the message, the words put as the rest of us do."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby

from ..diagnostics import Diagnostic, FluidError, Place, did_you_mean
from .places import find_word, refine
from .sandbox import Frame, Outcome
from .sources import Sources, SourceText, printable

__all__ = ["runtime_error", "stack", "syntax_error"]

#: Lua cuts the names of chunks in messages (LUA_IDSIZE - 1 characters, luaconf.h).
_LONGEST_NAME = 59
_MAX_MESSAGE = 4000
_MAX_QUOTE = 400

_OWN_POSITION = re.compile(rb"^\[fluid\]:\d+: ")
_PLAIN_QUOTES = re.compile(r"'([^'\"\n]*)'")
_NEAR = re.compile(r" near (?:'(.*)'|(<eof>))$", re.DOTALL)
_OPENED = re.compile(r" \(to close '([^']+)' at line (\d+)\)")
_NIL_GLOBAL = re.compile(r"\(global '([A-Za-z_][A-Za-z0-9_]*)'\)")

#: What people write who know another language: in a line that does not compile, a pattern and what Lua has instead.
_OTHER_LANGUAGES = (
    (re.compile(r"!="), 'Lua writes "not equal" as ~=.'),
    (re.compile(r"[-+*/.]=(?!=)"), "Lua has no += and the like: write x = x + 1."),
    (re.compile(r"\+\+"), "Lua has no ++: write x = x + 1."),
    (re.compile(r"&&|\|\|"), 'Lua writes "and", "or" and "not" as words.'),
    (re.compile(r"^\s*(?:if|while|elseif)\b[^=~<>]*[^=~<>]=(?!=)"), "Compare with ==; a single = assigns."),
    (re.compile(r"^\s*//|/\*"), "A comment begins with two hyphens: -- like this."),
    (
        re.compile(r"^\s*(?:(?:import|from)\s+\w|(?:def|class|for|while|if|elif|else|try|with)\b.*:\s*$)"),
        "This line looks like Python: a fluid script is written in Lua.",
    ),
    (re.compile(r"\belse\s+if\b"), "Write elseif as one word, or close both with end."),
)


def syntax_error(message: bytes, sources: Sources) -> FluidError:
    """A script that Lua cannot read, from the compiler's message."""
    source, line, rest = _split(message, sources)
    text = _shortened(rest.decode("utf-8", "replace"))
    if source is None:
        return FluidError(Diagnostic("lua-syntax", _sentence(text)))
    while line > 1 and not (source.line(line) or "").strip():
        line -= 1  # the end of a script is where its last words are
    place = source.place(line)
    near = _NEAR.search(text)
    if near and near[1]:
        token = near[1]
        # A brace that no one wrote: it was put in for named arguments.
        if token in ("{", "}") and token not in (place.text or ""):
            text, token = text[: near.start()] + f" near '{'()'['{}'.index(token)]}'", "()"["{}".index(token)]
        place = _last_in_line(source, line, token) or place
    related: tuple[Place, ...] = ()
    if opened := _OPENED.search(text):
        text = text.replace(opened[0], "")
        related = (source.place(int(opened[2]), f'"{opened[1]}" begins here'),)
    hint = next((words for pattern, words in _OTHER_LANGUAGES if pattern.search(source.line(line) or "")), None)
    return FluidError(Diagnostic("lua-syntax", _sentence(text), place, hint, related))


def _shortened(text: str) -> str:
    """A message without the middle of what it quotes: "near" may be followed by a text of megabytes."""
    return text if len(text) <= _MAX_QUOTE else f"{text[: _MAX_QUOTE // 2]}…{text[-_MAX_QUOTE // 2 :]}"


def _last_in_line(source: SourceText, line: int, token: str) -> Place | None:
    text, start = source.line(line), source.start_of(line)
    shown = token.splitlines()[0] if token else ""
    if text is None or start is None or not shown or (column := text.rfind(shown)) < 0:
        return None
    return source.place_at(start + column, len(shown))


def _sentence(text: str) -> str:
    text = text.replace("<eof>", "the end of the script")
    return f"This is not Lua: {_in_double_quotes(text)}."


def _in_double_quotes(text: str) -> str:
    return printable(_PLAIN_QUOTES.sub(r'"\1"', text))


def runtime_error(outcome: Outcome, sources: Sources) -> FluidError:
    """An error that no one caught, from its text and the stack at that time."""
    source, line, rest = _split(_OWN_POSITION.sub(b"", outcome.text), sources)
    text = rest[: 4 * _MAX_MESSAGE].decode("utf-8", "backslashreplace")
    raised_by_lua = source is not None
    place = source.place(line) if source is not None else None
    trace = stack(outcome.frames, sources)
    if source is None:
        trace = outside_library(trace, sources)
        place = in_call(trace, text, sources)
    hint = None
    if (missing := _NIL_GLOBAL.search(text)) and "nil value" in text:
        known = [name for name in outcome.names if name != missing[1]]
        hint = did_you_mean(missing[1], known)
        if hint and hint.startswith("Known"):
            hint = f'Nothing was assigned to "{missing[1]}" before.'
    if raised_by_lua and place is not None and source is not None:
        quoted = [word for pair in re.findall(r"'([^'\n]+)'|\"([^\"\n]+)\"", text) for word in pair if word]
        place = find_word(source, line, quoted) or place
    shown = _cut(_in_double_quotes_of_lua(text))
    return FluidError(
        Diagnostic("lua-error", shown or "The script raised an empty error.", place, hint, related(trace, place))
    )


def _in_double_quotes_of_lua(text: str) -> str:
    """Lua quotes names 'so'; only where the message is clearly Lua's own."""
    return re.sub(
        r"\((global|local|method|field|upvalue|constant) '([^']*)'\)|^(bad argument #\d+ to) '([^']*)'",
        lambda m: f'({m[1]} "{m[2]}")' if m[1] else f'{m[3]} "{m[4]}"',
        text,
    )


def _cut(text: str) -> str:
    return (text if len(text) <= _MAX_MESSAGE else text[:_MAX_MESSAGE] + "…").rstrip("\n")


def stack(frames: Sequence[Frame], sources: Sources) -> tuple[Place, ...]:
    """The frames as places, innermost first; the same line many times in a row is one place."""
    places = []
    for frame, repeats in groupby(frames):
        source = sources.of_chunk(frame.file)
        label = f'in "{frame.name}"' if frame.name not in ("", "?") else "in a function" if frame.name else ""
        if sum(1 for _ in repeats) > 3:
            label += ", many times"
        if source is not None:
            places.append(source.place(frame.line, label))
    return tuple(places)


def outside_library(trace: tuple[Place, ...], sources: Sources) -> tuple[Place, ...]:
    """A stack from the artist's own innermost line on: what the library complains about is wrong there."""
    for depth, place in enumerate(trace):
        found = sources.get(place.file)
        if found is None or not found.library:
            return trace[depth:]
    return trace


def in_call(trace: tuple[Place, ...], message: str, sources: Sources) -> Place | None:
    """The innermost line of a stack; where it calls the library, the word of the call that the message quotes."""
    if not trace:
        return None
    place = replace(trace[0], label="")
    return refine(place, message, sources)


def related(trace: tuple[Place, ...], place: Place | None) -> tuple[Place, ...]:
    """A stack worth showing: one that tells more than the place itself."""
    return trace if len(trace) > 1 or (trace and place and trace[0].file != place.file) else ()


def _split(message: bytes, sources: Sources) -> tuple[SourceText | None, int, bytes]:
    """The source and line that a message of Lua begins with, and the rest of it."""
    for chunk, source in sources.chunks():
        prefix = _name_in_messages(chunk)
        if message.startswith(prefix + b":"):
            number, colon, rest = message[len(prefix) + 1 :].partition(b": ")
            if colon and number.isdigit():
                return source, int(number), rest
    return None, 0, message


def _name_in_messages(chunk: str) -> bytes:
    name = chunk.encode("utf-8", "surrogateescape")
    return name if len(name) <= _LONGEST_NAME else b"..." + name[-(_LONGEST_NAME - 3) :]
