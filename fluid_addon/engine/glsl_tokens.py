# SPDX-License-Identifier: GPL-3.0-or-later
"""GLSL as tokens: enough to see calls, names and structure in an artist's body."""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["Token", "match_bracket", "tokenize"]

_TOKEN = re.compile(
    r"""(?P<space>[ \t\f\v\r]+)
      | (?P<newline>\n)
      | (?P<comment>//[^\r\n]*|/\*.*?\*/)
      | (?P<open_comment>/\*)
      | (?P<string>"[^"\\\r\n]*"|'[^'\\\r\n]*')
      | (?P<number>\.?[0-9](?:[eE][+-]|[0-9A-Za-z_.])*)
      | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
      | (?P<mark>[-+*/%<>=!&|^~?:;,.(){}\[\]])
      | (?P<other>.)""",
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True)
class Token:
    """A piece of the body. `kind` is name, number, string, mark, open_comment or other; `line` counts from 0."""

    kind: str
    text: str
    start: int
    end: int
    line: int


def tokenize(code: str) -> list[Token]:
    """The tokens of a body, without white space and comments."""
    tokens = []
    line = 0
    for match in _TOKEN.finditer(code):
        kind = match.lastgroup or "other"
        if kind not in ("space", "newline", "comment"):
            tokens.append(Token(kind, match.group(), match.start(), match.end(), line))
        line += match.group().count("\n")
    return tokens


def match_bracket(tokens: list[Token], opening: int) -> int | None:
    """The position of the bracket that closes the one at `opening`, or None."""
    pairs = {"(": ")", "[": "]", "{": "}"}
    stack = []
    for position in range(opening, len(tokens)):
        text = tokens[position].text
        if text in pairs and tokens[position].kind == "mark":
            stack.append(pairs[text])
        elif stack and text == stack[-1] and tokens[position].kind == "mark":
            stack.pop()
            if not stack:
                return position
    return None
