# SPDX-License-Identifier: GPL-3.0-or-later
"""Messages between a run and its worker: JSON behind a length of four bytes, on pipes that nothing else writes to."""

from __future__ import annotations

import json
import os
import struct
import sys
import threading
from typing import Any, BinaryIO, Protocol

__all__ = [
    "MAX_MESSAGE",
    "HalfMessageError",
    "MessageWriter",
    "ProtocolError",
    "descriptor_of",
    "inheritable_handle",
    "read_message",
    "read_sized",
]

MAX_MESSAGE = 64 << 20
_LENGTH = struct.Struct(">I")
_PIECE = 1 << 20


class ProtocolError(Exception):
    """What arrived is not a message."""


class HalfMessageError(ProtocolError):
    """The stream ended inside a message, as it does where the process that writes is killed."""


class _Sink(Protocol):
    def write(self, data: memoryview, /) -> int | None: ...


class MessageWriter:
    """Writes messages from any thread.

    Args:
        stream: unbuffered, so that a message is with the system as soon as it is written.
    """

    def __init__(self, stream: _Sink) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def write(self, message: dict[str, Any]) -> None:
        """Write a message, and wait while the pipe is full. Raises OSError where nobody reads any more."""
        body = json.dumps(message, ensure_ascii=False).encode("utf-8", "replace")
        left = memoryview(_LENGTH.pack(len(body)) + body)
        with self._lock:
            while left:
                left = left[self._stream.write(left) or 0 :]


def read_message(stream: BinaryIO) -> dict[str, Any] | None:
    """The next message, or None at the end of the stream. Raises as `read_sized`."""
    sized = read_sized(stream)
    return None if sized is None else sized[0]


def read_sized(stream: BinaryIO) -> tuple[dict[str, Any], int] | None:
    """The next message with the number of its bytes, or None at the end of the stream.

    Raises:
        ProtocolError: for half a message, a length beyond `MAX_MESSAGE`, or what is no JSON object.
    """
    head = _read(stream, _LENGTH.size)
    if not head:
        return None
    if len(head) < _LENGTH.size:
        raise HalfMessageError("the stream ended inside a message")
    (length,) = _LENGTH.unpack(head)
    if length > MAX_MESSAGE:
        raise ProtocolError(f"a message of {length:,} bytes")
    body = _read(stream, length)
    if len(body) < length:
        raise HalfMessageError("the stream ended inside a message")
    try:
        message = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"a message that is no JSON ({error})") from error
    if not isinstance(message, dict):
        raise ProtocolError("a message that is no JSON object")
    return message, length


def _read(stream: BinaryIO, count: int) -> bytes:
    """So many bytes, or fewer at the end; never makes room for more than arrives."""
    parts = []
    while count:
        part = stream.read(min(count, _PIECE))
        if not part:
            break
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


# ===== A pipe that a child process inherits beside the standard ones


def inheritable_handle(descriptor: int) -> int:
    """What the child is told of a descriptor: its number, on Windows that of its handle, which others inherit."""
    if sys.platform != "win32":
        return descriptor
    else:  # noqa: RET505 - mypy looks at one system at a time
        import msvcrt

        handle = msvcrt.get_osfhandle(descriptor)
        os.set_handle_inheritable(handle, True)
        return handle


def descriptor_of(handle: int) -> int:
    """In the child: the descriptor that its parent has named. Children of this process do not get it."""
    if sys.platform != "win32":
        os.set_inheritable(handle, False)
        return handle
    else:  # noqa: RET505
        import msvcrt

        os.set_handle_inheritable(handle, False)
        return msvcrt.open_osfhandle(handle, 0)
