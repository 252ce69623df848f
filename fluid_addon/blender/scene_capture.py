# SPDX-License-Identifier: GPL-3.0-or-later
"""Meshes of the scene's objects, as they are after animation and modifiers, written down for a run before it begins.

It goes frame by frame in slices. At the end of each the scene stands where the artist left it, so whatever comes
between two slices (a render, an undo, another file, the end of Blender) finds nothing out of place. A slice begins with
the last frame of the one before: caches of physics go on from there.

Simulated frame f is timeline frame f, as it is for exported files and animated parameters. Frame 0 is captured too:
from it come the velocities of frame 1.
"""

from __future__ import annotations

import secrets
import shutil
import time
from collections.abc import Collection, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import bpy
import numpy as np

from ..diagnostics import FluidError, fail
from ..run import RunQueue
from ..run.events import Event
from ..run.run_queue import ToCapture
from ..volumes.mesh_capture import MeshCaptureWriter
from . import simulation
from .parameter_animation import LAST_FRAME, evaluated_in, frame_restored

__all__ = ["advance", "forget", "forget_all", "known_objects", "remember"]

FOLDER = "captures"
SLICE = 0.15  # seconds, or this many times what a frame takes, whichever is longer
SLICE_IN_FRAMES = 4
ABANDONED = 3 * 86400.0  # seconds after which nobody comes back for a capture

_HANDIWORK = ("TRANSFORM_OT", "SCULPT_OT", "PAINT_OT", "MESH_OT", "POSE_OT")
_USABLE = {"MESH", "CURVE", "SURFACE", "FONT", "META"}
_WORDS = {
    "ARMATURE": "an armature",
    "CAMERA": "a camera",
    "EMPTY": "an empty",
    "LIGHT": "a light",
    "VOLUME": "a volume",
}


@dataclass
class _Capture:
    """One that was begun, or will be: the scene by its session_uid, since nothing may keep a reference to it."""

    scene: int
    folder: Path
    writer: MeshCaptureWriter | None = None
    next_frame: int = 0
    seconds: float = 0.0  # that the slowest frame took


_captures: dict[str, _Capture] = {}  # by the token of the simulation


def known_objects(scene: bpy.types.Scene) -> dict[str, str]:
    """The objects that scripts can ask for by name: what each is, where that has no faces, else ""."""
    return {o.name: "" if o.type in _USABLE else _WORDS.get(o.type, "of another kind") for o in scene.objects}


def remember(token: str, scene: bpy.types.Scene, cache: Path) -> None:
    """A run is about to begin; it may ask for objects of this scene. Captures go below the cache folder."""
    forget(token)
    _remove_abandoned(cache / FOLDER)
    _captures[token] = _Capture(scene.session_uid, cache / FOLDER / secrets.token_hex(8))


def forget(token: str) -> None:
    """The run is over: what was captured for it goes."""
    capture = _captures.pop(token, None)
    if capture is not None and capture.writer is not None:
        capture.writer.discard()
        with suppress(OSError):
            capture.folder.parent.rmdir()


def forget_all() -> None:
    for token in list(_captures):
        forget(token)


def advance(runs: RunQueue) -> list[tuple[str, Event]]:
    """Capture a slice for a run that waits for it, and begin the run after the last. Returns what happened."""
    told: list[tuple[str, Event]] = []
    if _hands_are_full():
        return told
    for token, wanted in list(runs.to_capture.items()):
        try:
            told += _slice(runs, token, wanted)
        except FluidError as error:
            forget(token)
            told += runs.refuse(token, error)
    return told


def _hands_are_full() -> bool:
    """Whether the artist is moving or painting something just now, which a change of the frame would undo."""
    windows = bpy.context.window_manager.windows
    return any(operator.bl_idname.startswith(_HANDIWORK) for window in windows for operator in window.modal_operators)


