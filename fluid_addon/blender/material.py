# SPDX-License-Identifier: GPL-3.0-or-later
"""A Principled Volume material that fits the grids of a bake.

Smoke: the optical depth of a ray is density times the way it travels, so one fixed density makes a small domain
transparent and a large one a solid block. The density of the material therefore falls with the size of the volume.

Fire: Blackbody Intensity of the Principled Volume lets every voxel above 0 K glow, also the 300 K of still air, and
gains nothing from a smaller domain. Here a temperature glows only where it is hot enough to be seen (the Draper point,
798 K, is where solids begin to), in the colour of its black body. A script whose `temperature` counts from the air
around exports the degrees as `kelvin`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import bpy

from .survey import Survey

__all__ = ["Look", "look_of", "smoke_material", "viewport_density"]

#: Names under which scripts keep what a picture shows; the first one that a bake has is taken.
DENSITY_NAMES = ("density", "smoke", "dye", "soot", "fog")
FLAME_NAMES = ("flame", "flames", "fire", "heat")
TEMPERATURE_NAMES = ("kelvin", "temperature")
COLOR_NAMES = ("color", "colour", "Cd")
#: Grids that a solver works with and that are no smoke, whatever their values.
WORKING_NAMES = ("pressure", "divergence", "vorticity", "curl", "fuel", "obstacle", "collision", "solid", "weight")

SCALAR_KINDS, VECTOR_KINDS = ("float", "half"), ("vec3f",)

SMOKE_COLOR = (0.5, 0.5, 0.52, 1.0)
#: Optical depth of smoke of density 1 along the longest side of the volume. A plume is about a third as wide.
DEPTH_ALONG_EXTENT = 36.0
#: The viewport's solid mode has no light in the smoke: as dense as in a picture, it would be a flat grey shape.
VIEWPORT_SHARE = 0.35
#: Radiance times length of the hottest flame, along the longest side of the volume.
GLOW_ALONG_EXTENT = 24.0
GLOW_FROM_KELVIN = 760.0
GLOW_FULL_KELVIN = 1600.0
#: The black body of a real flame is a red that the AgX view turns pink; a film balanced for daylight shows it warmer.
HUE_OF_KELVIN = 2.1
#: A volume whose largest density is below this stays as thin as the script made it.
FAINTEST_PEAK = 0.5


@dataclass(frozen=True)
class Look:
    """The grids of a bake that can be seen, by name; None where there is no such grid."""

    smoke: str | None = None
    flame: str | None = None
    temperature: str | None = None
    color: str | None = None

    @property
    def outline(self) -> str | None:
        """The grid that the viewport's solid mode shows, which shows one only."""
        return self.smoke or self.flame or self.temperature

    @property
    def shapes(self) -> list[str]:
        """The grids that give the volume its outline. Temperature does not: still air has one, too."""
        return [name for name in (self.smoke, self.flame) if name is not None]


def look_of(kinds: Mapping[str, str]) -> Look:
    """Choose what to show among the grids of a bake, given the kind of each (see volumes.grid.GridKind).

    Smoke is a grid of a known name, else the first scalar that is not known to be something else.
    """
    scalars = [name for name, kind in kinds.items() if kind in SCALAR_KINDS]
    vectors = [name for name, kind in kinds.items() if kind in VECTOR_KINDS]
    others = {*FLAME_NAMES, *TEMPERATURE_NAMES, *WORKING_NAMES}
    return Look(
        smoke=_first_known(scalars, DENSITY_NAMES) or next((n for n in scalars if n.lower() not in others), None),
        flame=_first_known(scalars, FLAME_NAMES),
        temperature=_first_known(scalars, TEMPERATURE_NAMES),
        color=_first_known(vectors, COLOR_NAMES),
    )


def _first_known(names: Iterable[str], known: tuple[str, ...]) -> str | None:
    by_lower = {name.lower(): name for name in names}
    return next((by_lower[word.lower()] for word in known if word.lower() in by_lower), None)


class _Nodes:
    """Places nodes of one material in columns and joins them."""

    def __init__(self, tree: bpy.types.NodeTree) -> None:
        self.tree = tree
        tree.nodes.clear()

    def add(self, kind: str, column: int, row: float, label: str = "", **settings: object) -> bpy.types.Node:
        node = self.tree.nodes.new(kind)
        node.location = (220.0 * column, -260.0 * row)
        node.label = label
        for key, value in settings.items():
            setattr(node, key, value)
        return node

    def join(self, source: bpy.types.NodeSocket, target: bpy.types.NodeSocket) -> None:
        self.tree.links.new(source, target)


def _glow_of_temperature(nodes: _Nodes, shader: bpy.types.Node, grid: str, strength: float) -> None:
    kelvin = nodes.add("ShaderNodeAttribute", -5, 1.0, "Kelvin", attribute_name=grid)
    hotter = nodes.add("ShaderNodeMath", -4, 1.9, "Color temperature", operation="MULTIPLY")
    hotter.inputs[1].default_value = HUE_OF_KELVIN
    color = nodes.add("ShaderNodeBlackbody", -3, 1.9)
    visible = nodes.add("ShaderNodeMapRange", -4, 0.8, "Hot enough to glow", interpolation_type="LINEAR", clamp=True)
    visible.inputs["From Min"].default_value = GLOW_FROM_KELVIN
    visible.inputs["From Max"].default_value = GLOW_FULL_KELVIN
    steep = nodes.add("ShaderNodeMath", -3, 0.8, "Falls off like T⁴", operation="POWER")
    steep.inputs[1].default_value = 2.0
    scaled = nodes.add("ShaderNodeMath", -2, 0.8, "Fire brightness", operation="MULTIPLY")
    scaled.inputs[1].default_value = strength
    nodes.join(kelvin.outputs["Fac"], hotter.inputs[0])
    nodes.join(hotter.outputs[0], color.inputs["Temperature"])
    nodes.join(kelvin.outputs["Fac"], visible.inputs["Value"])
    nodes.join(visible.outputs["Result"], steep.inputs[0])
    nodes.join(steep.outputs[0], scaled.inputs[0])
    nodes.join(scaled.outputs[0], shader.inputs["Emission Strength"])
    nodes.join(color.outputs["Color"], shader.inputs["Emission Color"])


