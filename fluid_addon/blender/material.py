# SPDX-License-Identifier: GPL-3.0-or-later
"""A Principled Volume material that fits the grids of a bake.

Smoke: the optical depth of a ray is density times the way it travels, so one fixed density makes a small domain
transparent and a large one a solid block. The density of the material therefore falls with the size of the volume.

Fire: Blackbody Intensity of the Principled Volume lets every voxel above 0 K glow, also the 300 K of still air, and
gains nothing from a smaller domain. Here a temperature glows only where it is hot enough to be seen (the Draper point,
798 K, is where solids begin to), in the colour of its black body.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import bpy

__all__ = ["smoke_material"]

#: Names under which scripts keep what a picture shows; the first one that a bake has is taken.
DENSITY_NAMES = ("density", "smoke", "dye", "soot", "fog")
FLAME_NAMES = ("flame", "flames", "fire", "heat")
TEMPERATURE_NAMES = ("temperature", "temp")
COLOR_NAMES = ("color", "colour", "Cd")
#: Grids that a solver works with and that are no smoke, whatever their values.
WORKING_NAMES = ("pressure", "divergence", "vorticity", "curl", "fuel", "obstacle", "collision", "solid", "weight")

#: Optical depth of smoke of density 1 along the longest side of the volume. A plume is about a third as wide.
DEPTH_ALONG_EXTENT = 60.0
#: Radiance times length of the hottest flame, along the longest side of the volume.
GLOW_ALONG_EXTENT = 60.0
GLOW_FROM_KELVIN = 760.0
GLOW_FULL_KELVIN = 1600.0
#: The black body of a real flame is a red that the AgX view turns pink; a film balanced for daylight shows it warmer.
HUE_OF_KELVIN = 1.5
#: A volume whose largest density is below this stays as thin as the script made it.
FAINTEST_PEAK = 0.5


def _first_known(names: Iterable[str], known: tuple[str, ...]) -> str | None:
    by_lower = {name.lower(): name for name in names}
    return next((by_lower[word.lower()] for word in known if word.lower() in by_lower), None)


def density_name(scalars: Iterable[str]) -> str | None:
    """The scalar grid that is the smoke: a known name, else the first that is not known to be something else."""
    names = list(scalars)
    others = {word.lower() for word in (*FLAME_NAMES, *TEMPERATURE_NAMES, *WORKING_NAMES)}
    return _first_known(names, DENSITY_NAMES) or next((name for name in names if name.lower() not in others), None)


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


def _glow_of_flame(nodes: _Nodes, shader: bpy.types.Node, grid: str, strength: float) -> None:
    flame = nodes.add("ShaderNodeAttribute", -5, 1.0, "Flame, 0 to 1", attribute_name=grid)
    color = nodes.add("ShaderNodeValToRGB", -4, 1.9, "Flame color")
    ramp = color.color_ramp
    ramp.elements[0].position, ramp.elements[0].color = 0.0, (0.55, 0.02, 0.0, 1.0)
    ramp.elements[1].position, ramp.elements[1].color = 1.0, (1.0, 0.62, 0.2, 1.0)
    ramp.elements.new(0.45).color = (1.0, 0.2, 0.02, 1.0)
    steep = nodes.add("ShaderNodeMath", -3, 0.8, "Softer edge", operation="POWER", use_clamp=True)
    steep.inputs[1].default_value = 1.5
    scaled = nodes.add("ShaderNodeMath", -2, 0.8, "Fire brightness", operation="MULTIPLY")
    scaled.inputs[1].default_value = strength
    nodes.join(flame.outputs["Fac"], color.inputs["Fac"])
    nodes.join(flame.outputs["Fac"], steep.inputs[0])
    nodes.join(steep.outputs[0], scaled.inputs[0])
    nodes.join(scaled.outputs[0], shader.inputs["Emission Strength"])
    nodes.join(color.outputs["Color"], shader.inputs["Emission Color"])


def smoke_material(
    name: str,
    *,
    scalars: Iterable[str],
    vectors: Iterable[str] = (),
    level_sets: Iterable[str] = (),
    extent: float = 1.0,
    peaks: Mapping[str, float] | None = None,
) -> bpy.types.Material:
    """Make a material for a volume with these grids.

    `scalars` and `vectors` name the fog grids of one and of three components, `level_sets` the signed distances.
    `extent` is the longest side of the volume in scene units (> 0); `peaks` the largest value found in each grid.
    """
    scalars, peaks = list(scalars), peaks or {}
    extent = extent if extent > 0.0 else 1.0
    material = bpy.data.materials.new(name)
    if material.node_tree is None:  # before Blender 5.0 a material starts without nodes
        material.use_nodes = True
    nodes = _Nodes(material.node_tree)
    output = nodes.add("ShaderNodeOutputMaterial", 1, 0.0)
    shader = nodes.add("ShaderNodeVolumePrincipled", 0, 0.0)
    nodes.join(shader.outputs["Volume"], output.inputs["Volume"])
    inputs = shader.inputs
    inputs["Color"].default_value = (0.5, 0.5, 0.52, 1.0)
    inputs["Anisotropy"].default_value = 0.2
    inputs["Temperature Attribute"].default_value = ""  # would add the glow of Blackbody Intensity, see above
    inputs["Density Attribute"].default_value = ""

    smoke = density_name(scalars)
    solid = next(iter(level_sets), None)
    if smoke is not None:
        peak = max(peaks.get(smoke, 1.0), FAINTEST_PEAK)
        inputs["Density"].default_value = DEPTH_ALONG_EXTENT / (extent * peak)
        inputs["Density Attribute"].default_value = smoke
    elif solid is not None:
        distance = nodes.add("ShaderNodeAttribute", -3, 0.0, "Signed distance", attribute_name=solid)
        inside = nodes.add("ShaderNodeMath", -2, 0.0, "Inside", operation="LESS_THAN")
        inside.inputs[1].default_value = 0.0
        thick = nodes.add("ShaderNodeMath", -1, 0.0, "Thickness", operation="MULTIPLY")
        thick.inputs[1].default_value = 4.0 * DEPTH_ALONG_EXTENT / extent
        nodes.join(distance.outputs["Fac"], inside.inputs[0])
        nodes.join(inside.outputs[0], thick.inputs[0])
        nodes.join(thick.outputs[0], inputs["Density"])
    else:
        inputs["Density"].default_value = 0.0

    flame = _first_known(scalars, FLAME_NAMES)
    temperature = _first_known(scalars, TEMPERATURE_NAMES)
    if flame is not None:
        _glow_of_flame(nodes, shader, flame, GLOW_ALONG_EXTENT / (extent * max(peaks.get(flame, 1.0), 1.0)))
    elif temperature is not None:
        _glow_of_temperature(nodes, shader, temperature, GLOW_ALONG_EXTENT / extent)

    color = _first_known(vectors, COLOR_NAMES)
    if color is not None:
        inputs["Color"].default_value = (1.0, 1.0, 1.0, 1.0)
        inputs["Color Attribute"].default_value = color
    return material