def _slice(runs: RunQueue, token: str, wanted: ToCapture) -> list[tuple[str, Event]]:
    capture = _captures[token]
    scene = next((scene for scene in bpy.data.scenes if scene.session_uid == capture.scene), None)
    if scene is None:
        raise fail("unknown-object", "The scene of the simulation was deleted.", "Run it again.")
    if capture.writer is None:
        capture.writer = MeshCaptureWriter(capture.folder)
    inverse = _of_domain(token)
    last = min(wanted.frames if wanted.frames is not None else scene.frame_end, LAST_FRAME)
    _capture_some(capture, scene, wanted.objects, last, inverse)
    if capture.next_frame > last:
        capture.writer.finish()
        return runs.begin_captured(token, str(capture.folder))
    name = f'"{wanted.objects[0]}"' if len(wanted.objects) == 1 else f"{len(wanted.objects)} objects"
    event = {"event": "capture", "name": name, "frame": capture.next_frame, "frames": last}
    return [runs.tell(token, event)]


def _of_domain(token: str) -> np.ndarray:
    """From the world to where the script's numbers hold: the artist may have moved the simulation's object."""
    found = simulation.find(token)
    placed = np.array(found.matrix_world if found is not None else np.eye(4), np.float64)
    if not np.isfinite(placed).all() or abs(np.linalg.det(placed)) < 1e-30:
        raise fail("unknown-object", "The simulation's object is scaled to nothing.", "Set its scale to 1.")
    return np.linalg.inv(placed)


def _capture_some(
    capture: _Capture, scene: bpy.types.Scene, names: Collection[str], last: int, inverse: np.ndarray
) -> None:
    begun = time.monotonic()
    with ExitStack() as restored:
        restored.enter_context(frame_restored(scene))
        layers = [
            (name, found, restored.enter_context(evaluated_in(scene, found))) for name, found in _found(scene, names)
        ]
        if capture.next_frame > 0:
            scene.frame_set(capture.next_frame - 1)
        while capture.next_frame <= last:
            before = time.monotonic()
            scene.frame_set(capture.next_frame)
            for name, found, layer in layers:
                try:
                    points, triangles = _mesh_of(found.evaluated_get(layer.depsgraph), inverse)
                except RuntimeError as error:
                    message = f'Blender cannot make a mesh of the object "{name}" ({error}).'
                    raise fail("mesh-broken", message, "Convert it to a mesh.") from error
                assert capture.writer is not None, "made before the first slice"
                capture.writer.add(name, capture.next_frame, points, triangles)
            capture.next_frame += 1
            now = time.monotonic()
            capture.seconds = max(capture.seconds, now - before)
            if now - begun > max(SLICE, SLICE_IN_FRAMES * capture.seconds):
                return


def _found(scene: bpy.types.Scene, names: Collection[str]) -> Iterator[tuple[str, bpy.types.Object]]:
    """The objects, as they are now. Raises unknown-object."""
    for name in names:
        found = scene.objects.get(name)
        if found is None:
            message = f'The object "{name}" was deleted or renamed before it could be captured.'
            raise fail("unknown-object", message, "Give it its name again, or change the script; then run again.")
        yield name, found


def _mesh_of(evaluated: bpy.types.Object, inverse: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points (n, 3) float32 where `inverse` takes the world to, and triangles (m, 3) int32.

    None of an object whose hiding is animated, in a frame in which it is hidden.
    """
    points, triangles = np.zeros((0, 3), np.float32), np.zeros((0, 3), np.int32)
    mesh = evaluated.to_mesh() if evaluated.is_evaluated and not evaluated.hide_viewport else None
    if mesh is None:
        return points, triangles
    try:
        mesh.calc_loop_triangles()
        local, corners = np.empty(3 * len(mesh.vertices), np.float32), np.empty(3 * len(mesh.loop_triangles), np.int32)
        mesh.vertices.foreach_get("co", local)
        mesh.loop_triangles.foreach_get("vertices", corners)
    finally:
        evaluated.to_mesh_clear()
    world = inverse @ np.array(evaluated.matrix_world, np.float64)
    with np.errstate(all="ignore"):  # a vertex that is not at a finite place is told of by name
        points = (local.reshape(-1, 3) @ world[:3, :3].T + world[:3, 3]).astype(np.float32)
    return points, corners.reshape(-1, 3)


def _remove_abandoned(folder: Path) -> None:
    """Captures that a Blender which crashed has left."""
    with suppress(OSError):
        for old in folder.iterdir():
            if time.time() - old.stat().st_mtime > ABANDONED:
                shutil.rmtree(old, ignore_errors=True)