def _glow_of_flame(nodes: _Nodes, shader: bpy.types.Node, grid: str, peak: float, strength: float) -> None:
    stored = nodes.add("ShaderNodeAttribute", -6, 1.0, "Flame", attribute_name=grid)
    flame = nodes.add("ShaderNodeMath", -5, 1.0, "To 0 … 1", operation="DIVIDE", use_clamp=True)
    flame.inputs[1].default_value = peak
    color = nodes.add("ShaderNodeValToRGB", -4, 1.9, "Flame color")
    ramp = color.color_ramp
    ramp.elements[0].position, ramp.elements[0].color = 0.0, (0.55, 0.02, 0.0, 1.0)
    ramp.elements[1].position, ramp.elements[1].color = 1.0, (1.0, 0.62, 0.2, 1.0)
    ramp.elements.new(0.45).color = (1.0, 0.2, 0.02, 1.0)
    steep = nodes.add("ShaderNodeMath", -3, 0.8, "Softer edge", operation="POWER")
    steep.inputs[1].default_value = 1.5
    scaled = nodes.add("ShaderNodeMath", -2, 0.8, "Fire brightness", operation="MULTIPLY")
    scaled.inputs[1].default_value = strength
    nodes.join(stored.outputs["Fac"], flame.inputs[0])
    nodes.join(flame.outputs[0], color.inputs["Fac"])
    nodes.join(flame.outputs[0], steep.inputs[0])
    nodes.join(steep.outputs[0], scaled.inputs[0])
    nodes.join(scaled.outputs[0], shader.inputs["Emission Strength"])
    nodes.join(color.outputs["Color"], shader.inputs["Emission Color"])


def _thickness_of_solid(nodes: _Nodes, shader: bpy.types.Node, grid: str, density: float) -> None:
    """A level set stores signed distances: dense where they are negative, empty elsewhere."""
    distance = nodes.add("ShaderNodeAttribute", -3, 0.0, "Signed distance", attribute_name=grid)
    inside = nodes.add("ShaderNodeMath", -2, 0.0, "Inside", operation="LESS_THAN")
    inside.inputs[1].default_value = 0.0
    thick = nodes.add("ShaderNodeMath", -1, 0.0, "Thickness", operation="MULTIPLY")
    thick.inputs[1].default_value = density
    nodes.join(distance.outputs["Fac"], inside.inputs[0])
    nodes.join(inside.outputs[0], thick.inputs[0])
    nodes.join(thick.outputs[0], shader.inputs["Density"])


def _density(grid: str, survey: Survey) -> float:
    """By what the values of a grid are multiplied to be seen well in a volume of this size."""
    peak = max(survey.peaks.get(grid, 1.0), FAINTEST_PEAK)
    return DEPTH_ALONG_EXTENT / ((survey.extent or 1.0) * peak)


def viewport_density(look: Look, survey: Survey) -> float:
    """By what the viewport's solid mode multiplies the values of `look.outline`."""
    return VIEWPORT_SHARE * _density(look.outline, survey) if look.outline is not None else 1.0


def smoke_material(name: str, look: Look, survey: Survey) -> bpy.types.Material:
    """Make a material for what a bake shows. `survey` measured it: the size of the volume and the largest values."""
    extent = survey.extent or 1.0
    material = bpy.data.materials.new(name)
    if material.node_tree is None:  # before Blender 5.0 a material starts without nodes
        material.use_nodes = True
    nodes = _Nodes(material.node_tree)
    output = nodes.add("ShaderNodeOutputMaterial", 1, 0.0)
    shader = nodes.add("ShaderNodeVolumePrincipled", 0, 0.0)
    nodes.join(shader.outputs["Volume"], output.inputs["Volume"])
    inputs = shader.inputs
    inputs["Color"].default_value = SMOKE_COLOR
    inputs["Anisotropy"].default_value = 0.2
    inputs["Density"].default_value = 0.0
    inputs["Density Attribute"].default_value = ""
    inputs["Temperature Attribute"].default_value = ""  # would add the glow of Blackbody Intensity, see above

    if look.smoke is not None and look.smoke in survey.level_sets:
        _thickness_of_solid(nodes, shader, look.smoke, 4.0 * DEPTH_ALONG_EXTENT / extent)
    elif look.smoke is not None:
        inputs["Density"].default_value = _density(look.smoke, survey)
        inputs["Density Attribute"].default_value = look.smoke
    if look.flame is not None:
        peak = max(survey.peaks.get(look.flame, 1.0), 1.0)
        _glow_of_flame(nodes, shader, look.flame, peak, GLOW_ALONG_EXTENT / extent)
    elif look.temperature is not None:
        _glow_of_temperature(nodes, shader, look.temperature, GLOW_ALONG_EXTENT / extent)
    if look.color is not None:
        inputs["Color"].default_value = (1.0, 1.0, 1.0, 1.0)
        inputs["Color Attribute"].default_value = look.color
    return material
