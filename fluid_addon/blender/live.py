# SPDX-License-Identifier: GPL-3.0-or-later
"""The runs of this Blender: started from a simulation, watched by one timer, shown as their frames arrive.

Nothing of a run lives in Blender's data except what the artist may keep: parameters and the newest bake. The rest is in
`RUNS`, by the token of the simulation, and survives undo. No file is read and nothing is computed here that could hold
Blender up: that is the worker's part.
"""

from __future__ import annotations

import atexit
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import bpy
from bpy.app.handlers import persistent

from ..diagnostics import FluidError, fail
from ..run import RunQueue, RunRequest, RunState
from ..run.events import Event, error_event
from ..run.presets import LIBRARY
from ..script.required import may_mention
from . import bakes, domain_box, parameters, scene_capture, simulation, trust, volume_object
from .preferences import settings
from .unfinished import Unfinished

__all__ = ["PRESET", "RUNS", "start", "stop", "unfinished", "wait"]

RUNS = RunQueue()

#: Custom property of a text: the preset of the library beside whose files it runs.
PRESET = "fluid_preset"

INTERVAL = 0.1  # seconds between two looks at the workers
STOPPING_INTERVAL = 0.02  # the same while the artist waits for an end
SHOW_EVERY = 0.5  # seconds between two updates of what a scene shows of a run
REDRAW_EVERY = 0.25  # the same for the panels; to draw a window takes longer than all that is done here
REDRAW = {"TEXT_EDITOR", "VIEW_3D"}

_unshown: set[str] = set()  # simulations whose newest frames are not in the scene yet
_shown_at = _drawn_at = 0.0
_undrawn = False  # whether the panels are behind the runs
_rendering = False


def start(
    found: bpy.types.Object,
    scene: bpy.types.Scene,
    verb: str = "run",
    *,
    resume: bool = False,
    accept_changes: bool = False,
) -> None:
    """Run or check the script of a simulation, as it stands in the text, in the background.

    With `resume` the run of its last bake goes on from its checkpoint. It ends with checkpoint-mismatch where script or
    parameters are not those of then, unless `accept_changes` lets it go on into a new bake.

    Raises newer-file, script-missing, untrusted-script, usage (it runs already), checkpoint-missing (there is nothing
    to resume), cache-limit, disk-full, disk-error.
    """
    own = found.fluid_addon
    _check_that_it_may_run(found)
    if RUNS.is_running(own.token) and not resume:
        simulation.give_own_token(found)
    chosen = settings()
    left = unfinished(found) if resume else None
    folder = bakes.folder_for_a_run(found, chosen, resumes=resume) if verb == "run" else bakes.cache_folder(chosen)
    if verb == "run":
        trust.remember(own.text)
    request = RunRequest(
        script=own.text.name,
        source=own.text.as_string(),
        folder=str(_folder_of(own.text)),
        output=str(folder),
        parameters=parameters.values_over_frames(found, scene) if verb == "run" else {},
        fit_parameters=True,
        device=chosen.device or None,
        scene=scene_capture.known_objects(scene),
        texts=trust.modules(own.text),
        lua_seconds=chosen.lua_seconds,
        lua_memory_mb=chosen.lua_memory_mb,
        memory_mb=chosen.memory_mb or None,
        details={"simulation": own.token, "blend": bpy.data.filepath},
        resume=str(left.folder) if left else None,
        accept_changes=accept_changes,
        checkpoint_seconds=chosen.checkpoint_seconds,
    )
    look_first = verb == "run" and may_mention(request.source or "", "scene")
    state = RUNS.add(own.token, request, verb, look_first=look_first)
    state.resumes_from = left.frame if left else None
    if own.text.is_modified:
        state.log.append(("note", f'The file of "{own.text.name}" is not what the editor shows; what it shows is run.'))
    scene_capture.remember(own.token, scene, folder)
    _watch()


def _check_that_it_may_run(found: bpy.types.Object) -> None:
    own = found.fluid_addon
    if newer := simulation.why_newer(found):
        raise fail("newer-file", *newer)
    if own.text is None or not own.text.as_string().strip():
        what = f'The text "{own.text.name}" is empty.' if own.text else f'"{found.name}" has no script.'
        raise fail("script-missing", what, "Write a script in Lua, or begin with a preset.")
    strangers = trust.untrusted_texts(own.text)
    if strangers:
        named = ", ".join(f'"{text.name}"' for text in strangers)
        message = f"{named} came with a file, and you have not trusted it yet."
        raise fail("untrusted-script", message, "Read it, then press Run Simulation and trust it.")


