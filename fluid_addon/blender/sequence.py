# SPDX-License-Identifier: GPL-3.0-or-later
"""Which file of a volume sequence each timeline frame shows.

Blender shows the file whose number is `timeline frame - frame_start + 1 + frame_offset`, and nothing outside
`frame_duration`. That plays consecutive files only. A bake that exports every tenth frame must hold each file until the
next one, and the last one for good; `frame_offset` is the one setting that can be animated, so it falls by 1 a frame
while a file is held. A file that is not there must never be asked for: Blender then shows nothing for the next good
file either (measured in 4.5 and 5.2).
"""

from __future__ import annotations

from collections.abc import Sequence

import bpy
import numpy as np

__all__ = ["keys_of_offset", "play_frames", "show_still"]

#: Blender's own bound for a number of frames: the last file is held, not cut off.
UNENDING = 1048574


def keys_of_offset(frames: Sequence[int]) -> list[tuple[int, int]]:
    """(timeline frame, frame_offset) between which the offset runs in straight lines, and on after the last.

    `frames` are the numbers of the files, ascending and distinct, at least one; frame_start is the first of them.
    """
    unshifted = frames[0] - 1
    keys: list[tuple[int, int]] = []
    for shown, following in zip(frames, [*frames[1:], frames[-1] + 2], strict=True):
        if len(keys) >= 2 and keys[-1][1] == keys[-2][1] == unshifted:
            keys.pop()  # in the middle of consecutive files
        keys.append((shown, unshifted))
        if following > shown + 1:
            keys.append((following - 1, unshifted - (following - 1 - shown)))
    return keys


def _curve_of_offset(volume: bpy.types.Volume) -> bpy.types.FCurve | None:
    for bag in _channels(volume):
        curve = bag.fcurves.find("frame_offset")
        if curve:
            return curve
    return None


def _channels(volume: bpy.types.Volume) -> list[bpy.types.ActionChannelbag]:
    """Where the animated properties of `volume` are kept."""
    animation = volume.animation_data
    if animation is None or animation.action is None or animation.action_slot is None:
        return []
    strips = [strip for layer in animation.action.layers for strip in layer.strips]
    return [bag for strip in strips if (bag := strip.channelbag(animation.action_slot))]


def _new_curve_of_offset(volume: bpy.types.Volume) -> bpy.types.FCurve:
    animation = volume.animation_data_create()
    if animation.action is None:
        animation.action = bpy.data.actions.new(f"{volume.name} frames")
    action = animation.action
    if animation.action_slot is None:
        animation.action_slot = action.slots.new("VOLUME", volume.name)
    layer = action.layers[0] if action.layers else action.layers.new("Frames")
    strip = layer.strips[0] if layer.strips else layer.strips.new(type="KEYFRAME")
    curve = strip.channelbag(animation.action_slot, ensure=True).fcurves.new("frame_offset")
    # Between two frames (motion blur) Blender looks for the file of the frame before; so must the offset.
    stepped = curve.modifiers.new("STEPPED")
    stepped.frame_step, stepped.frame_offset = 1.0, 0.0
    curve.extrapolation = "LINEAR"
    return curve


def play_frames(volume: bpy.types.Volume, frames: Sequence[int], *, anew: bool) -> None:
    """Let `volume` show the file numbered N from timeline frame N until the next number in `frames` (ascending).

    Before the first it shows nothing, after the last it holds it. With `anew` false an offset that the artist has
    taken out of animation is left alone. What is right already is not touched, since Blender would load it again.
    """
    curve = _curve_of_offset(volume)
    if curve is None and not anew:
        return
    _set(volume, is_sequence=True, sequence_mode="CLIP", frame_start=frames[0], frame_duration=UNENDING)
    if curve is None:
        volume.frame_offset = frames[0] - 1
        curve = _new_curve_of_offset(volume)
    points = curve.keyframe_points
    wanted = np.array(keys_of_offset(frames), np.float32).ravel()
    present = np.empty(2 * len(points), np.float32)
    points.foreach_get("co", present)
    if np.array_equal(present, wanted):
        return
    points.clear()
    points.add(len(wanted) // 2)
    points.foreach_set("co", wanted)
    straight = bpy.types.Keyframe.bl_rna.properties["interpolation"].enum_items["LINEAR"].value
    points.foreach_set("interpolation", np.full(len(points), straight, np.int32))
    curve.update()
    volume.update_tag(refresh={"TIME"})


def show_still(volume: bpy.types.Volume) -> None:
    """Let `volume` show one file at all frames."""
    _set(volume, is_sequence=False)
    for bag in _channels(volume):
        if curve := bag.fcurves.find("frame_offset"):
            bag.fcurves.remove(curve)


def _set(volume: bpy.types.Volume, **settings: object) -> None:
    for name, value in settings.items():
        if getattr(volume, name) != value:
            setattr(volume, name, value)
