# SPDX-License-Identifier: GPL-3.0-or-later
"""One script from its text to its last frame, in the process that calls."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from ..diagnostics import FluidError, Kind, fail
from ..engine import EngineEnvironment, FluidEngine
from ..engine.journal import Journal
from ..gpu.disk_cache import default_cache_folder
from ..script.context import LuaContext
from ..script.parameters import Parameters
from ..script.sources import read_source, source_from_text
from ..volumes.bake import Bake
from ..volumes.scene_meshes import SceneMeshes
from .checkpoints import Checkpoints, Resumption, digest
from .events import Emit, Event, Progress, error_event
from .ranks import Leader
from .request import RunRequest
from .run_log import with_log

__all__ = ["check_script", "look_through", "run_check", "run_script", "tell_findings"]

#: A check looks at a script for this long; loops that wait for the simulation never end in it.
CHECK_SECONDS = 20.0


class _Session:
    """Wires a script, its engines and its bake together."""

    def __init__(self, request: RunRequest, emit: Emit, cancel: threading.Event, leader: Leader | None = None) -> None:
        self.request, self.emit, self.cancel, self.leader = request, emit, cancel, leader
        self.path = Path(request.script)
        self.bake: Bake | None = None
        self.frames = 0
        self.files: list[str] = []
        self.engines: list[FluidEngine] = []
        self.exported: dict[str, Callable[[], Path | None]] = {}
        self.parameters = Parameters(request.parameters, note=self.note if request.fit_parameters else None)
        self.exchange: dict[str, float] | None = None
        self.told: int | None = None  # parameters that listeners know of
        self.meshes = SceneMeshes(self.folder, request.objects, request.scene, request.capture)
        self.objects: list[str] = []  # that the script asks for
        self.progress = Progress(emit, request.last_frame)
        self.journal = Journal()
        self.checkpoints = Checkpoints(
            request,
            self.journal,
            self.engines,
            script=lambda: self.source,
            sources=lambda: self.context.modules,
            arrived=self.go_on,
            open_bake=lambda: self.open_bake(self.engines[0].device),
            note=self.note,
            emit=lambda frame, size: emit({"event": "checkpoint", "frame": frame, "bytes": size}),
        )
        self.context = LuaContext(
            parameters=self.parameters,
            log=self.log,
            note=self.note,
            find_object=self.find_object,
            cancel=cancel,
            seconds=request.lua_seconds,
            memory_mb=request.lua_memory_mb,
            texts=request.texts,
            root=self.folder,
        )
        self.context.bind_engine(self.make_engine)

    def log(self, text: str) -> None:
        if not text.startswith("Lua Script Error: "):  # the error event says it
            self.emit({"event": "log", "text": text})

    def environment(self) -> EngineEnvironment:
        return EngineEnvironment(
            folder=self.folder,
            open_bake=self.open_bake,
            parameters=self.parameters,
            note=self.note,
            observe=self.observe,
            place=self.context.place,
            objects=self.meshes.source,
            cancelled=self.cancel.is_set,
            cache=default_cache_folder(),
            device=self.request.device,
            gpu_count=self.request.gpu_count,
            first_frame=self.request.first_frame,
            last_frame=self.request.last_frame,
            exported=self.exported,
            journal=self.journal,
            careful=self.request.careful,
        )

    def make_engine(self, **options: Any) -> FluidEngine:
        make = FluidEngine if self.leader is None else self.leader.make_engine
        engine = make(**options, environment=self.environment())
        self.engines.append(engine)
        if len(self.engines) == 1:
            self.tell_domain()
        return engine

    def tell_domain(self) -> None:
        """Where the script's first domain lies, if anything can lie there."""
        if self.engines:
            low, high = self.engines[0].domain.world_box
            if all(map(math.isfinite, (*low, *high))):  # not with voxels of 1e308 units
                self.emit({"event": "domain", "box": [list(low), list(high)]})

    def open_bake(self, device: str) -> Bake:
        if self.bake is None:
            self.bake = Bake.create(
                Path(self.request.output), self.request.bake_name, device=device, **self.of_the_run()
            )
            self.emit({"event": "bake", "folder": str(self.bake.folder)})
        return self.bake

    def of_the_run(self) -> dict[str, Any]:
        """What the manifest of its bake says of it."""
        return {
            "script_hash": digest(self.source),
            "parameters": {d.name: self.parameters.value_at(d.name, 1) for d in self.parameters.declared},
            "details": self.request.details,
        }

    @property
    def folder(self) -> Path:
        """Where modules and grid files of the script are looked for."""
        return self.request.script_folder

    @property
    def name(self) -> str:
        """What messages call the script."""
        called = self.request.called if self.request.source is None else None
        return self.request.script if called is None else called

    @cached_property
    def source(self) -> str:
        """The text that runs. A file is read once: whoever saves it while it runs has another script."""
        if self.request.source is not None:
            return source_from_text(self.name, self.request.source).text
        return read_source(self.path, self.name).text

    def find_object(self, name: str) -> None:
        self.meshes.check(name)

    def note(self, text: str) -> None:
        place = self.context.place()
        line = {"file": place.file, "line": place.line} if place else {"file": None, "line": None}
        self.emit({"event": "note", "text": text, **line})

    def observe(self, kind: str, details: dict[str, Any]) -> None:
        if self.parameters.declared:
            self.tell_parameters()
        if kind == "step":
            self.frames = details["frame"]
            self.progress.step(details["frame"], details["time"], details["voxels"], details["leaves"])
            if self.leader is None:
                self.checkpoints.after_frame(details["frame"])
        elif kind == "kept":
            self.files.append(details["path"])
        elif kind == "object":
            self.objects.append(details["name"])
        elif kind == "plan":
            self.progress.expect(details["frames"])
        elif kind == "export":
            self.files.append(details["path"])
            self.emit({"event": "frame", **details})
        else:
            self.emit({"event": kind, **details})

    def execute(self) -> None:
        """Run the script and wait for what it asked for.

        Raises:
            FluidError: of any kind.
        """
        source = self.source
        if self.request.resume is not None:
            self.resume(Path(self.request.resume))
        try:
            self.context.run_source(source, self.name)
        except FluidError as error:
            if error.kind is Kind.SCRIPT:
                self.keep_exports()
            raise
        self.journal.check_end()
        for engine in self.engines:
            engine.finish()
        if self.bake is not None and not any(engine.was_cut for engine in self.engines):
            self.bake.finish()
            if not self.bake.frames:  # it was made for a checkpoint
                self.bake.free()

    def keep_exports(self) -> None:
        """Write what a script has exported before it went wrong; its own error is the one to tell."""
        for engine in self.engines:
            with suppress(FluidError):
                engine.finish()

    def resume(self, folder: Path) -> None:
        """Begin to go on from the last checkpoint of a bake."""
        if self.leader is not None:
            hint = "Run it in one process; several devices of one machine can resume."
            raise fail("usage", "A run on several machines cannot go on from a checkpoint.", hint)
        self.bake = Bake.open_to_go_on(folder)
        self.progress.resume(self.checkpoints.resume(self.bake).summary.frame)

    def go_on(self, chosen: Resumption, changed: bool) -> None:
        """Everything has matched up to the checkpoint, or was accepted as it is now: from here on files are written."""
        assert self.bake is not None, "or nothing would be resumed"
        if changed:
            head = {"name": self.request.bake_name, "device": self.engines[0].device, **self.of_the_run()}
            earlier = self.bake
            self.bake = earlier.copy_to(Path(self.request.output), chosen.files, head, chosen.summary)
            earlier.release()
        self.emit({"event": "bake", "folder": str(self.bake.folder)})
        self.emit({"event": "resumed", "frame": chosen.summary.frame, "files": len(chosen.files)})

    def tell_parameters(self) -> None:
        """All that are declared by now, if there are new ones: a panel shows them while the run goes on."""
        declared = self.parameters.declared
        if len(declared) == self.told:
            return
        self.told = len(declared)
        told = [
            {"name": d.name, "default": d.default, "minimum": d.minimum, "maximum": d.maximum, "help": d.help}
            for d in declared
        ]
        self.emit({"event": "parameters", "parameters": told})

    def say_end(self) -> None:
        self.progress.flush()
        exchanged = [engine.exchanged for engine in self.engines]
        several = [found for found in exchanged if found is not None]
        if several:
            self.exchange = {"seconds": sum(s for s, _ in several), "bytes": sum(b for _, b in several)}
        self.told = self.told or -1  # a script that has none any more says so, too
        self.tell_parameters()
        for name in self.parameters.unused_overrides():
            self.emit(
                {"event": "note", "text": f'The script declares no parameter "{name}".', "file": None, "line": None}
            )


