# SPDX-License-Identifier: GPL-3.0-or-later
"""Lua 5.4 as tokens (reference manual §3.1): enough to see calls, names and text in an artist's script."""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

__all__ = ["KEYWORDS", "Token", "line_starts", "string_value", "tokenize"]

Kind = Literal["name", "keyword", "number", "string", "long_string", "mark", "other", "unfinished"]

# fmt: off
KEYWORDS = frozenset([
    "and", "break", "do", "else", "elseif", "end", "false", "for", "function", "goto", "if", "in", "local", "nil",
    "not", "or", "repeat", "return", "then", "true", "until", "while",
])
# fmt: on

#: Lua counts each of these as one line end.
_LINE_END = re.compile(r"\r\n|\n\r|\r|\n")

# Possessive (`*+`) where the alternatives overlap, so that no text makes the matching slow.
_TOKEN = re.compile(
    r"""(?P<space>[ \t\r\n\f\v]+)
      | (?P<comment>--(?:\[(?P<level>=*)\[[\s\S]*?\](?P=level)\]|(?!\[=*\[)[^\r\n]*))
      | (?P<unfinished_comment>--\[=*\[)
      | (?P<long_string>\[(?P<depth>=*)\[[\s\S]*?\](?P=depth)\])
      | (?P<unfinished_long_string>\[=*\[)
      | (?P<string>"(?:[^"\\\r\n]|\\(?:z[ \t\r\n\f\v]*+|\r\n|\n\r|[\s\S]))*+"
                  |'(?:[^'\\\r\n]|\\(?:z[ \t\r\n\f\v]*+|\r\n|\n\r|[\s\S]))*+')
      | (?P<unfinished_string>["'])
      | (?P<number>0[xX](?:[pP][+-]?|[0-9a-fA-F.])*+[A-Za-z0-9_]*|\.?[0-9](?:[eE][+-]?|[0-9.])*+[A-Za-z0-9_]*)
      | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
      | (?P<mark>\.\.\.|\.\.|==|~=|<=|>=|<<|>>|//|::|[-+*/%^\#&~|<>=(){}\[\];:,.])
      | (?P<other>.)""",
    re.VERBOSE,
)


class Token(NamedTuple):
    """A piece of a script; `start` is the offset of its first character."""

    kind: Kind
    text: str
    start: int


def tokenize(text: str) -> list[Token]:
    """The tokens of a script, without white space, comments and a first line that begins with `#`.

    Text that Lua refuses gives tokens too: characters that begin none are `other`, and a string or comment that never
    ends is the last token, `unfinished`.
    """
    tokens: list[Token] = []
    append = tokens.append
    for match in _TOKEN.finditer(text, _first_line_end(text)):
        kind = match.lastgroup
        if kind == "space" or kind == "comment":
            continue
        found = match.group()
        if kind == "name":
            append(Token("keyword" if found in KEYWORDS else "name", found, match.start()))
        elif kind == "mark":
            append(Token("mark", found, match.start()))
        elif kind == "number":
            append(Token("number", found, match.start()))
        elif kind == "string":
            append(Token("string", found, match.start()))
        elif kind == "long_string":
            append(Token("long_string", found, match.start()))
        elif kind == "other":
            append(Token("other", found, match.start()))
        else:
            append(Token("unfinished", found, match.start()))
            break
    return tokens


def _first_line_end(text: str) -> int:
    if not text.startswith("#"):
        return 0
    end = _LINE_END.search(text)
    return end.start() if end else len(text)


def line_starts(text: str) -> list[int]:
    """The offset at which each line begins, as Lua counts lines."""
    return [0, *(match.end() for match in _LINE_END.finditer(text))]


def string_value(token: Token) -> tuple[str, int] | None:
    """What a string token stands for, and on which of the token's lines (from 0) that text begins.

    None for a quoted string with escapes, which this does not read.
    """
    if token.kind == "long_string":
        bracket = token.text.index("[", 1) + 1
        inner = token.text[bracket:-bracket]
        skipped = _LINE_END.match(inner)
        body = inner[skipped.end() :] if skipped else inner
        return _LINE_END.sub("\n", body), 1 if skipped else 0
    if token.kind == "string" and "\\" not in token.text:
        return token.text[1:-1], 0
    return None
