# SPDX-License-Identifier: GPL-3.0-or-later
"""Named arguments: `f(a = 1, b = 2)` becomes `f({a = 1, b = 2})` before Lua compiles the script.

In Lua a `name =` that directly follows the `(` or a `,` of a call is a syntax error, so no valid script changes
meaning. Only braces are inserted: line numbers stay.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..diagnostics import Diagnostic, FluidError
from .lua_tokens import Token
from .sources import SourceText

__all__ = ["compilable", "rewrite_named_arguments"]

_CLOSES = {")": "(", "]": "[", "}": "{"}

#: Stands before every named argument, and before much else; a text without it is not read any closer.
_MAYBE = re.compile(r"[(,]\s*+(?:--|[A-Za-z_]\w*+\s*+(?:--|=(?!=)))")


@dataclass
class _Bracket:
    """An open bracket or block. For the `(` of a call, the arguments seen so far, by the index of their first token."""

    mark: str
    index: int
    is_call: bool = False
    named: list[int] | None = None
    positional: list[int] | None = None


def compilable(source: SourceText) -> str:
    """What Lua compiles for a file: with named arguments, and with a first line `#!…` as a comment.

    Raises:
        FluidError: `named-arguments`.
    """
    text = rewrite_named_arguments(source)
    return f"--{text}" if text.startswith("#") else text


def rewrite_named_arguments(source: SourceText) -> str:
    """The script's text with the braces that named arguments need, or the very same text where there are none.

    Raises:
        FluidError: `named-arguments` for a call that mixes both kinds or gives a name twice.
    """
    if not _MAYBE.search(source.text):
        return source.text
    tokens = source.tokens
    inserts: list[tuple[int, str]] = []
    open_: list[_Bracket] = []
    for index, token in enumerate(tokens):
        kind, text, start = token
        if open_ and open_[-1].is_call and _begins_argument(tokens, index):
            _note_argument(open_[-1], tokens, index)
        if kind == "mark":
            if text == "(":
                open_.append(_Bracket(text, index, _is_call(tokens, index), [], []))
            elif text in ("{", "["):
                open_.append(_Bracket(text, index))
            elif text in _CLOSES:
                if not open_ or open_[-1].mark != _CLOSES[text]:
                    break  # not Lua; it says so itself
                closed = open_.pop()
                if closed.is_call and closed.named:
                    _check(closed, tokens, source)
                    inserts += [(tokens[closed.index].start + 1, "{"), (start, "}")]
        elif kind == "keyword":
            if text in ("function", "if", "do", "repeat"):
                open_.append(_Bracket("block", index))
            elif text in ("end", "until"):
                if not open_ or open_[-1].mark != "block":
                    break
                open_.pop()
    return _insert(source.text, inserts)


def _begins_argument(tokens: list[Token], index: int) -> bool:
    before = tokens[index - 1]
    return before.kind == "mark" and before.text in ("(", ",") and not _is(tokens, index, ")")


def _note_argument(call: _Bracket, tokens: list[Token], index: int) -> None:
    named = tokens[index].kind == "name" and _is(tokens, index + 1, "=")
    arguments = call.named if named else call.positional
    if arguments is not None:
        arguments.append(index)


def _is(tokens: list[Token], index: int, mark: str) -> bool:
    return 0 <= index < len(tokens) and tokens[index].kind == "mark" and tokens[index].text == mark


def _is_call(tokens: list[Token], index: int) -> bool:
    """Whether the `(` at `index` opens the arguments of a call, and not a definition's, a condition or a group."""
    if index == 0:
        return False
    before = tokens[index - 1]
    if before.kind in ("string", "long_string"):
        return True
    if before.kind == "mark":
        return before.text in (")", "]", "}")
    if before.kind != "name":
        return False
    first = index - 1
    while (_is(tokens, first - 1, ".") or _is(tokens, first - 1, ":")) and tokens[first - 2].kind == "name":
        first -= 2
    return not (first > 0 and tokens[first - 1].kind == "keyword" and tokens[first - 1].text == "function")


def _check(call: _Bracket, tokens: list[Token], source: SourceText) -> None:
    named, positional = call.named or [], call.positional or []
    if positional:
        # Point at the argument that leaves the pattern which the first one set.
        odd = max(named[0], positional[0])
        name = tokens[named[0]].text
        message = f'This call gives "{name}" by name and another argument by position.'
        hint = f"Name all of them, or write the named ones in braces: {{{name} = …}}."
        raise _error(message, hint, tokens[odd], source)
    seen: set[str] = set()
    for index in named:
        name = tokens[index].text
        if name in seen:
            raise _error(f'This call gives "{name}" twice.', "Leave one of them out.", tokens[index], source)
        seen.add(name)


def _error(message: str, hint: str, token: Token, source: SourceText) -> FluidError:
    width = len(token.text.splitlines()[0])
    return FluidError(Diagnostic("named-arguments", message, source.place_at(token.start, width), hint))


def _insert(text: str, inserts: list[tuple[int, str]]) -> str:
    if not inserts:
        return text
    pieces, done = [], 0
    # A `}` and the `{` of another call never share an offset, so sorting by offset is enough.
    for offset, brace in sorted(inserts):
        pieces += [text[done:offset], brace]
        done = offset
    return "".join([*pieces, text[done:]])
