# SPDX-License-Identifier: GPL-3.0-or-later
"""The checkpoints of one run: when one is made, what it says, and how a run goes on from one."""

from __future__ import annotations

import hashlib
import itertools
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import VERSION
from ..diagnostics import FluidError, fail
from ..engine import FluidEngine
from ..engine.journal import Journal, mismatch
from ..volumes.bake import Bake, damage
from ..volumes.cache import bakes_in
from ..volumes.checkpoint import (
    CheckpointFile,
    CheckpointSummary,
    CheckpointWriter,
    corrupt,
    latest_checkpoint,
    open_checkpoint,
)
from ..volumes.grid_file import file_text
from .request import RunRequest

__all__ = ["Checkpoints", "Resumption", "bake_to_resume", "digest"]

#: Checkpoints that are kept: should the newest be damaged, the one before is not.
KEPT = 2
#: A checkpoint waits for this many times as long as the last one took: 5 % of the time at most goes into them.
SHARE = 20
_JOURNAL = "journal"
#: Frames before a checkpoint whose checksums are looked at; a crash damages what was written last.
LOOKED_AT = 3


def digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def bake_to_resume(output: Path, name: str) -> Path:
    """The newest bake of a script in a folder, if a run can go on in it. Raises FluidError checkpoint-missing.

    A bake without a frame, of a run that failed at once, does not count: the one before it is the newest.
    """
    shown = file_text(name.encode("utf-8", "replace"))  # as a manifest is read
    for bake in reversed([bake for bake in bakes_in(output) if bake.name == shown and not bake.problem]):
        if latest_checkpoint(bake.folder) is not None:
            return bake.folder
        if bake.frames:
            why = "is finished" if Bake.open(bake.folder).head.get("finished") else "has no checkpoint"
            raise fail("checkpoint-missing", f'The last bake of "{name}", "{bake.folder}", {why}.', _WITHOUT)
    raise fail("checkpoint-missing", f'There is no bake of "{name}" in "{output}" to go on with.', _WITHOUT)


_WITHOUT = "Run it without --resume; the first checkpoint of a run comes after half a minute."


@dataclass(frozen=True)
class Resumption:
    """What a run goes on from.

    Attributes:
        files: paths of the exports up to there.
        run: what the checkpoint says of the run.
        path: of its file.
    """

    summary: CheckpointSummary
    path: Path
    files: tuple[str, ...]
    run: dict[str, Any]


def choose(bake: Bake, last_frame: int | None, note: Callable[[str], None]) -> Resumption:
    """The newest checkpoint that is whole, and whose files are.

    Args:
        last_frame: later checkpoints do not count.
        note: told why a newer one is passed over.

    Raises:
        FluidError: checkpoint-missing.
    """
    listed = [found for found in bake.checkpoints if last_frame is None or found.frame <= last_frame]
    for summary in reversed(listed):
        path = bake.folder / summary.path
        try:
            with open_checkpoint(path) as found:
                files = _files(found)
                wrong = _wrong_file(bake, files)
                if wrong is None:
                    found.check_bytes()
                    return Resumption(summary, path, tuple(path for path, _, _ in files), found.run)
                note(f"The checkpoint of frame {summary.frame} is passed over: {wrong}.")
        except FluidError as error:
            note(f"The checkpoint of frame {summary.frame} is passed over: {error}")
    why = "has no checkpoint that can be used" if bake.checkpoints else "has no checkpoint"
    raise fail("checkpoint-missing", f'The bake "{bake.folder.name}" {why}.', _WITHOUT)


def _files(found: CheckpointFile) -> list[tuple[str, int, int]]:
    run = found.run
    kinds = {"files": list, "journal": list, "engines": list, "sources": dict, "device": str}
    missing = [f'"{key}"' for key, kind in kinds.items() if not isinstance(run.get(key), kind)]
    try:
        files = [(str(path), int(size), int(crc32)) for path, size, crc32 in ([] if missing else run["files"])]
    except (TypeError, ValueError):
        missing = ['"files"']
    if missing:
        raise corrupt(found.path, f"it says nothing sensible of {', '.join(missing)}")
    return files