def unfinished(found: bpy.types.Object) -> Unfinished:
    """What there is to resume, on the disk as it is now. Raises checkpoint-missing where there is nothing."""
    bakes.look_again(found)
    left = bakes.unfinished(found)
    if left is None:
        message = f'There is no run of "{found.name}" that could go on.'
        raise fail("checkpoint-missing", message, "Run it from its start.")
    return left


def stop(token: str) -> None:
    """End the run of a simulation, if there is one. Finished frames stay."""
    _end(token)
    _redraw()


def _end(token: str) -> None:
    RUNS.stop(token)
    if not RUNS.is_running(token):  # it had no worker that could say so
        scene_capture.forget(token)


def wait(token: str, told: Callable[[Event], None]) -> int:
    """Hold this thread until the run of a simulation is over, for scripts and machines without a window.

    Returns the exit code of the command line.
    """
    while True:
        for key, event in [*RUNS.poll(), *scene_capture.advance(RUNS)]:
            _take(key, event)
            if key == token:
                told(event)
        state = RUNS.state(token)
        if state is None or state.exit_code is not None:
            _show_frames()
            return state.exit_code or 0 if state else 130
        time.sleep(0.02)


def _folder_of(text: bpy.types.Text) -> Path:
    """Where a script finds its modules and grids: beside its own file, with those of the preset that it was added
    from, else beside the .blend file."""
    if text.filepath:
        return Path(bpy.path.abspath(text.filepath, library=text.library)).parent
    named = text.get(PRESET)
    if isinstance(named, str) and named in {folder.name for folder in LIBRARY.iterdir()}:
        return LIBRARY / named
    if bpy.data.filepath:
        return Path(bpy.data.filepath).parent
    return bakes.cache_folder(settings())


def _watch() -> None:
    if not bpy.app.background and not bpy.app.timers.is_registered(_drain):
        bpy.app.timers.register(_drain, first_interval=0.01, persistent=True)


def _drain() -> float | None:
    """Blender's timer. It ends with the last run."""
    global _shown_at, _drawn_at, _undrawn
    if _rendering:  # changing data while a render reads it ends Blender
        return INTERVAL
    for token in RUNS.active:
        if simulation.find(token) is None:  # its object was deleted
            _end(token)
    events = [*RUNS.poll(), *scene_capture.advance(RUNS)]
    for token, event in events:
        with _ends_run(token, event):
            _take(token, event)
    now = time.monotonic()
    # Not while the artist waits for an end: to draw them takes longer than that.
    if _unshown and not RUNS.is_stopping and (now - _shown_at >= SHOW_EVERY or not RUNS.is_busy):
        _show_frames()
        _shown_at = time.monotonic()
    _undrawn = _undrawn or bool(events)
    if _undrawn and (now - _drawn_at >= REDRAW_EVERY or not RUNS.is_busy):
        _redraw()
        _drawn_at, _undrawn = now, False
    if not RUNS.is_busy and not _unshown:
        return None
    return STOPPING_INTERVAL if RUNS.is_stopping else INTERVAL


@contextmanager
def _ends_run(token: str, event: Event) -> Iterator[None]:
    """What goes wrong over one event ends its run, and not the timer of all."""
    try:
        yield
    except Exception as error:
        message = f'The event "{event["event"]}" of the worker process cannot be used: {error}.'
        problem = fail("worker-protocol", message, "The run was stopped; finished frames are kept.")
        if (state := RUNS.state(token)) is not None:
            state.apply(error_event(problem))
        _end(token)


def _take(token: str, event: Event) -> None:
    if event["event"] == "finished":
        scene_capture.forget(token)
    found = simulation.find(token)
    if found is None:
        return
    match event["event"]:
        case "parameters":
            state = RUNS.state(token)
            for sentence in parameters.declare(found, event["parameters"]):
                if state is not None:
                    state.log.append(("note", sentence))
        case "domain":
            domain_box.fit(found, event["box"])
        case "frame" | "resumed":
            _unshown.add(token)
        case "finished":
            if event["exit_code"] == 0:
                parameters.settle(found)
            _finish(found, token)


