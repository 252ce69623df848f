# SPDX-License-Identifier: GPL-3.0-or-later
"""What a script could load or ask for, read from its text without running it."""

from __future__ import annotations

from functools import lru_cache

from .lua_tokens import string_value, tokenize

__all__ = ["may_mention", "required_names"]


@lru_cache(maxsize=64)
def may_mention(text: str, name: str) -> bool:
    """Whether a script, or a module of its own that it requires, could use the global of that name.

    The library's own modules leave that to scripts.
    """
    names = required_names(text)
    if names is None or any(not module.startswith("fluid.") for module in names):
        return True
    return any(
        (token.kind == "name" and token.text == name) or ("string" in token.kind and name in token.text)
        for token in tokenize(text)
    )


@lru_cache(maxsize=64)
def required_names(text: str) -> frozenset[str] | None:
    """The names that a script gives to `require`, or None where they cannot all be seen: it may load anything.

    They cannot where `require` is called with anything but a plain text, or is handed around.
    """
    tokens = [*tokenize(text)]
    names = set()
    for index, token in enumerate(tokens):
        if token.kind in ("string", "long_string") and "require" in token.text:
            value = string_value(token)
            if value is None or value[0] == "require":
                return None  # _ENV["require"]
        if (token.kind, token.text) != ("name", "require"):
            continue
        following = tokens[index + 1 : index + 4]
        bracket = bool(following) and following[0].text == "(" and following[0].kind == "mark"
        given = following[1:] if bracket else following
        value = string_value(given[0]) if given else None
        if value is None or (bracket and (len(given) < 2 or given[1].text != ")")):
            return None
        names.add(value[0])
    return frozenset(names)