def _wrong_file(bake: Bake, files: Sequence[tuple[str, int, int]]) -> str | None:
    """What is wrong with the first file that is not as the checkpoint knows it."""
    by_path = {frame.path: frame for frame in bake.frames}
    for number, (path, size, crc32) in enumerate(files):
        frame = by_path.get(path)
        if frame is None or (frame.size, frame.crc32) != (size, crc32):
            return f'"{path}" is no longer in the bake as it was'
        why = damage(bake.folder, frame, checksum=number >= len(files) - LOOKED_AT)
        if why is not None:
            return f'"{path}" {why}'
    return None


class Checkpoints:
    """Makes the checkpoints of a run, and lets it go on from one.

    Args:
        script: the text that runs.
        sources: the texts of the modules that it has loaded so far, by name.
        arrived: told once, where everything up to the checkpoint has matched: what the run goes on from, and whether
            that is with changes.
        open_bake: the run's bake, made if need be, for a device.
        note: told what could not be done.
        emit: told of each checkpoint: (frame, bytes).
    """

    def __init__(
        self,
        request: RunRequest,
        journal: Journal,
        engines: Sequence[FluidEngine],
        *,
        script: Callable[[], str],
        sources: Callable[[], Mapping[str, str]],
        arrived: Callable[[Resumption, bool], None],
        open_bake: Callable[[], Bake],
        note: Callable[[str], None],
        emit: Callable[[int, int], None],
    ) -> None:
        self._request, self._journal, self._engines = request, journal, engines
        self._script, self._sources = script, sources
        self._arrived, self._open_bake, self._note, self._emit = arrived, open_bake, note, emit
        self._last, self._pause = time.monotonic(), request.checkpoint_seconds
        self._saved_at = 0  # calls in the journal
        self._gave_up = False
        self._resumption: Resumption | None = None
        self._changes: dict[str, str] = {}  # accepted ones in words, by what has changed
        journal.arrived = self._arrive
        journal.changed = self._accept

    # ----- going on

    def resume(self, bake: Bake) -> Resumption:
        """Prepare to go on from a bake: the script is answered by the journal of its run, up to the checkpoint.

        Raises:
            FluidError: checkpoint-missing, checkpoint-mismatch, checkpoint-corrupt.
        """
        chosen = choose(bake, self._request.last_frame, self._note)
        self._accept(*self._differences(chosen.run))
        try:
            with open_checkpoint(chosen.path) as found:
                self._journal.replay(_parted(found.array(_JOURNAL), chosen.run["journal"]))
        except (TypeError, ValueError) as error:
            raise corrupt(chosen.path, f"its journal cannot be read ({error})") from error
        if not self._journal.is_replaying:
            raise corrupt(chosen.path, "its journal is empty")
        self._resumption = chosen
        return chosen

    def _accept(self, *changes: str) -> None:
        """Take changes in, or refuse them all. An object is told of once, with its first frame."""
        if changes and not self._request.accept_changes:
            raise mismatch(changes)
        for change in changes:
            self._changes.setdefault(change.partition(" in frame ")[0], change)

    def _own(self) -> dict[str, Any]:
        """What a run has to have in common with the one that it goes on with."""
        parameters = json.loads(json.dumps(self._request.parameters))
        return {"script": digest(self._script()), "parameters": parameters, "version": VERSION}

    def _differences(self, run: Mapping[str, Any]) -> list[str]:
        own, found = self._own(), []
        if run.get("script") != own["script"]:
            found.append("the script was changed")
        before, now = run.get("parameters"), own["parameters"]
        before = before if isinstance(before, dict) else {}
        for name in sorted(before.keys() | now.keys()):
            if before.get(name) != now.get(name):
                is_now, was = _shown(now.get(name)), _shown(before.get(name))
                found.append(
                    f'"{name}" is animated otherwise' if is_now == was else f'"{name}" is {is_now}, and it was {was}'
                )
        if run.get("version") != own["version"]:
            found.append(f"Fluid Script is {own['version']}, and it was {run.get('version')}")
        return found

    def _arrive(self) -> None:
        """The script has come to where the checkpoint was made."""
        chosen = self._resumption
        assert chosen is not None, "or nothing would be replayed"
        before, now = chosen.run["sources"], self._texts()
        changed = sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))
        self._accept(*(f'the module "{name}" was changed' for name in changed))
        with open_checkpoint(chosen.path) as found:
            try:
                for number, (engine, state) in enumerate(zip(self._engines, chosen.run["engines"], strict=True)):
                    engine.restore_state(state, f"{number}/", found)
            except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
                raise corrupt(chosen.path, f"its engines are not described as they should be ({error})") from error
        device = self._engines[0].device if self._engines else ""
        if device != chosen.run["device"]:
            self._note(f'The run goes on on "{device}"; it began on "{chosen.run["device"]}", which rounds otherwise.')
        if self._changes:
            changes = "; ".join(self._changes.values())
            self._note(f"The run goes on from frame {chosen.summary.frame} with changes, in a new bake: {changes}.")
        self._arrived(chosen, bool(self._changes))
        self._last = time.monotonic()
        self._saved_at = self._journal.count

    def _texts(self) -> dict[str, str]:
        return {name: digest(text) for name, text in self._sources().items()}

    # ----- making them

    def after_frame(self, frame: int) -> None:
        """Make a checkpoint where it is time for one, and of the run's last frame: a longer run can go on from there.

        A disk that cannot take it is a note.

        Raises:
            FluidError: of what was under way: `not-a-number`, `cancelled`, `device-lost`.
        """
        due = time.monotonic() - self._last >= self._pause or frame == self._request.last_frame
        if not due or not self._request.checkpoint_seconds or self._journal.count == self._saved_at:
            return
        if not self._journal.is_full:
            self._save(frame)
        elif not self._gave_up:
            self._gave_up = True
            self._note(f"From frame {frame} on no checkpoint is made: the script has asked its engines too often.")

    def _save(self, frame: int) -> None:
        begun = time.monotonic()
        try:
            made = self._open_bake().add_checkpoint(frame, lambda writer: self._write(writer, frame), KEPT)
            self._emit(made.frame, made.size)
            self._saved_at = self._journal.count
        except FluidError as error:
            if error.code not in ("disk-full", "disk-error"):
                raise
            self._note(f"No checkpoint of frame {frame} was made, and the run goes on without it: {error}")
        self._last = time.monotonic()
        cost = self._last - begun
        self._pause = max(self._request.checkpoint_seconds, min(SHARE * cost, SHARE * self._request.checkpoint_seconds))

    def _write(self, writer: CheckpointWriter, frame: int) -> None:
        packed = self._journal.packed()
        writer.put(_JOURNAL, np.frombuffer(b"".join(packed), np.uint8))
        states = [engine.save_state(f"{number}/", writer) for number, engine in enumerate(self._engines)]
        files = [[found.path, found.size, found.crc32] for found in self._open_bake().frames]
        run = {
            **self._own(),
            "frame": frame,
            "device": self._engines[0].device,
            "sources": self._texts(),
            "files": files,
            "engines": states,
            "journal": [len(some) for some in packed],
        }
        writer.finish(run)


def _parted(joined: npt.NDArray[np.uint8], lengths: Sequence[int]) -> list[bytes]:
    """Pieces of these lengths. Raises ValueError where they are not those of the whole."""
    if not all(isinstance(length, int) and length > 0 for length in lengths) or sum(lengths) != joined.size:
        raise ValueError("its pieces are not those of the whole")
    content, starts = joined.tobytes(), [0, *itertools.accumulate(lengths)]
    return [content[first:last] for first, last in itertools.pairwise(starts)]


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return "animated"
    return "the script's default" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
