# SPDX-License-Identifier: GPL-3.0-or-later
"""The carrier between processes: MPI, whose waits look up, so that an error anywhere ends the run everywhere.

Objects travel between the first rank and each other one, in order, and halos between any two. An error is told to the
first rank, and by it to all others, in the same order as everything else; whoever waits for what will never come finds
it instead. Errors that all ranks raise alike (a wrong argument) leave them in step, and the script may catch them. One
that some rank raised alone leaves them apart: every later wait raises it again.
"""

from __future__ import annotations

import pickle
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np

from ..diagnostics import Diagnostic, FluidError, fail
from .carrier import Load, copy_here

if TYPE_CHECKING:
    from mpi4py import MPI

__all__ = ["EngineCall", "MpiCarrier"]

T = TypeVar("T")

#: Bytes of one message: MPI counts them in 32 bits.
PIECE = 1 << 30
#: Seconds between two looks, at first, and once a wait has lasted longer than what is usual in a step.
QUICK, SLOW, QUICK_LOOKS = 2e-5, 1e-3, 500
_MORE, _LAST, _HALO = 0, 1, 2  # tags
_NO_CALL = -1


@dataclass(frozen=True)
class EngineCall:
    """What the first rank is about to do with one of its engines.

    Attributes:
        engine: its number, in the order in which they were made.
        method: of `FluidEngine`, or "new".
    """

    engine: int
    method: str
    arguments: tuple[Any, ...]
    options: dict[str, Any]


@dataclass(frozen=True)
class _Failure:
    """An error of a rank, in the call with this number."""

    call: int
    diagnostics: tuple[Diagnostic, ...]


@dataclass(frozen=True)
class _End:
    exit_code: int


