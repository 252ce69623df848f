# SPDX-License-Identifier: GPL-3.0-or-later
"""The material fits what a bake holds: which grids, how large, and how strong."""

from __future__ import annotations

import numpy as np
import pytest

from fluid_addon.volumes.grid import Grid

pytestmark = pytest.mark.usefixtures("bpy")

SCALAR, VECTOR = "half", "vec3f"


def material_of(kinds, peaks=None, level_sets=(), side=3.0):
    """The material for grids of these kinds, in a volume whose longest side is `side`."""
    from fluid_addon.blender.material import look_of, smoke_material
    from fluid_addon.blender.survey import Box, Survey

    box = Box(np.zeros(3), np.array([side / 3.0, side / 2.0, side]))
    return smoke_material("Smoke", look_of(kinds), Survey(dict(peaks or {}), set(level_sets), box))


def shader_of(material):
    (shader,) = (node for node in material.node_tree.nodes if node.bl_idname == "ShaderNodeVolumePrincipled")
    (output,) = (node for node in material.node_tree.nodes if node.bl_idname == "ShaderNodeOutputMaterial")
    assert output.inputs["Volume"].links[0].from_node == shader
    return shader


def attributes_behind(socket):
    """The names of the grids from which the value of a socket is computed."""
    names, waiting = set(), [link.from_node for link in socket.links]
    for node in waiting:
        if node.bl_idname == "ShaderNodeAttribute":
            names.add(node.attribute_name)
        waiting += [link.from_node for entry in node.inputs for link in entry.links]
    return names


@pytest.mark.parametrize(
    ("kinds", "density", "color", "glow"),
    [
        ({"density": SCALAR}, "density", "", set()),
        ({"velocity": VECTOR, "temperature": SCALAR, "density": SCALAR}, "density", "", {"temperature"}),
        ({"flame": SCALAR, "temperature": SCALAR, "density": SCALAR}, "density", "", {"flame"}),
        ({"heat": SCALAR, "density": SCALAR}, "density", "", {"heat"}),
        ({"Density": "float", "Color": VECTOR}, "Density", "Color", set()),
        ({"pressure": SCALAR, "my_ink": "float", "other": "float"}, "my_ink", "", set()),
        ({"flame": SCALAR}, "", "", {"flame"}),
        ({"temperature": SCALAR, "kelvin": SCALAR, "density": SCALAR}, "density", "", {"kelvin"}),
        ({"pressure": SCALAR, "velocity": VECTOR, "marker": "int32"}, "", "", set()),
    ],
    ids=["smoke", "hot smoke", "fire", "heat", "colored", "another name", "flame alone", "kelvin", "nothing to see"],
)
def test_the_shader_reads_the_grids_that_are_there(kinds, density, color, glow) -> None:
    shader = shader_of(material_of(kinds))
    assert shader.inputs["Density Attribute"].default_value == density
    assert shader.inputs["Color Attribute"].default_value == color
    assert attributes_behind(shader.inputs["Emission Strength"]) == glow
    assert attributes_behind(shader.inputs["Emission Color"]) == glow
    assert (shader.inputs["Density"].default_value > 0.0) == bool(density)
    assert (shader.inputs["Emission Strength"].default_value > 0.0) is False
    # Blackbody Intensity would let still air of 300 K glow as well.
    assert shader.inputs["Temperature Attribute"].default_value == ""


def test_smoke_is_as_thick_in_a_small_volume_as_in_a_large_one() -> None:
    def density(**options):
        return shader_of(material_of({"density": SCALAR}, **options)).inputs["Density"].default_value

    assert density(side=0.3) == pytest.approx(10.0 * density(side=3.0)) == pytest.approx(1000.0 * density(side=300.0))
    assert density(peaks={"density": 50.0}) == pytest.approx(density(peaks={"density": 1.0}) / 50.0)
    # Smoke that the script made faint stays faint.
    assert density(peaks={"density": 0.01}) == density(peaks={"density": 0.5})


def strength_at(material, grid_value: float) -> float:
    """The emission strength where the grid behind it has this value, computed from the nodes by hand."""

    def value(socket):
        if not socket.links:
            return socket.default_value
        node = socket.links[0].from_node
        if node.bl_idname == "ShaderNodeAttribute":
            return grid_value
        if node.bl_idname == "ShaderNodeMapRange":
            low, high = node.inputs["From Min"].default_value, node.inputs["From Max"].default_value
            return min(max((value(node.inputs["Value"]) - low) / (high - low), 0.0), 1.0)
        first, second = (value(entry) for entry in node.inputs[:2])
        result = {"MULTIPLY": first * second, "DIVIDE": first / second, "POWER": first**second}[node.operation]
        return min(max(result, 0.0), 1.0) if node.use_clamp else result

    return value(shader_of(material).inputs["Emission Strength"])


def test_only_what_is_hot_enough_glows() -> None:
    hot = material_of({"density": SCALAR, "temperature": SCALAR})
    assert [strength_at(hot, kelvin) for kelvin in (0.0, 1.0, 300.0, 700.0)] == [0.0] * 4
    glow = [strength_at(hot, kelvin) for kelvin in (900.0, 1200.0, 1600.0)]
    assert 0.0 < glow[0] < glow[1] < glow[2]
    assert glow[2] == pytest.approx(0.1 * strength_at(material_of({"temperature": SCALAR}, side=0.3), 1600.0))


def test_a_flame_of_any_scale_burns_alike() -> None:
    one = material_of({"flame": SCALAR}, peaks={"flame": 1.0})
    eight = material_of({"flame": SCALAR}, peaks={"flame": 8.0})
    assert strength_at(one, 0.0) == 0.0
    assert strength_at(one, 0.5) > 0.0
    assert strength_at(one, 0.5) == pytest.approx(strength_at(eight, 4.0))


def test_a_level_set_is_solid_inside() -> None:
    shader = shader_of(material_of({"density": "float"}, level_sets=["density"]))
    assert shader.inputs["Density Attribute"].default_value == ""
    assert attributes_behind(shader.inputs["Density"]) == {"density"}
    inside = shader.inputs["Density"].links[0].from_node.inputs[0].links[0].from_node
    assert (inside.operation, inside.inputs[1].default_value) == ("LESS_THAN", 0.0)


def test_a_survey_finds_what_can_be_seen() -> None:
    from fluid_addon.blender.survey import survey_grids

    values = np.full((40, 16, 16), 1e-4, np.float32)  # a haze that nobody sees
    values[3:7, 8, 8:10] = 5.0
    transform = np.diag([0.5, 0.5, 0.5, 1.0])
    survey = survey_grids([Grid.from_dense("density", values, (-8, 0, 0), transform, 0.0, "fog volume")])
    assert survey.peaks == {"density": 5.0}
    assert survey.level_sets == set()
    assert survey.visible.low.tolist() == [-2.75, 3.75, 3.75]
    assert survey.visible.high.tolist() == [-0.75, 4.25, 4.75]
    assert survey.extent == 2.0
    nothing = survey_grids([Grid.from_dense("density", values * 0.0, (0, 0, 0), transform, 0.0, "fog volume")])
    assert (nothing.peaks, nothing.visible, nothing.extent) == ({}, None, None)
