# SPDX-License-Identifier: GPL-3.0-or-later
"""The parameters of a script as custom properties of its simulation: sliders, keyframes and drivers of Blender's own.

The script declares them with param(), and a run or a check tells of it. What was declared last is kept as JSON in the
simulation, so that a file shows its sliders before anything was run. The script stays the master: it says the type, the
range and the default, and a value that the artist never changed is left to it.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from typing import Any

import bpy

from .parameter_animation import animated, data_path, sample
from .wrapped_text import draw_wrapped

__all__ = [
    "Parameter",
    "apply_values",
    "bring_values",
    "current_values",
    "declare",
    "draw",
    "is_changed",
    "parameters",
    "reset",
    "settle",
    "values_over_frames",
]

_INT = 2**31 - 1  # custom properties hold 32-bit integers, and sliders 32-bit floats
_FLOAT = 3.4e38


@dataclass(frozen=True)
class Parameter:
    """A parameter as the script declared it last.

    Attributes:
        key: of the custom property; the name, unless the artist or Blender has a property of that name already.
        state: "declared"; "unseen" where the run that goes on, or failed, has not come to it; "unused" where the script
            has it no more, but it is animated, so that it was kept.
    """

    name: str
    key: str
    default: float | bool
    minimum: float | None = None
    maximum: float | None = None
    help: str = ""
    state: str = "declared"

    @property
    def kind(self) -> type:
        """bool, int or float. A number is whole where its default and its limits are written without a point."""
        if isinstance(self.default, bool):
            return bool
        numbers = [number for number in (self.default, self.minimum, self.maximum) if number is not None]
        return int if all(isinstance(number, int) for number in numbers) and abs(self.default) <= _INT else float

    @property
    def limits(self) -> tuple[float, float]:
        """The range of the property; as wide as properties can be where the script gives no limit."""
        widest = _INT if self.kind is int else _FLOAT
        low = -widest if self.minimum is None else max(self.minimum, -widest)
        high = widest if self.maximum is None else min(self.maximum, widest)
        return self.kind(low), self.kind(high)

    @property
    def title(self) -> str:
        """What stands on the slider."""
        return self.name.replace("_", " ").strip().title()

    def fitted(self, value: float | bool) -> float | bool:
        """The nearest value of the parameter's own kind and range."""
        if self.kind is bool:
            return bool(value)
        low, high = self.limits
        near = min(max(value, low), high)
        return round(near) if self.kind is int else float(near)


def parameters(simulation: bpy.types.Object) -> list[Parameter]:
    """What the script declared last, in its order, then what it declares no more."""
    return list(_parsed(simulation.fluid_addon.declared))


@lru_cache(maxsize=64)
def _parsed(text: str) -> tuple[Parameter, ...]:
    """Cached, since panels ask at every redraw. What nobody can read is as good as never declared."""
    try:
        return tuple(Parameter(**entry) for entry in json.loads(text or "[]"))
    except (ValueError, TypeError):
        return ()


def _store(simulation: bpy.types.Object, declared: Sequence[Parameter]) -> None:
    text = json.dumps([asdict(each) for each in declared])
    if text != simulation.fluid_addon.declared:
        simulation.fluid_addon.declared = text


# ===== What the script declares


def declare(simulation: bpy.types.Object, declared: Sequence[Mapping[str, Any]]) -> list[str]:
    """Make or update the properties of what a run has declared so far: a run tells of more as it comes to them.

    Values, keyframes and drivers stay. A value changes only where it has to: an untouched one follows a new default,
    and one outside a new range goes to its end. Nothing is removed (see `settle`).

    Args:
        declared: {name, default, minimum, maximum, help} each.

    Returns:
        a sentence for each value of the artist's that was changed.
    """
    before = {each.name: each for each in parameters(simulation)}
    now: list[Parameter] = []
    said: list[str] = []
    for entry in declared:
        old = before.pop(entry["name"], None)
        key = old.key if old else _free_key(simulation, entry["name"], {each.key for each in before.values()})
        made = Parameter(key=key, **{word: entry[word] for word in ("name", "default", "minimum", "maximum", "help")})
        said += _shape(simulation, made, old)
        now.append(made)
    unseen = [each if each.state == "unused" else replace(each, state="unseen") for each in before.values()]
    _store(simulation, now + unseen)
    return said


def settle(simulation: bpy.types.Object) -> None:
    """A run or check has come to its end without an error: remove the properties of what it did not declare.

    Animated ones stay as unused, so that no keyframe is ever lost.
    """
    kept: list[Parameter] = []
    moving = animated(simulation, [each.key for each in parameters(simulation)])
    for each in parameters(simulation):
        if each.state == "declared":
            kept.append(each)
        elif each.key in moving:
            kept.append(replace(each, state="unused"))
        elif each.key in simulation:
            del simulation[each.key]
    _store(simulation, kept)


