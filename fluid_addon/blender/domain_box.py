# SPDX-License-Identifier: GPL-3.0-or-later
"""A simulation's domain drawn in the scene: an empty in the shape of a box, which no render shows.

It is a child of the simulation, so that it moves with the volume. Every run and check of the script sets it anew.
"""

from __future__ import annotations

from collections.abc import Sequence

import bpy

__all__ = ["box_of", "draw", "fit"]

#: Custom property of such an empty.
DOMAIN_OF = "fluid_domain_of"


def box_of(found: bpy.types.Object) -> bpy.types.Object | None:
    """The empty that draws a simulation's domain. One that the artist has parted from it is theirs."""
    return next((child for child in bpy.data.objects if child.parent == found and DOMAIN_OF in child), None)


def fit(found: bpy.types.Object, box: Sequence[Sequence[float]]) -> None:
    """Let the drawn domain, if there is one, be a box from its low to its high corner."""
    drawn, (low, high) = box_of(found), box
    if drawn is not None and drawn.library is None:
        drawn.location = [(a + b) / 2 for a, b in zip(low, high, strict=True)]
        drawn.scale = [(b - a) / 2 for a, b in zip(low, high, strict=True)]


def draw(found: bpy.types.Object) -> None:
    """Draw the domain; it is a point until `fit` is told how large it is."""
    drawn = bpy.data.objects.new(f"{found.name} Domain", None)
    drawn.empty_display_type, drawn.empty_display_size = "CUBE", 1.0
    drawn.parent, drawn[DOMAIN_OF] = found, found.fluid_addon.token
    drawn.hide_select = drawn.hide_render = True
    for lock in (drawn.lock_location, drawn.lock_rotation, drawn.lock_scale):
        lock[:] = (True, True, True)
    drawn.scale = (0.0, 0.0, 0.0)
    for collection in found.users_collection:
        collection.objects.link(drawn)
