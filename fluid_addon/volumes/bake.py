# SPDX-License-Identifier: GPL-3.0-or-later
"""The folder of one run's frames.

Every run gets a folder of its own, `<cache>/<name>-<token>/`, because Blender remembers a VDB file by its path until it
quits. `manifest.json` in it (see the module `manifest` for what it says) is replaced as a whole after each finished
frame; readers trust nothing else. Nothing is ever deleted that it does not name, but what a killed writer had begun.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .. import VERSION as CREATOR_VERSION
from ..diagnostics import FluidError, fail
from .announcement import announce, remove_unlisted, withdraw
from .atomic import disk_point, disk_problem, flush_folder, free_space, remove_stale_parts, write_bytes_atomically
from .bake_lock import LOCK, BakeLock
from .checkpoint import CHECKPOINT, CheckpointSummary, CheckpointWriter, listed_checkpoints, write_checkpoint
from .export_path import MANIFEST, checked_export_path, inside, timeline_frame
from .frame_list import FrameList, damage, size_and_crc32
from .links import link_or_copy
from .manifest import FORMAT, VERSION, BakedFrame, Measured, read_manifest
from .sequences import BakedSequence, sequences

__all__ = ["Bake", "BakedFrame", "BakedSequence", "Measured", "damage", "timeline_frame"]

_TRIES = 16


class Bake:
    """One bake folder. Several threads may add frames, each its own, while others look at them.

    Whoever writes holds the bake's lock: from `create` or `claim`, or from the first path or frame on, to `release` or
    the end of the process. Readers need none.
    """

    def __init__(self, folder: Path, head: dict[str, Any], frames: list[BakedFrame]) -> None:
        self.folder = folder
        self._head = head
        self._list = FrameList(frames)
        self._announced: dict[str, tuple[os.stat_result, tuple[int, int]]] = {}  # files, and what is in them
        self._last_size = frames[-1].size if frames else 0
        self._owned: BakeLock | None = None
        self._saving = threading.Lock()

    @classmethod
    def create(
        cls,
        cache: Path,
        name: str,
        *,
        script_hash: str,
        device: str,
        parameters: Mapping[str, Any] | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> Bake:
        """Make a new folder in `cache` (made too, if need be). `parameters` and `details` must fit into JSON.

        Raises disk-full and disk-error.
        """
        head = {
            "format": FORMAT,
            "version": VERSION,
            "name": name,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "creator": f"Fluid Script {CREATOR_VERSION}",
            "script_hash": script_hash,
            "device": device,
            "parameters": dict(parameters or {}),
            "details": dict(details or {}),
        }
        bake = cls(_new_folder(cache.absolute(), name), head, [])
        try:
            bake._owned = _locked(bake.folder)
            bake._save()
        except BaseException:
            bake.release()
            with contextlib.suppress(OSError):
                bake.folder.rmdir()
            raise
        return bake

    @classmethod
    def open(cls, folder: Path) -> Bake:
        """The bake in a folder. Raises bake-missing where there is none, bake-corrupt where its manifest is no good."""
        return cls(folder.resolve() if folder.is_symlink() else folder.absolute(), *read_manifest(folder))

    @classmethod
    def open_to_go_on(cls, folder: Path) -> Bake:
        """The bake in a folder, to add to it. Raises as `open`, and as `claim`."""
        early = cls.open(folder)
        early.claim()
        bake = cls.open(early.folder)  # now that nobody else writes it
        bake._owned, early._owned = early._owned, None
        bake._head.pop("finished", None)
        if bake._owned is not None and bake._owned.certain:
            with contextlib.suppress(OSError):
                remove_unlisted(bake.folder, bake.frame)
        return bake

    def claim(self) -> None:
        """Take the bake for writing, and remove the part files that a killed writer has left.

        Raises bake-locked where another process, or another `Bake`, writes it; disk-full and disk-error.
        """
        if self._owned is None:
            self._owned = _locked(self.folder)
            if self._owned.certain:
                remove_stale_parts(self.folder)

    def release(self) -> None:
        """Let others write the bake. Call it when the last file is written."""
        if self._owned is not None:
            self._owned.release()
            self._owned = None

    @property
    def name(self) -> str:
        return str(self._head["name"])

    @property
    def head(self) -> dict[str, Any]:
        """Everything in the manifest but the frames."""
        return dict(self._head)

    @property
    def frames(self) -> list[BakedFrame]:
        """The finished files, in the order in which they were first exported."""
        return self._list.all()

    def frame(self, relative: str) -> BakedFrame | None:
        """The finished file of that path; None where there is none."""
        return self._list.get(relative)

    def frame_path(self, relative: str) -> Path:
        """Where an export that the script calls `relative` goes; its folders are made.

        Raises export-path for every path that leaves the bake's folder, that some system cannot store, that leads over
        a link, or that differs from an earlier one in upper and lower case only; disk-full where the disk has no room
        for two files like the last one; bake-locked and disk-error.
        """
        parts = checked_export_path(relative)
        self.claim()
        taken = self._list.spelled(relative)
        if taken != relative:
            raise fail(
                "export-path",
                f'The export path "{relative}" differs from "{taken}" in upper and lower case only.',
                "Some systems take them for one file: spell it the same way each time.",
            )
        path, needed = self.folder.joinpath(*parts), 2 * self._last_size
        try:
            if (free := free_space(self.folder)) is not None and free < needed:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return inside(self.folder, parts, make_folders=True)
        except OSError as error:
            raise disk_problem(path, error, needed or None) from error

    def announcing(self, relative: str) -> Callable[[Path], None]:
        """For `atomic_write` of the file at `frame_path(relative)`: says what is about to be there.

        So the bake fits whatever happens until `add_frame`: an entry of that path names both contents meanwhile, and a
        new file that its writer did not live to put on the list is known for ours.
        """

        def tell(part: Path) -> None:
            size, crc32 = coming = size_and_crc32(part)
            self._announced[relative] = part.stat(), coming
            there = self._list.get(relative)
            if there is None:
                announce(self.folder, relative, coming)
                return
            with contextlib.suppress(FileNotFoundError):
                if there.following and size_and_crc32(self.folder / relative) == there.following:
                    size, crc32 = there.following  # an earlier attempt came this far
                    there = replace(there, size=size, crc32=crc32)
            self._record(replace(there, following=coming))

        return tell

    def add_frame(
        self, relative: str, *, time: float, grids: Mapping[str, str], measured: Measured | None = None
    ) -> BakedFrame:
        """Record the file that was written at `frame_path(relative)` and save the manifest.

        A later file of the same path takes the place of the earlier one. Raises disk-full and disk-error: then either
        the list is as it was, and a file that it does not name is gone, or it names the file, and only whether that
        would outlast a loss of power is not known.
        """
        self.claim()
        path = inside(self.folder, checked_export_path(relative))
        try:
            size, crc32 = self._contents(relative, path)
            frame = BakedFrame(relative, timeline_frame(relative), float(time), size, crc32, dict(grids), measured)
            self._record(frame)
        except (OSError, FluidError) as error:
            if self._list.get(relative) is None:  # a file that nobody names would stay for ever
                with contextlib.suppress(OSError):
                    path.unlink()
            if isinstance(error, OSError):
                raise disk_problem(path, error) from error
            raise
        with contextlib.suppress(OSError):  # it means nothing now
            withdraw(self.folder, relative)
        self._last_size = size
        return frame

    def _contents(self, relative: str, path: Path) -> tuple[int, int]:
        """Size and checksum of a file, which is not read again where it is the part that was announced."""
        part, contents = self._announced.pop(relative, (None, (0, 0)))
        found = path.stat()
        if part is None or not os.path.samestat(part, found):
            return size_and_crc32(path)
        unchanged = (part.st_size, part.st_mtime_ns) == (found.st_size, found.st_mtime_ns)
        return contents if unchanged else size_and_crc32(path)

    # ----- checkpoints

    @property
    def checkpoints(self) -> list[CheckpointSummary]:
        """What a run could go on from, oldest first."""
        return listed_checkpoints(self.folder, self._head)

    def add_checkpoint(self, frame: int, write: Callable[[CheckpointWriter], None], keep: int) -> CheckpointSummary:
        """Keep a checkpoint of a frame, and of the earlier ones the newest `keep` - 1.

        Raises disk-full and disk-error, and what `write` raises; the earlier ones are still there then.
        """
        earlier = self.checkpoints
        path = self.folder / f"frame_{frame:06d}-{secrets.token_hex(4)}{CHECKPOINT}"

        def announce(part: Path) -> None:  # a file that is not on the list is never deleted
            self._list_checkpoints([*earlier, CheckpointSummary(path.name, frame, part.stat().st_size)])

        with write_checkpoint(path, announce) as writer:
            write(writer)
        self._keep_checkpoints(self.checkpoints[-keep:])
        return CheckpointSummary(path.name, frame, path.stat().st_size)

    def finish(self) -> None:
        """The run has come to its end: there is nothing to go on with. Raises disk-full and disk-error."""
        self._head = {**self._head, "finished": True}
        self._keep_checkpoints([])

    def _keep_checkpoints(self, staying: list[CheckpointSummary]) -> None:
        """Delete the others, and list these; what cannot be deleted stays on the list."""
        for found in self.checkpoints:
            if found not in staying:
                with contextlib.suppress(OSError, FluidError):
                    inside(self.folder, checked_export_path(found.path)).unlink(missing_ok=True)
        self._list_checkpoints(self.checkpoints)

    def _list_checkpoints(self, found: list[CheckpointSummary]) -> None:
        self._head = {**self._head, "checkpoints": [asdict(each) for each in found]}
        self._save()

    def copy_to(
        self, cache: Path, staying: Collection[str], head: Mapping[str, Any], checkpoint: CheckpointSummary
    ) -> Bake:
        """A new bake with some of the files of this one and a checkpoint, as links where the file system has them.

        Args:
            head: what is another in it: "script_hash", "parameters" and so on.

        Raises disk-full and disk-error; nothing is left of it then.
        """
        frames = [frame for frame in self.frames if frame.path in staying]
        now = datetime.now(UTC).isoformat(timespec="seconds")
        whole = {**self._head, **head, "created": now, "checkpoints": [asdict(checkpoint)], "finished": False}
        # Until it is whole it is older than all others: whatever ends this, no run goes on in it, and it can be freed.
        made = Bake(_new_folder(cache.absolute(), self.name), {**whole, "created": ""}, frames)
        try:
            made.claim()
            made._save()
            targets = [*(made.frame_path(frame.path) for frame in frames), made.folder / checkpoint.path]
            sources = [*(frame.path for frame in frames), checkpoint.path]
            link_or_copy((inside(self.folder, checked_export_path(path)) for path in sources), targets)
            made._head = whole
            made._save()
        except BaseException:
            with contextlib.suppress(FluidError, OSError):
                made.free()
            raise
        return made

    # ----- what there is

    def sequences(self) -> list[BakedSequence]:
        """The files grouped by what Blender can show as one animated volume."""
        return sequences(self.frames)

    def damaged(self, checksums: bool = False) -> list[tuple[BakedFrame, str]]:
        """Frames whose file is missing or has another size (or another checksum, if asked for), and what is wrong."""
        looked_at = ((frame, damage(self.folder, frame, checksums)) for frame in self.frames)
        return [(frame, why) for frame, why in looked_at if why is not None]

    def free(self) -> list[Path]:
        """Delete the files that the manifest names, the manifest, and the folders that are empty then.

        Part files that a killed writer has left go, too. Returns what is left of the bake's folder: files of others,
        which are never touched. Raises bake-locked while somebody writes the bake, export-path where a link has taken
        its folder's place, and disk-error; it can be called again then.
        """
        if self._owned is None:
            with contextlib.suppress(OSError):  # a disk that is full or read-only takes no lock either
                self._owned = BakeLock(self.folder)
        try:
            return self._free()
        finally:
            self.release()

    def _free(self) -> list[Path]:
        manifest = inside(self.folder, (MANIFEST,))
        folders: set[Path] = set()
        for frame in self.frames:
            try:
                path = inside(self.folder, checked_export_path(frame.path))
                disk_point("disk.delete", path)
                path.unlink(missing_ok=True)
            except FluidError:  # a link has come in the way: what lies behind it is not ours
                continue
            except OSError as error:
                raise disk_problem(self.folder / frame.path, error) from error
            folders.update(folder for folder in path.parents if folder.is_relative_to(self.folder))
        try:
            for path in remove_unlisted(self.folder, self.frame):
                folders.update(folder for folder in path.parents if folder.is_relative_to(self.folder))
            for checkpoint in self.checkpoints:
                inside(self.folder, checked_export_path(checkpoint.path)).unlink(missing_ok=True)
            disk_point("disk.delete", manifest)
            manifest.unlink(missing_ok=True)
            if self._owned is not None and self._owned.certain:
                remove_stale_parts(self.folder)
            self.release()
            for folder in sorted({*folders, self.folder}, key=lambda path: len(path.parts), reverse=True):
                if folder.is_dir() and not any(folder.iterdir()):
                    folder.rmdir()
            return sorted(self.folder.rglob("*")) if self.folder.is_dir() else []
        except OSError as error:
            raise disk_problem(self.folder, error) from error

    def _record(self, frame: BakedFrame) -> None:
        """Put a file on the list, in the place of an earlier one of its path, or leave the list as it was."""
        earlier = self._list.get(frame.path)
        self._list.put(frame.path, frame)
        try:
            self._save()
        except FluidError:
            if not self._is_saved():
                self._list.put(frame.path, earlier)
            raise

    def _save(self) -> None:
        with self._saving:  # the one thread adds frames, another one checkpoints: the later list is the one that stays
            write_bytes_atomically(inside(self.folder, (MANIFEST,)), self._list.text(self._head))

    def _is_saved(self) -> bool:
        """Whether the manifest on the disk says what this bake says, for all that its writing failed at the end."""
        try:
            return (self.folder / MANIFEST).read_bytes() == self._list.text(self._head)
        except OSError:
            return False


def _locked(folder: Path) -> BakeLock:
    inside(folder, (MANIFEST,))  # no link has taken the folder's place
    try:
        return BakeLock(folder)
    except OSError as error:
        raise disk_problem(folder / LOCK, error) from error


def _new_folder(cache: Path, name: str) -> Path:
    slug = re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-")[:48] or "bake"
    for _ in range(_TRIES):
        folder = cache / f"{slug}-{secrets.token_hex(4)}"
        try:
            disk_point("disk.make", folder)
            folder.mkdir(parents=True)
            with contextlib.suppress(OSError):  # then it lasts a little later
                flush_folder(folder.parent)
        except FileExistsError:
            continue
        except OSError as error:
            raise disk_problem(folder, error) from error
        return folder
    raise fail("disk-error", f'No new folder can be made in "{cache}".', "Choose another cache folder.")