def _free_key(simulation: bpy.types.Object, name: str, taken: set[str]) -> str:
    """The name, unless another property has it: of the artist, of the add-on, or registered by any add-on."""
    registered = simulation.bl_rna.properties.get(name)
    free = name not in simulation and not name.startswith("fluid_") and name not in taken
    if free and (registered is None or not registered.is_runtime):
        return name
    return f"{name[:55]} (Fluid)"


def _shape(simulation: bpy.types.Object, made: Parameter, old: Parameter | None) -> list[str]:
    """Give the property of a parameter its type, value, range and tooltip; touches nothing that is right already."""
    value = simulation.get(made.key)
    known = isinstance(value, (bool, int, float))
    fresh = not known or type(value) is not made.kind
    if not known or (old is not None and _same(value, old.default)):
        wanted = made.fitted(made.default)
    else:
        wanted = made.fitted(_shortest(value))
    if fresh:
        simulation.pop(made.key, None)
    if fresh or not _same(value, wanted):
        simulation[made.key] = wanted
        simulation.update_tag()
    if fresh or old is None or replace(old, state=made.state) != made:
        _describe(simulation, made)
    changed = known and not _same(value, wanted) and not (old is not None and _same(value, old.default))
    return [f'"{made.name}" was {_shown(value)} and is {_shown(wanted)} now, to fit the script.'] if changed else []


def _describe(simulation: bpy.types.Object, made: Parameter) -> None:
    """The range and the tooltip of a property."""
    described = simulation.id_properties_ui(made.key)
    tooltip = made.help or f"Read as params.{made.name} by the script"
    if made.kind is bool:
        described.update(default=made.default, description=tooltip)
    else:
        low, high = made.limits
        soft_low, soft_high = _soft_range(made)
        options: dict[str, Any] = {"step": max(1, round((soft_high - soft_low) / 100))} if made.kind is int else {}
        if made.kind is float:
            span = soft_high - soft_low
            digits = 3 - math.floor(math.log10(span)) if span > 0 else 3
            options = {"precision": min(max(digits, 2), 6), "step": min(max(span, 0.001), 1000.0)}
        described.update(
            default=made.fitted(made.default),
            min=low,
            max=high,
            soft_min=made.kind(soft_low),
            soft_max=made.kind(soft_high),
            description=tooltip,
            **options,
        )
    simulation.property_overridable_library_set(data_path(made.key), True)


def _soft_range(made: Parameter) -> tuple[float, float]:
    """Where dragging stays: the limits of the script, else ten times the default around it."""
    low, high = made.limits
    reach = max(abs(made.default) * 10.0, 10.0)
    if made.minimum is None:
        low = max(low, min(made.default, high) - reach)
    if made.maximum is None:
        high = min(high, max(made.default, low) + reach)
    return low, high


def _shortest(value: float | bool) -> float | bool:
    """Sliders hold 32-bit floats: 0.1 for what would be 0.10000000149 otherwise."""
    if not isinstance(value, float) or not math.isfinite(value) or abs(value) > _FLOAT:
        return value
    if _as_float32(value) != value:
        return value
    return next(short for digits in range(6, 10) if _as_float32(short := float(f"{value:.{digits}g}")) == value)


def _as_float32(value: float) -> float:
    return float(struct.unpack("f", struct.pack("f", value))[0])


def _same(one: object, other: object) -> bool:
    """Whether two values are alike on a slider."""
    if isinstance(one, float) and isinstance(other, (int, float)) and not isinstance(other, bool):
        return one == other or (max(abs(one), abs(other)) <= _FLOAT and _as_float32(one) == _as_float32(other))
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def _shown(value: float | bool) -> str:
    return ("on" if value else "off") if isinstance(value, bool) else f"{value:g}"


# ===== Values


def values_over_frames(
    simulation: bpy.types.Object, scene: bpy.types.Scene
) -> dict[str, float | bool | dict[int, float | bool]]:
    """What a run has to be told: values that differ from the script's defaults, and samples by frame of animated ones.

    Values are not cut to the declared range here: the script may have another one by now, and the run knows it.
    """
    found: dict[str, float | bool | dict[int, float | bool]] = {}
    there = [each for each in parameters(simulation) if each.key in simulation]
    samples = sample(simulation, scene, [each.key for each in there])
    for each in there:
        if samples.get(each.key):
            found[each.name] = _trimmed({frame: _shortest(value) for frame, value in samples[each.key].items()})
        elif each.key not in samples and not _same(simulation[each.key], each.default):
            found[each.name] = _shortest(simulation[each.key])
    return found


def _trimmed(samples: dict[int, float | bool]) -> dict[int, float | bool]:
    """Without the equal samples at both ends, since the first and the last sample hold. In between all are kept: what
    is blended between equal numbers may differ from them in the last bit."""
    frames = sorted(samples)
    first, last = 0, len(frames) - 1
    while last > 0 and samples[frames[last]] == samples[frames[last - 1]]:
        last -= 1
    while first < last and samples[frames[first]] == samples[frames[first + 1]]:
        first += 1
    return {frame: samples[frame] for frame in frames[first : last + 1]}


