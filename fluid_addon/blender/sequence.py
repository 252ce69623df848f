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

__all__ = ["keys_of_offset", "play_frames"]

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
    animation = volume.animation_data
    if animation is None or animation.action is None:
        return None
    for layer in animation.action.layers:
        for strip in layer.strips:
            bag = strip.channelbag(animation.action_slot)
            curve = bag and bag.fcurves.find("frame_offset")
            if curve:
                return curve
    return None


def _new_curve_of_offset(volume: bpy.types.Volume) -> bpy.types.FCurve:
    animation = volume.animation_data_create()
    animation.action = action = bpy.data.actions.new(f"{volume.name} frames")
    animation.action_slot = slot = action.slots.new("VOLUME", volume.name)
    strip = action.layers.new("Frames").strips.new(type="KEYFRAME")
    curve = strip.channelbag(slot, ensure=True).fcurves.new("frame_offset")
    # Between two frames (motion blur) Blender looks for the file of the frame before; so must the offset.
    stepped = curve.modifiers.new("STEPPED")
    stepped.frame_step, stepped.frame_offset = 1.0, 0.0
    return curve


def play_frames(volume: bpy.types.Volume, frames: Sequence[int], *, anew: bool) -> None:
    """Let `volume` show the file numbered N from timeline frame N until the next number in `frames` (ascending).

    Before the first it shows nothing, after the last it holds it. With `anew` false an offset that the artist has
    taken out of animation is left alone.
    """
    curve = _curve_of_offset(volume)
    if curve is None and not anew:
        return
    volume.is_sequence = True
    volume.sequence_mode = "CLIP"
    volume.frame_start = frames[0]
    volume.frame_duration = UNENDING
    volume.frame_offset = frames[0] - 1
    curve = curve or _new_curve_of_offset(volume)
    keys = keys_of_offset(frames)
    curve.keyframe_points.clear()
    curve.keyframe_points.add(len(keys))
    curve.keyframe_points.foreach_set("co", [float(number) for key in keys for number in key])
    for point in curve.keyframe_points:
        point.interpolation = "LINEAR"
    curve.extrapolation = "LINEAR"
    curve.update()
