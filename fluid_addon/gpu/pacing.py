# SPDX-License-Identifier: GPL-3.0-or-later
"""How recordings are cut so that no submission keeps a device for long: a desktop's watchdog resets it after 2 s.

How long a kernel takes is found out when a recording with large dispatches, or very many, runs for the first time: each
command by itself, a dispatch in pieces that grow as long as they are quick. From then on what would take too long is
cut, and what is cut is spread over several submissions; what is quick stays one command buffer. Workgroups do not know
of each other, so pieces give the same bits as the whole. What is cut is timed a second time, and the shorter time
counts: the first one may be that of another program which had the device for a moment.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace

from .kernel import Kernel
from .recording import Command, Copy, CopyRegions, Dispatch, Recording

__all__ = ["TOO_LONG_SECONDS", "is_paced", "is_sure", "run_growing", "submissions"]

#: What a piece of a dispatch, and a submission, may take.
PIECE_SECONDS = 0.25
SUBMISSION_SECONDS = 0.5
#: A submission that is seen to take longer has its recording timed anew: values have changed what its kernels do.
TOO_LONG_SECONDS = 1.0

LARGE = 1 << 16  # invocations of a dispatch from which on its kernel is timed before it runs in one piece
MANY = 64 * LARGE  # invocations of a recording from which on kernels of small dispatches are timed as well
FIRST = 1 << 13  # invocations of the first piece, which may be slow for being the first: drivers compile then
GROWTH = 8
SURE_SECONDS = 0.02  # pieces that take less say little: the way to the device and back is a part of it
COPIED_BYTES_PER_SECOND = 4e9  # over a slow bus


def _piece(dispatch: Dispatch, first: int, most: int) -> Dispatch:
    """A box of workgroups from number `first` on, x fastest: `most` at most, but one at least.

    A kernel that asks how many workgroups there are along the faster axes gets them whole: it is cut between the layers
    of its slowest axis with more than one workgroup.
    """
    x, y, z = dispatch.groups
    row, layer = x, x * y
    together = (layer if z > 1 else row if y > 1 else 1) if dispatch.kernel.counts_groups else 1
    most = max(most, together)
    place = (first % x, first // row % y, first // layer)
    if place[:2] == (0, 0) and most >= layer:
        groups = (x, y, min(most // layer, z - place[2]))
    elif place[0] == 0 and most >= row:
        groups = (x, min(most // row, y - place[1]), 1)
    else:
        groups = (min(most, x - place[0]), 1, 1)
    base = dispatch.base
    return replace(dispatch, base=(base[0] + place[0], base[1] + place[1], base[2] + place[2]), groups=groups)


def _invocations(dispatch: Dispatch) -> int:
    return math.prod(dispatch.groups) * math.prod(dispatch.kernel.workgroup)


def _is_large(dispatch: Dispatch) -> bool:
    return _invocations(dispatch) >= LARGE


def _decisive(recording: Recording) -> set[Kernel]:
    """The kernels whose time decides how a recording is cut."""
    dispatches = [command for command in recording if isinstance(command, Dispatch)]
    together: Counter[Kernel] = Counter()
    for dispatch in dispatches:
        together[dispatch.kernel] += _invocations(dispatch)
    if together.total() >= MANY:
        return {kernel for kernel, invocations in together.items() if invocations >= LARGE}
    return {dispatch.kernel for dispatch in dispatches if _is_large(dispatch)}


def is_paced(recording: Recording) -> bool:
    """Whether it is known how long a recording takes, as far as it may take long."""
    return all(kernel.seconds_per_group is not None for kernel in _decisive(recording))


def is_sure(recording: Recording) -> bool:
    """Whether no slow moment of the device stands for what a recording takes."""
    return all(kernel.sure for kernel in _decisive(recording))


def run_growing(dispatch: Dispatch, timed: Callable[[Dispatch], float], warm: bool) -> float | None:
    """Run a dispatch in pieces. What a workgroup of it takes at most; None where that was not seen.

    Args:
        timed: runs a piece to its end; seconds.
        warm: the kernel ran before, so that its first piece tells of it as well.
    """
    whole = math.prod(dispatch.groups)
    size = max(1, FIRST * whole // _invocations(dispatch)) if _is_large(dispatch) else whole
    times: list[tuple[int, float]] = []
    done = 0
    while done < whole:
        piece = _piece(dispatch, done, size)
        count = math.prod(piece.groups)
        seconds = timed(piece)
        bearable = int(count * PIECE_SECONDS / (2 * max(seconds, 1e-9)))  # half: the next ones may be slower
        if done or warm:
            times.append((count, seconds))
        else:
            bearable = max(bearable, count)
        size = max(1, min(bearable, GROWTH * count))
        done += count
    if not times:
        return None
    slow = [seconds / groups for groups, seconds in times if seconds >= SURE_SECONDS]
    mean = sum(seconds for _, seconds in times) / sum(groups for groups, _ in times)
    return max([mean, *slow])


def _seconds(command: Command) -> float:
    """What a command is expected to take."""
    match command:
        case Dispatch():
            return (command.kernel.seconds_per_group or 0.0) * math.prod(command.groups)
        case Copy():
            return command.size / COPIED_BYTES_PER_SECOND
        case CopyRegions():
            return float(command.regions[:, 2].sum()) / COPIED_BYTES_PER_SECOND
    return 0.0


def _pieces(command: Command) -> Iterable[Command]:
    count = math.ceil(_seconds(command) / PIECE_SECONDS)
    if count <= 1 or not isinstance(command, Dispatch | Copy):
        return [command]
    if isinstance(command, Dispatch):
        return _boxes(command, math.prod(command.groups) // count)
    ends = [8 * end for end in _ends(command.size // 8, count)]
    ends[-1] = command.size
    return [_bytes(command, first, end - first) for first, end in zip([0, *ends], ends, strict=False)]


def _boxes(dispatch: Dispatch, most: int) -> Iterable[Dispatch]:
    """A dispatch in boxes of so many workgroups at most, as far as its kernel allows."""
    done = 0
    while done < math.prod(dispatch.groups):
        piece = _piece(dispatch, done, most)
        yield piece
        done += math.prod(piece.groups)


def _ends(length: int, count: int) -> list[int]:
    """Where so many nearly equal pieces end, at most one for each unit of the length."""
    count = min(length, count)
    return [length * (number + 1) // count for number in range(count)]


def _bytes(copy: Copy, first: int, size: int) -> Copy:
    return replace(copy, size=size, source_offset=copy.source_offset + first, target_offset=copy.target_offset + first)


def submissions(recording: Recording) -> list[list[Command]]:
    """The commands of a recording in pieces, by the submissions that they go into: one, where it is quick."""
    found: list[list[Command]] = [[]]
    filled = 0.0
    for command in recording:
        for piece in _pieces(command):
            seconds = _seconds(piece)
            if filled and filled + seconds > SUBMISSION_SECONDS:
                found.append([])
                filled = 0.0
            found[-1].append(piece)
            filled += seconds
    return found