def is_changed(simulation: bpy.types.Object, name: str) -> bool:
    """Whether the artist set a parameter to another value than the script's default, or animated it."""
    for each in parameters(simulation):
        if each.name == name and each.key in simulation:
            return not _same(simulation[each.key], each.default) or bool(animated(simulation, [each.key]))
    return False


def current_values(simulation: bpy.types.Object) -> dict[str, float | bool]:
    """The values as they stand, by name. Animated ones are at the current frame."""
    there = [each for each in parameters(simulation) if each.state != "unused" and each.key in simulation]
    return {each.name: _shortest(simulation[each.key]) for each in there}


def apply_values(simulation: bpy.types.Object, values: Mapping[str, float | bool]) -> list[str]:
    """Set parameters by name. Returns a sentence for each value that did not fit."""
    known = {each.name: each for each in parameters(simulation) if each.state != "unused"}
    moving = animated(simulation, [each.key for each in known.values()])
    said: list[str] = []
    for name, value in values.items():
        each = known.get(name)
        if each is None:
            said.append(f'The script has no parameter "{name}".')
        elif each.key in moving:
            said.append(f'"{name}" is animated and was left alone.')
        elif (each.kind is bool) != isinstance(value, bool):
            said.append(f'"{name}" is {"on or off" if each.kind is bool else "a number"}, not {_shown(value)}.')
        else:
            fitted = each.fitted(value)
            if not _same(float(fitted), float(value)):
                said.append(f'"{name}" was to be {_shown(value)} and is {_shown(fitted)}, to fit the script.')
            simulation[each.key] = fitted
    simulation.update_tag()
    return said


def bring_values(simulation: bpy.types.Object, values: Mapping[str, float | bool]) -> None:
    """Set parameters that the script has yet to declare: those that a preset brings, before anything was run."""
    brought = []
    for name, value in values.items():
        # No default is known yet: one that the value is not makes it a value that was chosen.
        other = not value if isinstance(value, bool) else 0 if value else 1
        each = Parameter(name, _free_key(simulation, name, set()), other, state="unseen")
        simulation[each.key] = float(value) if type(value) is int and abs(value) > _INT else value
        brought.append(each)
    _store(simulation, brought)


def reset(simulation: bpy.types.Object, name: str = "") -> list[str]:
    """Set one parameter, or all, back to the script's default. Animated ones are left alone, and said."""
    wanted = [each for each in parameters(simulation) if not name or each.name == name]
    return apply_values(simulation, {each.name: each.default for each in wanted if each.state != "unused"})


# ===== The panel


def draw(layout: bpy.types.UILayout, simulation: bpy.types.Object) -> None:
    """The sliders, in the script's order. Draw it in a panel."""
    shown = [each for each in parameters(simulation) if each.key in simulation]
    narrow = _is_narrow()
    if not shown:
        draw_wrapped(layout, bpy.context, "Press Check to read the parameters")
        return
    moving = animated(simulation, [each.key for each in shown])
    used = [each for each in shown if each.state != "unused"]
    column = layout.column(align=narrow)
    for each in used:
        _draw_slider(column, simulation, each, each.key in moving, narrow)
    if len(used) < len(shown):
        layout.label(text="Not in the Script")
        column = layout.column(align=narrow)
        for each in shown:
            if each.state == "unused":
                _draw_slider(column, simulation, each, True, narrow)
    row = layout.column(align=True) if narrow else layout.row(align=True)
    row.operator("fluid_addon.choose_values", text="Values", icon="PRESET").name = simulation.name
    part = row.row(align=True)
    part.enabled = any(each.key not in moving and not _same(simulation[each.key], each.default) for each in used)
    part.operator("fluid_addon.reset_parameters", text="Reset All", icon="LOOP_BACK").name = simulation.name


def _is_narrow() -> bool:
    """Whether names do not fit on their sliders, as in a Text Editor's sidebar before it is drawn wider."""
    region = bpy.context.region
    return region is not None and region.width < 240 * bpy.context.preferences.system.ui_scale


def _draw_slider(
    column: bpy.types.UILayout, simulation: bpy.types.Object, each: Parameter, is_animated: bool, narrow: bool
) -> None:
    above = narrow and each.kind is not bool
    if above:
        column.label(text=each.title)
    row = column.row(align=True)
    bounded = each.minimum is not None and each.maximum is not None
    row.prop(simulation, data_path(each.key), text="" if above else each.title, slider=bounded)
    if each.kind is not bool and not is_animated and not _same(simulation[each.key], each.default):
        again = row.operator("fluid_addon.reset_parameters", text="", icon="LOOP_BACK")
        again.name, again.parameter = simulation.name, each.name
    row.prop_decorator(simulation, data_path(each.key))
