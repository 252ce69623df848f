# SPDX-License-Identifier: GPL-3.0-or-later
"""Messages between a run and its worker: JSON behind a length of four bytes, on pipes that nothing else writes to."""

from __future__ import annotations

import json
import struct
import threading
from typing import Any, BinaryIO

__all__ = ["MAX_MESSAGE", "MessageWriter", "ProtocolError", "read_message"]

MAX_MESSAGE = 64 << 20
_LENGTH = struct.Struct(">I")


class ProtocolError(Exception):
    """What arrived is not a message."""


class MessageWriter:
    """Writes messages from any thread."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def write(self, message: dict[str, Any]) -> None:
        body = json.dumps(message, ensure_ascii=False).encode("utf-8", "replace")
        with self._lock:
            self._stream.write(_LENGTH.pack(len(body)) + body)
            self._stream.flush()


def read_message(stream: BinaryIO) -> dict[str, Any] | None:
    """The next message, or None at the end of the stream.

    Raises:
        ProtocolError: for half a message, a length beyond `MAX_MESSAGE`, or what is no JSON object.
    """
    head = _read(stream, _LENGTH.size)
    if not head:
        return None
    if len(head) < _LENGTH.size:
        raise ProtocolError("the stream ended inside a message")
    (length,) = _LENGTH.unpack(head)
    if length > MAX_MESSAGE:
        raise ProtocolError(f"a message of {length} bytes")
    body = _read(stream, length)
    if len(body) < length:
        raise ProtocolError("the stream ended inside a message")
    try:
        message = json.loads(body)
    except ValueError as error:
        raise ProtocolError(f"no JSON: {error}") from error
    if not isinstance(message, dict):
        raise ProtocolError("no JSON object")
    return message


def _read(stream: BinaryIO, count: int) -> bytes:
    parts = []
    while count:
        part = stream.read(count)
        if not part:
            break
        parts.append(part)
        count -= len(part)
    return b"".join(parts)
