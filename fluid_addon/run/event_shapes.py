# SPDX-License-Identifier: GPL-3.0-or-later
"""What an event of a worker has to look like before anything on this side of the pipe touches it.

A worker that a driver or a script has broken may send anything. Whoever shows a run may then rely on the keys that
`events` lists, and on their types; and numbers are finite.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from types import NoneType
from typing import Any

from .events import Event
from .protocol import ProtocolError

__all__ = ["SHAPES", "check_event"]

Types = type | tuple[type, ...]

_NUMBER = (int, float)
_NUMBER_OR_NOT = (int, float, NoneType)
_COUNT_OR_NOT = (int, NoneType)
_TEXT_OR_NOT = (str, NoneType)

#: The keys that each kind of event must have, with their types.
SHAPES: dict[str, dict[str, Types]] = {
    "started": {"script": str},
    "log": {"text": str},
    "note": {"text": str, "file": _TEXT_OR_NOT, "line": _COUNT_OR_NOT},
    "parameters": {"parameters": list},
    "domain": {"box": list},
    "scene": {"objects": list, "frames": _COUNT_OR_NOT},
    "capture": {"name": str, "frame": int, "frames": _COUNT_OR_NOT},
    "plan": {"text": str, "json": str},
    "memory": {"table": str, "bytes": _NUMBER, "device": str, "parts": list},
    "bake": {"folder": str},
    "reading": {"path": _TEXT_OR_NOT},
    "writing": {"path": _TEXT_OR_NOT},
    "progress": {
        "frame": int,
        "frames": _COUNT_OR_NOT,
        "time": _NUMBER,
        "mcells_per_second": _NUMBER,
        "leaves": _COUNT_OR_NOT,
        "seconds_left": _NUMBER_OR_NOT,
    },
    "frame": {"path": str, "frame": _COUNT_OR_NOT, "bytes": int},
    "checkpoint": {"frame": int, "bytes": int},
    "resumed": {"frame": int, "files": int},
    "restarted": {"frame": int, "text": str},
    "error": {"diagnostics": list},
    "finished": {
        "exit_code": int,
        "seconds": _NUMBER_OR_NOT,
        "frames": int,
        "files": list,
        "bake": _TEXT_OR_NOT,
        "exchange": (dict, NoneType),
    },
}

#: The same for the members of lists.
_MEMBERS: dict[str, tuple[str, dict[str, Types]]] = {
    "error": (
        "diagnostics",
        {
            "code": str,
            "message": str,
            "hint": _TEXT_OR_NOT,
            "file": _TEXT_OR_NOT,
            "line": _COUNT_OR_NOT,
            "column": _COUNT_OR_NOT,
            "text": str,
        },
    ),
    "memory": ("parts", {"device": str, "bytes": _NUMBER}),
    "parameters": (
        "parameters",
        {
            "name": str,
            "default": (int, float, bool),
            "minimum": _NUMBER_OR_NOT,
            "maximum": _NUMBER_OR_NOT,
            "help": _TEXT_OR_NOT,
        },
    ),
}


def check_event(message: Mapping[str, Any]) -> Event:
    """The message as an event. Kinds that are not known here pass: nobody looks into them.

    Raises:
        ProtocolError: it has no kind, or lacks what its kind must have.
    """
    kind = message.get("event")
    if not isinstance(kind, str):
        raise ProtocolError("a message that is no event")
    _check(kind, message, SHAPES.get(kind, {}))
    if kind in _MEMBERS:
        key, shape = _MEMBERS[kind]
        for member in message[key]:
            if not isinstance(member, dict):
                raise ProtocolError(f'an event "{kind}" with a wrong "{key}"')
            _check(kind, member, shape)
    if kind in ("finished", "scene"):
        key = "files" if kind == "finished" else "objects"
        if not all(isinstance(member, str) for member in message[key]):
            raise ProtocolError(f'an event "{kind}" with a wrong "{key}"')
    if kind == "domain" and not _is_box(message["box"]):
        raise ProtocolError('an event "domain" with a wrong "box"')
    if kind == "finished" and message["exchange"] is not None:
        _check(kind, message["exchange"], {"seconds": _NUMBER, "bytes": _NUMBER})
    return dict(message)


def _check(kind: str, found: Mapping[str, Any], shape: Mapping[str, Types]) -> None:
    for key, types in shape.items():
        value = found.get(key)
        wrong_number = isinstance(value, (int, float)) and not _is_finite(value)
        if key not in found or not isinstance(value, types) or wrong_number:
            raise ProtocolError(f'an event "{kind[:40]}" with a wrong "{key}"')


def _is_finite(number: float) -> bool:
    """Also of an integer, which may be too large for a float."""
    return abs(number) <= sys.float_info.max


def _is_box(corners: list[Any]) -> bool:
    """Whether these are two corners of three numbers each."""
    return len(corners) == 2 and all(
        isinstance(corner, list)
        and len(corner) == 3
        and all(isinstance(number, (int, float)) and _is_finite(number) for number in corner)
        for corner in corners
    )
