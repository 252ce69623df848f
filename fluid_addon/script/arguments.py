# SPDX-License-Identifier: GPL-3.0-or-later
"""Arguments as they come from Lua: how they are given, the kinds of values, and the error for everything else."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ..diagnostics import did_you_mean, fail
from ..engine.formats import Format
from .sources import printable

__all__ = [
    "Call",
    "Option",
    "boolean",
    "boundary",
    "components",
    "decode",
    "default",
    "device",
    "field_format",
    "handle",
    "number",
    "one_of",
    "path",
    "sides",
    "substeps",
    "take_arguments",
    "text",
    "title",
    "titles",
    "triple",
    "whole",
]

LONGEST_NAME = 255
LONGEST_PATH = 4096

#: A value as the border delivers it: text that is not UTF-8 stays bytes.
Value = None | bool | int | float | str | bytes | list[Any] | dict[str, Any]


@dataclass(frozen=True)
class Option:
    """One argument: how it is called in Lua, how its value is checked, and its name in Python where that differs."""

    name: str
    take: Callable[[Value, str], Any]
    required: bool = False
    python_name: str | None = None


@dataclass(frozen=True)
class Call:
    """A function or method of the Lua interface.

    Attributes:
        spelled: as an artist writes it, for messages.
        options: every argument; the first `positional` of them may be given by position.
        table_last: a table of options may follow the positional arguments.
    """

    spelled: str
    options: tuple[Option, ...]
    positional: int = 0
    table_last: bool = False

    @property
    def names(self) -> list[str]:
        return [option.name for option in self.options]


def decode(payload: bytes) -> list[Value]:
    """The arguments of a call from the encoder of the Lua side, where every byte of a string is one character."""
    values = json.loads(payload)
    return [_decode_text(value) for value in values]


def _decode_text(value: Any) -> Any:
    if isinstance(value, str):
        content = value.encode("latin-1")
        try:
            return content.decode("utf-8")
        except UnicodeDecodeError:
            return content
    if isinstance(value, list):
        return [_decode_text(item) for item in value]
    if isinstance(value, dict):
        # Keys meet the list of known options, so for them a stand-in character is enough.
        return {k.encode("latin-1").decode("utf-8", "replace"): _decode_text(v) for k, v in value.items()}
    return value


def take_arguments(call: Call, values: Sequence[Value]) -> dict[str, Any]:
    """The arguments of a call by their Python names, checked; arguments that were not given are left out.

    Raises:
        FluidError: `bad-argument`, `unknown-option`, `missing-option`, `bad-name`, `unknown-format`.
    """
    given = _by_name(call, values)
    options = {option.name: option for option in call.options}
    for name in given:
        if name not in options:
            hint = did_you_mean(name, options)
            raise fail("unknown-option", f'"{name[:80]}" is no option of {call.spelled}.', hint)
    taken = {}
    for name, option in options.items():
        value = given.get(name)
        if value is not None:
            taken[option.python_name or name] = option.take(value, name)
        elif option.required:
            raise fail("missing-option", f'{call.spelled} needs "{name}".', _usage(call))
    return taken


def _by_name(call: Call, values: Sequence[Value]) -> dict[str, Value]:
    if len(values) == 1 and isinstance(values[0], dict):
        return values[0]
    table: dict[str, Value] = {}
    last = values[-1] if values else None
    if call.table_last and len(values) > 1 and isinstance(last, dict):
        table, values = last, values[:-1]
    elif call.table_last and len(values) == call.positional + 1 and last in (None, []):
        values = values[:-1]  # an empty Lua table has no kind
    if len(values) > call.positional:
        if call.positional == 0 and len(values) == 1:
            if values[0] in (None, []):
                return {}
            raise fail("bad-argument", f"{call.spelled} takes a table of options, not {describe(values[0])}.")
        count = call.positional
        message = f"{call.spelled} takes {count} argument{'s' * (count != 1)} by position, not {len(values)}."
        raise fail("bad-argument", message, _usage(call))
    given = dict(zip(call.names, values, strict=False))
    for name in table:
        if given.get(name) is not None:
            raise fail("bad-argument", f'"{name}" is given twice to {call.spelled}.')
    return {**given, **table}


def _usage(call: Call) -> str:
    positional = ", ".join(call.names[: call.positional])
    rest = ", ".join(f"{name} = …" for name in call.names[call.positional :])
    if not rest:
        return f"Write {call.spelled}({positional})."
    if not positional:
        return f"Write {call.spelled}{{{rest}}}."
    return f"Write {call.spelled}({positional}, {{{rest}}})."


def describe(value: Value) -> str:
    """A value in words, for "must be …, not …"."""
    match value:
        case None:
            return "nil"
        case bool():
            return f"the boolean {str(value).lower()}"
        case int() | float():
            return f"the number {value!r}"
        case str():
            shown = printable(value if len(value) <= 40 else value[:39] + "…")
            return f'the text "{shown}"'
        case bytes():
            return f"the text {_escaped(value)}, which is not UTF-8"
        case []:
            return "an empty table"
        case list():
            return f"a list of {len(value)}"
        case _:
            return "a table with names"


def _escaped(value: bytes) -> str:
    shown = value[:40].decode("utf-8", "backslashreplace")
    return '"' + printable(shown) + ("…" if len(value) > 40 else "") + '"'


def _wrong(name: str, expected: str, value: Value) -> Exception:
    return fail("bad-argument", f'"{name}" must be {expected}, not {describe(value)}.')


# ===== Kinds of values


def number(value: Value, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise _wrong(name, "a number", value)
    return value


def whole(value: Value, name: str) -> int:
    """An integer; Lua's 3.0 is one too."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != int(value):
        raise _wrong(name, "a whole number", value)
    return int(value)


