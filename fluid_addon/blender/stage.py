# SPDX-License-Identifier: GPL-3.0-or-later
"""A stage on which smoke reads well: a framed camera, a warm key from the side, a cool rim, a dark backdrop."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import bpy
from mathutils import Matrix, Vector

from .survey import Box

__all__ = ["build_stage"]

#: From the subject to the camera and to the lights, in world axes (Z is up).
TO_CAMERA = (0.42, -1.0, 0.17)
FOCAL_LENGTH, SENSOR_WIDTH = 60.0, 36.0  # mm
#: The share of the picture's half that stays empty around the subject.
MARGIN = 0.07


@dataclass(frozen=True)
class Light:
    """A sun: its brightness does not fall with distance, so a stage of any size is lit alike."""

    name: str
    comes_from: tuple[float, float, float]
    strength: float
    color: tuple[float, float, float]
    softness: float  # degrees of the sky that it fills


LIGHTS = (
    Light("Key", (-1.0, -0.15, 0.9), 9.0, (1.0, 0.93, 0.84), 6.0),
    Light("Rim", (0.9, 0.9, 0.35), 3.5, (0.62, 0.78, 1.0), 10.0),
    Light("Fill", (0.6, -1.0, 0.0), 0.7, (0.7, 0.8, 1.0), 60.0),
)
BACKDROP_CENTRE, BACKDROP_EDGE = (0.030, 0.036, 0.047, 1.0), (0.004, 0.005, 0.008, 1.0)


def _facing(direction: Vector) -> Matrix:
    """The rotation of a camera or light that looks along `direction`, its top upwards."""
    return direction.to_track_quat("-Z", "Y").to_matrix().to_4x4()


def _camera_place(box: Box, aspect: float, to_camera: Vector) -> tuple[Matrix, float]:
    """Where a camera sees the whole box, and how far that is from the box's centre. `aspect` is width by height."""
    turned = _facing(-to_camera)
    half_of_longer = SENSOR_WIDTH / 2.0 / FOCAL_LENGTH * (1.0 - MARGIN)
    slope_x, slope_y = half_of_longer * min(1.0, aspect), half_of_longer * min(1.0, 1.0 / aspect)
    to_view = turned.inverted()
    distance = 0.0
    for corner in box.corners - box.centre:
        x, y, nearer = to_view @ Vector(corner)
        distance = max(distance, abs(x) / slope_x + nearer, abs(y) / slope_y + nearer)
    place = Matrix.Translation(Vector(box.centre) + to_camera.normalized() * distance) @ turned
    return place, distance


def _add_camera(scene: bpy.types.Scene, box: Box, to_camera: Vector) -> None:
    data = bpy.data.cameras.new("Camera")
    data.lens, data.sensor_width, data.sensor_fit = FOCAL_LENGTH, SENSOR_WIDTH, "AUTO"
    camera = bpy.data.objects.new("Camera", data)
    camera.matrix_world, distance = _camera_place(box, scene.render.resolution_x / scene.render.resolution_y, to_camera)
    data.clip_start, data.clip_end = distance / 100.0, distance * 100.0
    scene.collection.objects.link(camera)
    scene.camera = camera


def _add_lights(scene: bpy.types.Scene) -> None:
    for light in LIGHTS:
        data = bpy.data.lights.new(light.name, "SUN")
        data.energy, data.color, data.angle = light.strength, light.color, math.radians(light.softness)
        lamp = bpy.data.objects.new(light.name, data)
        lamp.matrix_world = _facing(-Vector(light.comes_from))
        scene.collection.objects.link(lamp)


def _add_backdrop(scene: bpy.types.Scene) -> None:
    """A dark glow behind the subject, seen by the camera only: it lights nothing, so it costs no samples."""
    world = scene.world = bpy.data.worlds.new("Backdrop")
    if world.node_tree is None:  # before Blender 5.0 a world starts without nodes
        world.use_nodes = True
    nodes, links = world.node_tree.nodes, world.node_tree.links
    nodes.clear()
    place = nodes.new("ShaderNodeTexCoord")
    distance = nodes.new("ShaderNodeVectorMath")
    distance.operation, distance.inputs[1].default_value = "DISTANCE", (0.5, 0.45, 0.0)
    ramp = nodes.new("ShaderNodeValToRGB")
    ramp.color_ramp.interpolation = "EASE"
    centre, edge = ramp.color_ramp.elements
    centre.color, edge.color, edge.position = BACKDROP_CENTRE, BACKDROP_EDGE, 0.8
    background, output = nodes.new("ShaderNodeBackground"), nodes.new("ShaderNodeOutputWorld")
    links.new(place.outputs["Window"], distance.inputs[0])
    links.new(distance.outputs["Value"], ramp.inputs["Fac"])
    links.new(ramp.outputs["Color"], background.inputs["Color"])
    links.new(background.outputs["Background"], output.inputs["Surface"])
    world.cycles.sampling_method = "NONE"  # a map of what lights nothing takes seconds to make
    for ray in ("diffuse", "glossy", "transmission", "scatter"):
        setattr(world.cycles_visibility, ray, False)


def build_stage(scene: bpy.types.Scene, box: Box, view: Sequence[float] | None = None) -> None:
    """Put camera, lights and backdrop into `scene`, framed on `box`. Takes the picture's shape from the scene.

    `view` points from the subject to the camera.
    """
    _add_camera(scene, box, Vector(view or TO_CAMERA))
    _add_lights(scene)
    _add_backdrop(scene)
