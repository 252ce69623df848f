# SPDX-License-Identifier: GPL-3.0-or-later
"""One Lua state for one run, behind a border that only numbers, booleans and bytes cross.

lupa can abort or hang the whole process where Lua raises an error while Python is on the stack (out of memory in the
middle of a push), and it can hand Python objects to a script. So there is a single callable on this side, it catches
everything, it answers with scalars only, and it makes room for its answer before Lua copies it.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from lupa import lua54

from ..diagnostics import Diagnostic, FluidError, Place, fail
from ..faults import fault

__all__ = ["Frame", "Limits", "Outcome", "Sandbox", "Scalar", "ScriptHost", "spoken"]

Scalar = None | bool | int | float | bytes

_OK, _RAISE, _STOP = 0, 1, 2
_LUA = Path(__file__).resolve().parent / "lua"
_TRUSTED = (
    "sandbox.lua",
    "sorting.lua",
    "order.lua",
    "patterns.lua",
    "texts.lua",
    "libraries.lua",
    "encoder.lua",
    "fluid_engine.lua",
)
#: The folders of an absolute path in quotes, of any system. A single \ at the beginning may be an escape.
_FOLDERS = re.compile(r"""(["'])(?:/|[A-Za-z]:[/\\]|\\\\)(?:(?!\1)[^\n])*[/\\]""")
_ANSWER_ROOM = 4 * 1024 * 1024
_MAX_TEXT = 256 * 1024


@dataclass(frozen=True)
class Frame:
    """A function that was running when a script failed. `name` is empty for the body of a file."""

    file: str
    line: int
    name: str


@dataclass(frozen=True)
class Outcome:
    """How a script ended.

    Attributes:
        how: "done", "syntax", "error", "memory" or "stopped".
        text: Lua's message, as bytes because scripts may put anything into it.
        frames: the stack of a failure, innermost first, without frames of the add-on's own Lua.
        names: the globals of the script at that time.
    """

    how: str
    text: bytes = b""
    frames: tuple[Frame, ...] = ()
    names: tuple[str, ...] = ()


class ScriptHost(Protocol):
    """What answers the calls of a script."""

    def serve(self, call: str, arguments: tuple[Scalar, ...]) -> tuple[Scalar, ...]:
        """Answer one call. A FluidError becomes a Lua error that the script may catch."""
        ...

    def locate(self, file: Scalar, line: Scalar) -> Place | None:
        """A line of a loaded script as a place."""
        ...

    def place(self) -> Place | None:
        """The line of the call that was served last."""
        ...


class Limits:
    """How long a stretch of Lua may take, how much it may hold, and whether anybody still waits for it.

    What a watchdog in another thread needs is here too: a function of Lua's C code that never ends does not meet the
    limit of time by itself. Every attribute is replaced as a whole, so reading needs no lock.

    Attributes:
        in_lua: Lua runs now. False in an engine call, and where no script runs.
        seen: when Lua last showed that it lives (`time.monotonic`): it called, or its clock was looked at, which
            happens every 10,000 instructions.
        seen_at: file and line of the script at that time, as `ScriptHost.locate` takes them.
    """

    def __init__(self, seconds: float, memory_mb: float, cancel: threading.Event | None) -> None:
        self.seconds = seconds
        self.memory_mb = memory_mb
        self.memory = int(memory_mb * 1024 * 1024)
        self.in_lua = False
        self.seen = time.monotonic()
        self.seen_at: tuple[Scalar, Scalar] = (b"", 0)
        self._cancel = cancel or threading.Event()
        self._deadline = self.seen + seconds

    @property
    def silent_for(self) -> float:
        """Seconds since Lua last showed that it lives; 0 while it does not run."""
        seen = self.seen  # before in_lua, which is set after it
        return time.monotonic() - seen if self.in_lua else 0.0

    def left_lua(self, *arguments: Scalar) -> None:
        """Lua has called; the last two arguments of most calls are its file and line."""
        self.in_lua = False
        self.seen = time.monotonic()
        if len(arguments) >= 2 and isinstance(arguments[-1], int) and isinstance(arguments[-2], bytes):
            self.seen_at = (arguments[-2], arguments[-1])

    def entered_lua(self) -> None:
        """Lua begins, or goes on after a call."""
        self.seen = time.monotonic()
        self.in_lua = True

    def restart_clock(self) -> None:
        """Begin a new stretch: the engine has done something."""
        self._deadline = time.monotonic() + self.seconds

    def exclude(self, seconds: float) -> None:
        """Do not count time that Lua did not spend itself."""
        self._deadline += seconds

    @property
    def cancelled(self) -> bool:
        return self._cancel.is_set()

    @property
    def exceeded(self) -> bool:
        return self.cancelled or time.monotonic() > self._deadline

    def error(self) -> FluidError:
        """Why a script is stopped now."""
        if self.cancelled:
            return fail("cancelled", "The run was cancelled.")
        message = f"The script ran for {self.seconds:g} seconds without an engine call."
        hint = "Is there a loop that never ends? Work on voxels belongs into a stencil. --lua-seconds allows more."
        return fail("lua-timeout", message, hint)

    def memory_error(self) -> FluidError:
        message = f"The script needs more than the {self.memory_mb:g} MB of memory that it may have."
        return fail("lua-memory", message, "Keep large data in fields, not in tables. --lua-memory allows more.")


class _Border:
    """The one Python object that a Lua state knows. Emptied at the end of a run."""

    __slots__ = ("answer",)

    def __init__(self) -> None:
        self.answer: Callable[..., tuple[Scalar, ...]] | None = None

    def __call__(self, *arguments: Any) -> tuple[Scalar, ...]:
        return (_STOP,) if self.answer is None else self.answer(*arguments)


def _refuse_attribute(_object: object, name: object, _value: object = None) -> object:
    raise AttributeError(str(name))


@cache
def _load_trusted() -> tuple[bytes, ...]:
    return tuple((_LUA / name).read_bytes() for name in _TRUSTED)


class Sandbox:
    """A fresh Lua 5.4 state that can run one script.

    Args:
        host: answers the script's calls.
        limits: seconds, memory and cancellation.
        vocabulary: names of the interface for the Lua side, see `lua/fluid_engine.lua`.

    Attributes:
        stopped: the error that ended the script for good, whatever the script caught.
    """

    def __init__(self, host: ScriptHost, limits: Limits, vocabulary: str) -> None:
        self._host = host
        self._limits = limits
        self.stopped: FluidError | None = None
        self._border = _Border()
        self._border.answer = self._answer
        self._runtime = lua54.LuaRuntime(
            encoding=None,
            attribute_handlers=(_refuse_attribute, _refuse_attribute),
            register_eval=False,
            register_builtins=False,
            unpack_returned_tuples=True,
            max_memory=0,
        )
        first, *others = _load_trusted()
        self._run = self._runtime.execute(
            first, self._border, vocabulary.encode(), *others, name=b"=[fluid]", mode=b"t"
        )

    def run(self, text: str, file: str, engine: int | None = None) -> Outcome:
        """Run a script.

        Args:
            text: the script, with named arguments rewritten.
            file: its name in Lua's messages, which the script sees.
            engine: number of the engine that it finds as `sim`.
        """
        self._limits.entered_lua()
        try:
            how, message, frames, names = self._run(_encode(text), _encode(file), engine)
        except lua54.LuaError as error:
            # Nothing is left, not even for the report: the C stack or the memory of the state itself.
            return Outcome("memory" if isinstance(error, MemoryError) else "error", str(error).encode())
        finally:
            self._limits.in_lua = False
        return Outcome(how.decode(), message, _frames(frames), tuple(names.decode("ascii").split()))

    def close(self) -> None:
        """Free the state as soon as nothing of it runs; a script that still runs is stopped at its next call."""
        self._border.answer = None
        self._run = self._runtime = None

    # ----- the border

    def _answer(self, call: bytes, *arguments: Scalar) -> tuple[Scalar, ...]:
        runtime = self._runtime
        answer: tuple[Scalar, ...] = (_STOP,)
        fault("lua.call")  # to hang here is a function of Lua's own that never ends
        self._limits.left_lua(*arguments)
        if call == b"end":
            answer = (_OK,)
        elif self.stopped is None:
            try:
                self._check_memory(runtime)
                answer = (_OK, *_scalars(self._serve(call.decode("ascii"), arguments)))
            except FluidError as error:
                if isinstance(error, _ScriptStop) or error.code == "cancelled":
                    self.stopped = error.at(self._host.place())
                else:
                    answer = (_RAISE, _encode(spoken(error)))
            except KeyboardInterrupt as error:
                self.stopped = fail("cancelled", "The run was interrupted.")
                self.stopped.__cause__ = error
            except BaseException as error:
                self.stopped = internal_error(error).at(self._host.place())
        size = sum(len(value) for value in answer if isinstance(value, bytes))
        # The script's limit, yet so that copying this answer into Lua cannot fail.
        runtime.set_max_memory(max(self._limits.memory, runtime.get_memory_used() + size + _ANSWER_ROOM))
        self._limits.entered_lua()
        return answer

    def _serve(self, call: str, arguments: tuple[Scalar, ...]) -> tuple[Scalar, ...]:
        match call:
            case "poll":
                return (self._limits.exceeded,)
            case "stop":
                raise _ScriptStop(*self._limits.error().at(self._host.locate(*arguments)).diagnostics)
            case "out of memory":
                raise _ScriptStop(*self._limits.memory_error().at(self._host.locate(*arguments)).diagnostics)
            case "start":
                self._limits.restart_clock()
                return ()
        begun = time.monotonic()
        values = self._host.serve(call, arguments)
        if call in ("print", "warn"):  # whoever listens may be slow
            self._limits.exclude(time.monotonic() - begun)
        if self._limits.cancelled:
            raise _ScriptStop(*self._limits.error().diagnostics)
        return values

    def _check_memory(self, runtime: Any) -> None:
        """What an answer took beyond the limit has to be garbage by the next call."""
        if runtime.get_memory_used() > self._limits.memory:
            runtime.gccollect()
            if runtime.get_memory_used() > self._limits.memory:
                raise _ScriptStop(*self._limits.memory_error().diagnostics)


class _ScriptStop(FluidError):  # noqa: N818 - not an error of the script
    """The script ends here, whatever it would catch."""


def _scalars(values: tuple[Scalar, ...]) -> tuple[Scalar, ...]:
    """The values, if they may cross: of exactly the types that become plain Lua values."""
    for value in values:
        if type(value) not in (type(None), bool, int, float, bytes):
            raise TypeError(f"a {type(value).__name__} cannot go to Lua")
        if type(value) is int and not -(2**63) <= value < 2**63:
            raise OverflowError("an integer of more than 64 bits cannot go to Lua")
    return values


def spoken(error: FluidError) -> str:
    """An error as the script hears it that catches it: without the folders of this machine."""
    return _FOLDERS.sub(r"\1…/", str(error)[:_MAX_TEXT])


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _frames(lines: bytes) -> tuple[Frame, ...]:
    frames = []
    for entry in lines.split(b"\n") if lines else ():
        line, name, file = entry.decode("utf-8", "surrogateescape").split("\t", 2)
        frames.append(Frame(file, int(line), name))
    return tuple(frames)


def internal_error(error: BaseException) -> FluidError:
    """A fault of the add-on, as an error that keeps its cause."""
    what = str(error) or type(error).__name__
    wrapped = FluidError(Diagnostic("lua-error", f"Internal error: {what}", hint="Please report this as a bug."))
    wrapped.__cause__ = error
    return wrapped