def run_script(request: RunRequest, emit: Emit, cancel: threading.Event, leader: Leader | None = None) -> int:
    """Run a script here. Every outcome is an event; the last one is "finished".

    Args:
        leader: to other processes that hold parts of the script's domains.

    Returns:
        the exit code of the command line.
    """
    begun = time.monotonic()
    logged = with_log(emit)
    logged({"event": "started", "script": request.script})
    session: _Session | None = None

    def body() -> None:
        nonlocal session
        session = _Session(request, logged, cancel, leader)
        try:
            session.execute()
        finally:
            session.say_end()
            session.context.close()
            if session.bake is not None:
                session.bake.release()

    code = _guarded(body, logged)
    finished: Event = {
        "event": "finished",
        "exit_code": code,
        "seconds": time.monotonic() - begun,
        "frames": session.frames if session else 0,
        "files": session.files if session else [],
        "bake": str(session.bake.folder) if session and session.bake else None,
        "exchange": session.exchange if session else None,
    }
    logged(finished)
    return code


def _guarded(body: Callable[[], None], emit: Emit) -> int:
    try:
        body()
    except FluidError as error:
        emit(error_event(error))
        return error.kind.value
    except OSError as error:
        emit(error_event(fail("disk-error", f"The system refused: {error}.")))
        return Kind.DISK.value
    return 0