def _finish(found: bpy.types.Object, token: str) -> None:
    state = RUNS.state(token)
    if state is not None and state.bake is not None:
        _show_frames()
        if found.fluid_addon.fit_range and state.files:
            for scene in found.users_scene:
                with _said_once(state):
                    volume_object.set_frame_range(scene, state.bake)
        if state.exit_code == 0:
            bakes.keep_newest(found, settings())
        bakes.look_again(found)
    _remember_for_undo()
    if state is not None and any(item["code"] == "checkpoint-mismatch" for item in state.errors):
        _ask_about_changes(found)


def _ask_about_changes(found: bpy.types.Object) -> None:
    """The artist pressed Resume; what is asked now is said in the panel, too."""
    windows = bpy.context.window_manager.windows
    if not bpy.app.background and windows:
        window = next((window for window in windows if window.scene in found.users_scene), windows[0])
        with bpy.context.temp_override(window=window), suppress(RuntimeError):  # else the panel's button asks
            bpy.ops.fluid_addon.resume_changed("INVOKE_DEFAULT", name=found.name)


def _show_frames() -> None:
    """Let the scene show what the runs have finished."""
    for token in list(_unshown):
        _unshown.discard(token)
        found, state = simulation.find(token), RUNS.state(token)
        if found is None or state is None or state.bake is None:
            continue
        newest = None
        with _said_once(state):
            newest = volume_object.show_bake(found, state.bake)
        if found.fluid_addon.follow and newest is not None:
            _follow(found, newest)


@contextmanager
def _said_once(state: RunState) -> Iterator[None]:
    """A bake that somebody took away during the run: said in the panel, not at each look, and no end of the timer."""
    try:
        yield
    except FluidError as error:
        event = error_event(error)
        known = {item["message"] for item in state.errors}
        if any(item["message"] not in known for item in event["diagnostics"]):
            state.apply(event)


def _follow(found: bpy.types.Object, frame: int) -> None:
    """Set the timeline to a frame, unless the artist is playing it."""
    for window in bpy.context.window_manager.windows:
        if window.scene in found.users_scene and not window.screen.is_animation_playing:
            window.scene.frame_set(frame)


def _remember_for_undo() -> None:
    """An undo after a run takes back what the artist did last, not the run."""
    windows = bpy.context.window_manager.windows
    if not bpy.app.background and windows:
        with bpy.context.temp_override(window=windows[0]):
            if bpy.ops.ed.undo_push.poll():
                bpy.ops.ed.undo_push(message="Simulation")


def _redraw() -> None:
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            if area.type in REDRAW:
                for region in area.regions:
                    if region.type in {"UI", "HEADER"}:
                        region.tag_redraw()


# ===== Blender's own doings


@persistent
def _before_loading(*_: object) -> None:
    RUNS.close()
    scene_capture.forget_all()
    _unshown.clear()


@persistent
def _after_undo(*_: object) -> None:
    """Undo brings back objects as they were: what a run has finished since is shown to them again."""
    _unshown.update(RUNS.active)


@persistent
def _render_begins(*_: object) -> None:
    global _rendering
    _rendering = True


@persistent
def _render_ends(*_: object) -> None:
    global _rendering
    _rendering = False


_HANDLERS = {
    "load_pre": _before_loading,
    "undo_post": _after_undo,
    "redo_post": _after_undo,
    "render_init": _render_begins,
    "render_complete": _render_ends,
    "render_cancel": _render_ends,
}


def _end_all() -> None:
    RUNS.close(grace=0.2)
    scene_capture.forget_all()


def register() -> None:
    for name, handler in _HANDLERS.items():
        getattr(bpy.app.handlers, name).append(handler)
    atexit.register(_end_all)


def unregister() -> None:
    global _rendering
    RUNS.close()
    scene_capture.forget_all()
    _unshown.clear()
    _rendering = False
    if bpy.app.timers.is_registered(_drain):
        bpy.app.timers.unregister(_drain)
    for name, handler in _HANDLERS.items():
        getattr(bpy.app.handlers, name).remove(handler)
    atexit.unregister(_end_all)
