# SPDX-License-Identifier: GPL-3.0-or-later
"""What keyframes, NLA strips and drivers make of an object's custom properties, frame by frame.

A keyframed property is read from its F-curve. Drivers and NLA strips may depend on the whole scene: for them alone the
scene is stepped over the frames, and put back where it stood.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import bpy

__all__ = ["LAST_FRAME", "animated", "data_path", "evaluated_in", "frame_restored", "sample"]

#: Simulations are sampled to this frame at most; what comes later has the last value.
LAST_FRAME = 100_000

Samples = dict[int, float | bool]


def data_path(key: str) -> str:
    """The RNA path of a custom property."""
    return f'["{bpy.utils.escape_identifier(key)}"]'


def animated(simulation: bpy.types.Object, keys: Iterable[str]) -> set[str]:
    """Those of the properties that keyframes, NLA strips or drivers change."""
    moving = _driven(simulation) | set(_strip_ends(simulation)) | set(_action_curves(simulation))
    return {key for key in keys if data_path(key) in moving}


def sample(simulation: bpy.types.Object, scene: bpy.types.Scene, keys: Iterable[str]) -> dict[str, Samples]:
    """The values of those properties that are animated, at each frame from 0 to the end of the scene or the last key.

    Values that are no numbers, as a driver that divides by zero gives, are left out.
    """
    wanted = animated(simulation, keys)
    if not wanted:
        return {}
    curves, driven, plain = _action_curves(simulation), _driven(simulation), _is_plain(simulation)
    last = [_last_key(curves[path]) for path in map(data_path, wanted) if path in curves]
    end = max([scene.frame_end, *_strip_ends(simulation).values(), *last])
    frames = range(min(math.ceil(end), LAST_FRAME) + 1)
    stepped = {key for key in wanted if data_path(key) in driven or not plain}
    found = {key: _of_curve(simulation[key], curves[data_path(key)], frames) for key in wanted - stepped}
    found.update(_of_scene(simulation, scene, stepped, frames) if stepped else {})
    return {key: {f: value for f, value in found[key].items() if math.isfinite(value)} for key in wanted}


def _of_curve(kind: float | bool, curve: bpy.types.FCurve, frames: range) -> Samples:
    return {frame: _as_property(kind, curve.evaluate(frame)) for frame in frames}


def _as_property(kind: float | bool, value: float) -> float | bool:
    """A curve's value as Blender writes it into a property of that kind."""
    if isinstance(kind, bool):
        return value > 1.0 - 1e-6
    return int(value) if isinstance(kind, int) and math.isfinite(value) else value


def _of_scene(
    simulation: bpy.types.Object, scene: bpy.types.Scene, keys: set[str], frames: range
) -> dict[str, Samples]:
    found: dict[str, Samples] = {key: {} for key in keys}
    with frame_restored(scene), evaluated_in(scene, simulation) as layer:
        for frame in _with_progress(frames):
            scene.frame_set(frame)
            evaluated = simulation.evaluated_get(layer.depsgraph)
            if evaluated.is_evaluated:  # not where the hiding itself is animated
                for key in keys:
                    found[key][frame] = evaluated[key]
    return found


def _with_progress(frames: range) -> Iterator[int]:
    manager = bpy.context.window_manager
    shown = not bpy.app.background
    if shown:
        manager.progress_begin(0, len(frames))
    try:
        for frame in frames:
            if shown:
                manager.progress_update(frame)
            yield frame
    finally:
        if shown:
            manager.progress_end()


@contextmanager
def frame_restored(scene: bpy.types.Scene) -> Iterator[None]:
    frame, part = scene.frame_current, scene.frame_subframe
    try:
        yield
    finally:
        scene.frame_set(frame, subframe=part)


@contextmanager
def evaluated_in(scene: bpy.types.Scene, simulation: bpy.types.Object) -> Iterator[bpy.types.ViewLayer]:
    """A view layer that evaluates the object. Blender passes over what is hidden or in an excluded collection."""
    hidden = simulation.hide_viewport
    if hidden:
        simulation.hide_viewport = False
    for each in scene.view_layers:
        each.update()  # what a script has hidden or moved just now is known then
    layer = next((each for each in scene.view_layers if simulation.name in each.objects), None)
    guest = layer is None and simulation.name not in scene.collection.objects
    if guest:
        scene.collection.objects.link(simulation)
    try:
        yield layer or scene.view_layers[0]
    finally:
        if guest:
            scene.collection.objects.unlink(simulation)
        if hidden:
            simulation.hide_viewport = True


# ===== Where animation lies


def _driven(simulation: bpy.types.Object) -> set[str]:
    own = simulation.animation_data
    return {curve.data_path for curve in own.drivers if not curve.mute} if own else set()


def _action_curves(simulation: bpy.types.Object) -> dict[str, bpy.types.FCurve]:
    own = simulation.animation_data
    return _curves(own.action, own.action_slot) if own and own.action else {}


def _strip_ends(simulation: bpy.types.Object) -> dict[str, float]:
    """The data paths that NLA strips animate, and the frame at which the last of their strips ends."""
    own = simulation.animation_data
    tracks = [track for track in own.nla_tracks if not track.mute] if own and own.use_nla else []
    found: dict[str, float] = {}
    for track in [track for track in tracks if track.is_solo] or tracks:
        for strip in _with_inner(track.strips):
            if strip.action is not None and not strip.mute:
                for path in _curves(strip.action, strip.action_slot):
                    found[path] = max(strip.frame_end, found.get(path, 0.0))
    return found


def _with_inner(strips: Sequence[bpy.types.NlaStrip]) -> Iterator[bpy.types.NlaStrip]:
    for strip in strips:
        yield strip
        yield from _with_inner(strip.strips)


def _curves(action: bpy.types.Action, slot: bpy.types.ActionSlot | None) -> dict[str, bpy.types.FCurve]:
    """The curves of a slot by data path, without those that Blender passes over."""
    found: dict[str, bpy.types.FCurve] = {}
    for layer in action.layers:
        for strip in layer.strips:
            bag = strip.channelbag(slot) if slot is not None and strip.type == "KEYFRAME" else None
            for curve in bag.fcurves if bag else ():
                silent = curve.mute or curve.is_empty or (curve.group is not None and curve.group.mute)
                if not silent:
                    found.setdefault(curve.data_path, curve)
    return found


def _is_plain(simulation: bpy.types.Object) -> bool:
    """Whether the action is all there is, in one layer with one strip: a curve alone says what its property will be."""
    own = simulation.animation_data
    layers = own.action.layers if own.action else ()
    with_nla = own.use_tweak_mode or (own.use_nla and len(own.nla_tracks) > 0)
    return not with_nla and len(layers) <= 1 and all(len(layer.strips) <= 1 for layer in layers)


def _last_key(curve: bpy.types.FCurve) -> float:
    return curve.range()[1] if curve.keyframe_points else 0.0
