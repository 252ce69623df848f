# SPDX-License-Identifier: GPL-3.0-or-later
"""The Volume objects that show one bake: a simulation's own, and a child for each further sequence of files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import bpy

__all__ = ["GRIDS", "PART_OF", "grids_of", "make_parts", "own_volume", "parts_of", "remember_grids"]

#: Custom property of further Volume objects that show more of a simulation's bake: the simulation's token.
PART_OF = "fluid_part_of"
#: Custom property of such an object: which sequence of the bake it shows.
SEQUENCE = "fluid_sequence"
#: Custom property of a Volume: the kinds of the grids in the files that it shows, as JSON.
GRIDS = "fluid_grids"


def parts_of(simulation: bpy.types.Object) -> list[bpy.types.Object]:
    """The children that show more of the bake. One that the artist has parted from the simulation is theirs."""
    volumes = (o for o in bpy.data.objects if o.type == "VOLUME" and o.parent == simulation)
    return [part for part in volumes if PART_OF in part and part.library is None]


def make_parts(simulation: bpy.types.Object, sequences: Sequence[str]) -> list[bpy.types.Object]:
    """The parts that show these sequences, in this order. Those of a name are kept, others made or removed."""
    there: dict[str, bpy.types.Object] = {}
    for part in parts_of(simulation):
        name = str(part.get(SEQUENCE))
        if name in sequences and name not in there:
            there[name] = part
            if part[PART_OF] != simulation.fluid_addon.token:  # of a copied simulation
                part[PART_OF] = simulation.fluid_addon.token
        else:
            _remove(part)
    return [there.get(name) or _new_part(simulation, name) for name in sequences]


def _new_part(simulation: bpy.types.Object, sequence: str) -> bpy.types.Object:
    name = f"{simulation.name} {sequence}"
    volume = bpy.data.volumes.new(name)
    volume.velocity_unit, volume.velocity_scale = "SECOND", simulation.data.velocity_scale
    part = bpy.data.objects.new(name, volume)
    part.parent = simulation
    part[PART_OF], part[SEQUENCE] = simulation.fluid_addon.token, sequence
    for collection in simulation.users_collection:
        collection.objects.link(part)
    return part


def _remove(part: bpy.types.Object) -> None:
    volume = part.data
    bpy.data.objects.remove(part)
    if not volume.users:
        bpy.data.volumes.remove(volume)


def own_volume(shown: bpy.types.Object) -> bpy.types.Volume:
    """The Volume of an object, made its own if another simulation has it, too: Blender's duplicates share it."""
    volume = shown.data
    if volume.users > 1 and any(o.data == volume and _token(o) != _token(shown) for o in bpy.data.objects):
        volume = shown.data = volume.copy()
    animation = volume.animation_data
    if animation and animation.action and any(_plays(o, animation.action) for o in bpy.data.volumes if o != volume):
        animation.action = animation.action.copy()
    return volume


def _token(shown: bpy.types.Object) -> str:
    return shown.fluid_addon.token or str(shown.get(PART_OF, ""))


def _plays(volume: bpy.types.Volume, action: bpy.types.Action) -> bool:
    return volume.animation_data is not None and volume.animation_data.action == action


def remember_grids(volume: bpy.types.Volume, kinds: Mapping[str, str]) -> None:
    """Keep what a panel wants to know of the grids, so that it need not look into a file."""
    text = json.dumps(dict(kinds), sort_keys=True)
    if volume.get(GRIDS) != text:
        volume[GRIDS] = text


def grids_of(simulation: bpy.types.Object) -> Mapping[str, str]:
    """The kinds of the grids that a simulation shows, by name; no file is looked at."""
    kinds: dict[str, str] = {}
    for shown in (simulation, *parts_of(simulation)):
        kinds.update(_grids_of_volume(shown.data))
    return kinds


def _grids_of_volume(volume: bpy.types.Volume) -> dict[str, str]:
    try:
        kinds = json.loads(volume.get(GRIDS, "{}"))
    except (TypeError, ValueError):  # the artist has edited the property
        return {}
    return {str(name): str(kind) for name, kind in kinds.items()} if isinstance(kinds, dict) else {}