def check_script(request: RunRequest) -> list[FluidError]:
    """Every problem of a script, with nothing computed and no device needed."""
    problems, _ = look_through(request)
    return problems


def run_check(request: RunRequest, emit: Emit, cancel: threading.Event) -> int:
    """Check a script here. Problems and the parameters that it declares are events; the last one is "finished".

    Returns:
        the exit code of the command line.
    """
    begun = time.monotonic()
    emit({"event": "started", "script": request.script})
    problems, session = look_through(request, cancel, emit)
    session.emit, session.told = emit, None
    session.tell_parameters()
    session.tell_domain()
    if session.objects:
        emit({"event": "scene", "objects": list(dict.fromkeys(session.objects)), "frames": session.frames or None})
    return tell_findings(problems, begun, emit, cancel)


def tell_findings(problems: Sequence[FluidError], begun: float, emit: Emit, cancel: threading.Event) -> int:
    """The last words of a look at a script, which has made no frame. Returns the exit code of the command line."""
    for problem in problems:
        emit(error_event(problem))
    code = Kind.CANCELLED.value if cancel.is_set() else max((problem.kind.value for problem in problems), default=0)
    seconds = time.monotonic() - begun
    nothing = {"frames": 0, "files": [], "bake": None, "exchange": None}
    emit({"event": "finished", "exit_code": code, "seconds": seconds, **nothing})
    return code


def look_through(
    request: RunRequest, cancel: threading.Event | None = None, emit: Emit = lambda _event: None
) -> tuple[list[FluidError], _Session]:
    """Run a script with nothing computed. Returns its problems, and what was found out about it. All that is told on
    the way is which file is being read."""
    request = replace(request, resume=None)  # nothing is computed, so there is nowhere to go on from
    cancel = cancel or threading.Event()
    problems: list[FluidError] = []
    over = threading.Event()  # the time is up, or the caller has seen enough
    end = time.monotonic() + CHECK_SECONDS
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.05):
            if cancel.is_set() or time.monotonic() > end:
                over.set()
                return

    threading.Thread(target=watch, name="check", daemon=True).start()
    session = _Session(request, lambda event: emit(event) if event["event"] == "reading" else None, over)
    plain = session.environment

    def environment() -> EngineEnvironment:
        made = plain()
        made.check = True
        made.problem = lambda error: problems.append(session.context.located(error))
        return made

    session.environment = environment  # type: ignore[method-assign]
    try:
        session.execute()
    except FluidError as error:
        # What a script does with values that were never computed says nothing about it.
        guessed = error.code == "lua-error" and any(engine.guessed for engine in session.engines)
        if error.code != "cancelled" and not guessed:
            problems.append(error)
        session.frames = 0  # what it would compute cannot be told
    finally:
        done.set()
        session.context.close()
    return problems, session