class MpiCarrier:
    """All ranks of an MPI run.

    Args:
        cancelled: asked while waiting.

    Raises:
        FluidError: `no-mpi` where mpi4py or the MPI library is missing.
    """

    def __init__(self, cancelled: Callable[[], bool]) -> None:
        self._mpi = _mpi()
        self._cancelled = cancelled
        world = self._mpi.COMM_WORLD
        self.rank, self.ranks = world.Get_rank(), world.Get_size()
        self._objects, self._halos = world.Dup(), world.Dup()
        self._under_way: list[tuple[MPI.Request, Any]] = []
        self._kept: list[MPI.Request] = []
        self._pieces: dict[int, bytearray] = {}
        self._inbox: dict[int, deque[Any]] = {rank: deque() for rank in range(self.ranks)}
        self._call = 0
        self._failed: set[int] = set()  # calls in which this rank raised by itself
        self._apart: tuple[Diagnostic, ...] | None = None

    @property
    def together(self) -> bool:
        """Whether all ranks are, as far as is known here, where this one is."""
        return self._apart is None

    def machine(self) -> str:
        return str(self._mpi.Get_processor_name())

    # ----- as every carrier

    def move(self, loads: Sequence[Load]) -> None:
        requests: list[MPI.Request] = []
        arrived = []
        for load in loads:
            if load.sender == load.receiver == self.rank:
                copy_here(load)
            elif load.sender == self.rank:
                assert load.source is not None, "the sender has it"
                # A copy: what a device has mapped is no memory that every transport can read.
                raw = np.array(load.source, copy=True).reshape(-1).view(np.uint8)
                requests += (
                    self._halos.Isend([piece, self._mpi.BYTE], load.receiver, _HALO) for piece in _in_pieces(raw)
                )
            elif load.receiver == self.rank:
                assert load.target is not None, "the receiver has room for it"
                raw = np.empty(load.target.nbytes, np.uint8)
                requests += (
                    self._halos.Irecv([piece, self._mpi.BYTE], load.sender, _HALO) for piece in _in_pieces(raw)
                )
                arrived.append((load.target, raw))
        try:
            self._wait(lambda: bool(self._mpi.Request.Testall(requests)), self._look_for_failures)
        except BaseException:
            self._kept += requests  # with the memory that may still be written
            raise
        for target, raw in arrived:
            np.copyto(target, raw.view(target.dtype).reshape(target.shape))

    def allgather(self, value: T) -> list[T]:
        if self.rank:
            self._send(0, value)
            return cast(list[T], self._receive(0))
        every = [value, *(self._receive(rank) for rank in range(1, self.ranks))]
        self._send_all(every)
        return every

    def broadcast(self, ask: Callable[[], T]) -> T:
        if self.rank:
            value = self._receive(0)
            if isinstance(value, FluidError):
                raise value
            return cast(T, value)
        try:
            value = ask()
        except FluidError as error:
            self._send_all(_Raised(error.diagnostics))
            raise
        self._send_all(value)
        return value

    # ----- calls of engines

    @contextmanager
    def leading(self, call: EngineCall) -> Iterator[None]:
        """On the first rank: a call that the others follow; what it raises is told to them."""
        self._raise_apart()
        self._send_all(call)
        with self._telling():
            yield

    @contextmanager
    def following(self) -> Iterator[None]:
        """On any other rank: the call that came last. An error ends it; the first rank is told, and says it."""
        with suppress(Exception), self._telling():
            yield

    @contextmanager
    def _telling(self) -> Iterator[None]:
        self._call += 1
        try:
            yield
        except Exception as error:
            self._failed.add(self._call)
            self._tell(self._call, error)
            raise

    def _tell(self, call: int, error: Exception) -> None:
        if not isinstance(error, FluidError):  # a fault of ours
            traceback.print_exception(error)
            error = fail("worker-died", f"A process of the run failed: {type(error).__name__}: {error}.")
        if self.rank:
            where = f'It happened in process {self.rank + 1} of {self.ranks}, on "{self.machine()}".'
            hints = [where if d.hint is None else f"{d.hint} {where}" for d in error.diagnostics]
            told = (replace(d, hint=hint) for d, hint in zip(error.diagnostics, hints, strict=True))
            self._send(0, _Failure(call, tuple(told)))
        else:
            self._send_all(_Failure(call, error.diagnostics))

    def next_call(self) -> EngineCall | int:
        """On any other rank: what the first one does next, or its exit code when it has ended.

        Raises:
            FluidError: `cancelled`; the first rank is told.
        """
        inbox = self._inbox[0]
        while True:
            try:
                self._wait(lambda: bool(inbox), lambda: None)
            except FluidError as error:
                self._tell(_NO_CALL, error)
                raise
            match inbox.popleft():
                case EngineCall() as call:
                    return call
                case _End(exit_code):
                    return exit_code
                case _Failure() as failure if failure.call not in self._failed:
                    self._apart = self._apart or failure.diagnostics

    def end(self, exit_code: int) -> None:
        """On the first rank: let the others end as well."""
        self._send_all(_End(exit_code))
        with suppress(FluidError):  # cancelled, which all others are as well
            self._wait(self._all_sent, lambda: None)

    # ----- objects

    def _send_all(self, value: Any) -> None:
        for rank in range(1, self.ranks):
            self._send(rank, value)

    def _send(self, rank: int, value: Any) -> None:
        for piece, is_last in _marked(_in_pieces(np.frombuffer(pickle.dumps(value, protocol=5), np.uint8))):
            tag = _LAST if is_last else _MORE
            self._under_way.append((self._objects.Isend([piece, self._mpi.BYTE], rank, tag), piece))

    def _receive(self, rank: int) -> Any:
        said = self._take(rank)
        if isinstance(said, _Raised):
            return FluidError(*said.diagnostics)
        if isinstance(said, EngineCall | _End):  # the first rank has gone on without this one
            self._inbox[rank].appendleft(said)
            raise fail("cancelled", "The run was cancelled.")
        return said

    def _take(self, rank: int) -> Any:
        """What a rank says next; failures that are known here already are passed over."""
        while True:
            self._wait(lambda: bool(self._inbox[rank]), lambda: self._look_for_failures(rank))
            said = self._inbox[rank].popleft()
            if not isinstance(said, _Failure):
                return said
            self._learn(said)

    def _wait(self, done: Callable[[], bool], look: Callable[[], None]) -> None:
        looks = 0
        while True:
            self._listen()
            if done():
                return
            look()
            if self._cancelled():
                raise fail("cancelled", "The run was cancelled.")
            time.sleep(QUICK if looks < QUICK_LOOKS else SLOW)
            looks += 1

    def _listen(self) -> None:
        """Take in what has arrived, and let go of what has left."""
        self._all_sent()
        status = self._mpi.Status()
        while (message := self._objects.Improbe(self._mpi.ANY_SOURCE, self._mpi.ANY_TAG, status)) is not None:
            piece = bytearray(status.Get_count(self._mpi.BYTE))
            source, tag = status.Get_source(), status.Get_tag()
            message.Recv([piece, self._mpi.BYTE])
            whole = self._pieces.pop(source, bytearray()) + piece
            if tag == _MORE:
                self._pieces[source] = whole
            else:
                self._inbox[source].append(pickle.loads(whole))

    def _all_sent(self) -> bool:
        self._under_way = [(request, piece) for request, piece in self._under_way if not request.Test()]
        return not self._under_way

    # ----- failures

    def _look_for_failures(self, waited_for: int | None = None) -> None:
        """Raise what another rank has raised alone; of the one that is waited for, only once its turn has come."""
        self._raise_apart()
        for rank, said in self._inbox.items():
            for each in said if rank != waited_for else ():
                if isinstance(each, _Failure):
                    self._learn(each)

    def _learn(self, failure: _Failure) -> None:
        if failure.call not in self._failed:
            self._apart = self._apart or failure.diagnostics
            if not self.rank:  # whoever waits for the rank that has failed waits in vain
                self._send_all(failure)
            self._raise_apart()

    def _raise_apart(self) -> None:
        if self._apart is not None:
            raise FluidError(*self._apart)


@dataclass(frozen=True)
class _Raised:
    """What a question raised on the first rank."""

    diagnostics: tuple[Diagnostic, ...]


def _in_pieces(raw: np.ndarray[Any, np.dtype[np.uint8]]) -> list[np.ndarray[Any, np.dtype[np.uint8]]]:
    return [raw[begin : begin + PIECE] for begin in range(0, len(raw), PIECE)]


def _marked(pieces: Sequence[T]) -> Iterator[tuple[T, bool]]:
    """Each, and whether it is the last one."""
    for number, piece in enumerate(pieces, 1):
        yield piece, number == len(pieces)


def _mpi() -> Any:
    """The module mpi4py.MPI; importing it starts MPI. Raises FluidError `no-mpi`."""
    hint = "pip install mpi4py, and an MPI library: on Debian apt install openmpi-bin."
    try:
        from mpi4py import MPI
    except ImportError as error:
        raise fail("no-mpi", "A run in several processes needs mpi4py, which is not installed.", hint) from error
    except RuntimeError as error:
        raise fail("no-mpi", f"mpi4py finds no MPI library: {str(error).splitlines()[0]}.", hint) from error
    return MPI
