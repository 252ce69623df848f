# SPDX-License-Identifier: GPL-3.0-or-later
"""What a script exports into its bake: which fields, which frames, and the exporter that the first export opens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ..diagnostics import fail
from ..volumes.bake import Bake
from ..volumes.export_path import checked_export_path, inside, same_file_key, timeline_frame
from .environment import EngineEnvironment
from .export import Exporter
from .export_choice import exportable
from .field import Field
from .frame_file import ExportRequest
from .journal import EngineJournal
from .simulation import Simulation

__all__ = ["BakeExports"]


class BakeExports:
    """The exports of one engine.

    Args:
        simulation: None in a check, where a request is looked at and nothing is written.
        journal: while it answers, the bake has what is exported.
    """

    def __init__(self, simulation: Simulation | None, environment: EngineEnvironment, journal: EngineJournal) -> None:
        self._simulation, self._environment, self._journal = simulation, environment, journal
        self._exporter: Exporter | None = None
        self._bake: Bake | None = None

    def request(
        self, path: str, fields: dict[str, Field], names: Sequence[str] | None, half: bool, frame: int, time: float
    ) -> ExportRequest | None:
        """What is to be written, or None where the run leaves it out.

        Args:
            path: its ending is the format.
            fields: the engine's; `names` of them, or None for all that VDB can hold.
            frame, time: the engine's own; a number at the end of the file's name counts before `frame`.

        Raises:
            FluidError: `export-path`, `unknown-field`, `export-field`.
        """
        chosen = exportable(fields, names)
        checked_export_path(path)
        number = timeline_frame(path)
        number = frame if number is None else number
        first, last = self._environment.first_frame, self._environment.last_frame
        outside = (first is not None and number < first) or (last is not None and number > last)
        exported, key = self._environment.exported, same_file_key(path)
        if self._simulation is None or outside:
            exported[key] = lambda: self._left_out(path, number)
            return None
        if self._environment.open_bake is None:
            raise fail("export-path", "This engine has no bake folder to export into.")
        exported[key] = lambda: self._on_disk(path)
        if self._journal.is_replaying:
            self._keep(path)
            return None
        return ExportRequest(path, tuple(chosen), half, number, time, self._environment.place())

    def write(self, request: ExportRequest) -> None:
        """Queue a frame of the fields as they are now.

        Raises:
            FluidError: of an earlier frame that could not be written, or `domain-too-large`, `cancelled`.
        """
        simulation, environment = self._simulation, self._environment
        assert simulation is not None and environment.open_bake is not None, "or there was no request"
        simulation.realize()
        if self._exporter is None:
            if environment.carrier.rank == 0:
                self._open_bake()
            self._exporter = Exporter(simulation, self._bake, self._writing, self._written, environment.cancelled)
        self._exporter.export(request)

    def _open_bake(self) -> Bake:
        """The run's bake, asked for each time: a run that goes on with changes gets another one on its way."""
        assert self._simulation is not None and self._environment.open_bake is not None, "or nothing is exported"
        self._bake = self._environment.open_bake(self._simulation.device.info.name)
        return self._bake

    def _keep(self, path: str) -> None:
        """Take note of a file that the run which goes on here has exported."""
        if self._open_bake().frame(path) is not None:
            self._environment.observe("kept", {"path": path})
        else:
            self._environment.note(f'"{path}" was not exported by the run that goes on here, and is left out.')

    def _on_disk(self, path: str) -> Path:
        """Where an export lies, once it is written; on other ranks than the first its path alone."""
        assert self._simulation is not None, "it was requested of it"
        self.finish()
        self._simulation.check()  # a frame with NaN is not written
        checked = checked_export_path(path)
        return Path(path) if self._bake is None else inside(self._bake.folder, checked)

    def _left_out(self, path: str, frame: int) -> None:
        """What became of an export that the run leaves out: a check and the time after the last frame need none."""
        first = self._environment.first_frame
        if not self._environment.check and first is not None and frame < first:
            message = f'"{path}" was not exported, because the run keeps no frame before {first}.'
            raise fail("grid-file-missing", message, "Let the run begin earlier, or read a file of another run.")

    @contextmanager
    def _writing(self, request: ExportRequest) -> Iterator[None]:
        """Whoever listens knows that a disk may be slow now: OpenVDB holds Python still until it has everything."""
        self._environment.observe("writing", {"path": request.path})
        try:
            yield
        finally:
            self._environment.observe("writing", {"path": None})

    def _written(self, request: ExportRequest, size: int) -> None:
        self._environment.observe("export", {"path": request.path, "frame": request.frame, "bytes": size})

    def raise_pending(self) -> None:
        """Raise the error of a frame that could not be written."""
        if self._exporter is not None:
            self._exporter.raise_pending()

    def finish(self) -> None:
        """Wait until every queued frame is on disk. Raises the error of one that could not be written, `cancelled`."""
        if self._exporter is not None:
            self._exporter.finish()

    def close(self) -> None:
        """Drop what is not yet written."""
        if self._exporter is not None:
            self._exporter.close()
        self._exporter = self._simulation = None