def boolean(value: Value, name: str) -> bool:
    if not isinstance(value, bool):
        raise _wrong(name, "true or false", value)
    return value


def text(value: Value, name: str) -> str:
    if not isinstance(value, str):
        raise _wrong(name, "text", value)
    return value


def title(value: Value, name: str) -> str:
    """The name of a field or stencil."""
    if isinstance(value, bytes):
        raise fail("bad-name", f'"{name}" is {_escaped(value)}, which is not UTF-8 text.', "Save the script as UTF-8.")
    if not isinstance(value, str):
        raise _wrong(name, "a name", value)
    if len(value) > LONGEST_NAME:
        message = f'"{name}" has {len(value)} characters; a name may have {LONGEST_NAME}.'
        raise fail("bad-name", message, "Give it a short name.")
    return value


def titles(value: Value, name: str) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise fail(
            "bad-argument",
            f'"{name}" must be a list of names, not {describe(value)}.',
            f'Write {name} = {{"{value}"}}.' if isinstance(value, str) else None,
        )
    return tuple(title(item, f"{name}[{i}]") for i, item in enumerate(value, 1))


def path(value: Value, name: str) -> str:
    found = text(value, name)
    if not found or "\0" in found or len(found) > LONGEST_PATH:
        raise fail("bad-argument", f'"{name}" must be a path, not {describe(value)}.')
    return found


def triple(kind: Callable[[Value, str], Any], words: str) -> Callable[[Value, str], Any]:
    def take(value: Value, name: str) -> Any:
        if not isinstance(value, list) or len(value) != 3:
            raise _wrong(name, words, value)
        return tuple(kind(item, f"{name}[{i}]") for i, item in enumerate(value, 1))

    return take


def components(value: Value, name: str) -> float | tuple[float, ...]:
    """A number, or a list of up to four."""
    if isinstance(value, list) and 1 <= len(value) <= 4:
        return tuple(number(item, f"{name}[{i}]") for i, item in enumerate(value, 1))
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise _wrong(name, "a number or a list of up to four numbers", value)
    return value


def one_of(*words: str) -> Callable[[Value, str], str]:
    listed = ", ".join(f'"{word}"' for word in words[:-1]) + f' or "{words[-1]}"'

    def take(value: Value, name: str) -> str:
        if not isinstance(value, str) or value not in words:
            message = f'"{name}" must be {listed}, not {describe(value)}.'
            raise fail("bad-argument", message, did_you_mean(value, words) if isinstance(value, str) else None)
        return value

    return take


def boundary(value: Value, name: str) -> str | tuple[str, ...]:
    rule = one_of("open", "clamp", "periodic")
    if isinstance(value, list):
        if len(value) != 3:
            raise _wrong(name, "one rule or one for each of three axes", value)
        return tuple(rule(item, f"{name}[{i}]") for i, item in enumerate(value, 1))
    return rule(value, name)


def sides(value: Value, name: str) -> str | tuple[str, ...]:
    side = one_of("open", "closed")
    if isinstance(value, list):
        if len(value) not in (3, 6):
            raise _wrong(name, "one side, one for each of three axes, or one for each of six ends", value)
        return tuple(side(item, f"{name}[{i}]") for i, item in enumerate(value, 1))
    return side(value, name)


def field_format(value: Value, name: str) -> Format:
    try:
        return Format(whole(value, name))
    except ValueError:
        hint = did_you_mean("", Format.__members__)
        raise fail("unknown-format", f'"{name}" is {value!r}, which is the number of no format.', hint) from None


def device(value: Value, name: str) -> int | str:
    return value if isinstance(value, str) else whole(value, name)


def substeps(value: Value, name: str) -> int | str:
    return one_of("auto")(value, name) if isinstance(value, str) else whole(value, name)


def handle(value: Value, name: str) -> str:
    """The name behind what `scene.object` gave."""
    if isinstance(value, dict) and list(value) == ["object"] and isinstance(value["object"], str):
        return value["object"]
    hint = f'Write scene.object("{printable(value[:80])}").' if isinstance(value, str) else None
    raise fail("bad-argument", f'"{name}" must be an object of the scene, not {describe(value)}.', hint)


def default(value: Value, name: str) -> float | bool:
    return value if isinstance(value, bool) else number(value, name)
