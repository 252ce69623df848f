# SPDX-License-Identifier: GPL-3.0-or-later
"""Keyframes, drivers and NLA strips of parameters become the values that Blender itself shows at each frame."""

from __future__ import annotations

import math
from typing import ClassVar

import pytest


@pytest.fixture
def world(bpy, extension):
    """A simulation with a number, a whole number and a switch, and what reads it."""

    class World:
        scene = bpy.context.scene
        parameters = extension("blender.parameters")
        simulation = extension("blender.simulation").new_simulation(scene, bpy.data.texts.new("smoke.lua"), "Smoke")
        notes: ClassVar[list[str]] = []

        def key(self, name, *keys, interpolation="LINEAR"):
            for frame, value in keys:
                self.simulation[name] = value
                self.simulation.keyframe_insert(f'["{name}"]', frame=frame)
            curve = self.curve(name)
            for point in curve.keyframe_points:
                point.interpolation = interpolation
            return curve

        def curve(self, name):
            own = self.simulation.animation_data
            bag = own.action.layers[0].strips[0].channelbag(own.action_slot)
            return next(curve for curve in bag.fcurves if curve.data_path == f'["{name}"]')

        def drive(self, name, expression="0.0", target=None, path=""):
            driver = self.simulation.driver_add(f'["{name}"]').driver
            driver.type, driver.expression = "SCRIPTED", expression
            if target is not None:
                variable = driver.variables.new()
                variable.name = "it"
                variable.targets[0].id, variable.targets[0].data_path = target, path
            return driver

        def values(self):
            return self.parameters.values_over_frames(self.simulation, self.scene)

        def seen(self, name, frames):
            """What Blender shows at these frames, while the object is visible."""
            found = {}
            for frame in frames:
                self.scene.frame_set(frame)
                depsgraph = bpy.context.view_layer.depsgraph
                found[frame] = self.simulation.evaluated_get(depsgraph)[name]
            return found

        def at(self, name, frame):
            """What the script will read at a frame."""
            told = extension("script.parameters").Parameters(self.values(), note=self.notes.append)
            for each in self.parameters.parameters(self.simulation):
                told.declare(each.name, each.default, each.minimum, each.maximum)
            return told.value_at(name, frame)

    made = World()
    made.parameters.declare(
        made.simulation,
        [
            {"name": "lift", "default": 1.0, "minimum": 0.0, "maximum": 10.0, "help": ""},
            {"name": "count", "default": 4, "minimum": -20, "maximum": 20, "help": ""},
            {"name": "closed", "default": True, "minimum": None, "maximum": None, "help": ""},
        ],
    )
    made.scene.frame_end = 20
    return made


def test_nothing_is_told_where_nothing_was_changed(world) -> None:
    assert world.values() == {}


def test_keys_are_sampled_at_each_frame_as_blender_shows_them(world) -> None:
    world.key("lift", (1, 0.0), (11, 10.0), interpolation="BEZIER")
    world.key("count", (1, -5), (16, 6))
    world.key("closed", (1, True), (9, False))
    world.scene.frame_set(7, subframe=0.25)
    told = world.values()
    assert (world.scene.frame_current, world.scene.frame_subframe) == (7, 0.25)
    frames = range(21)
    for name in ("lift", "count", "closed"):
        seen = world.seen(name, frames)
        assert len(set(seen.values())) > 1
        assert {frame: world.at(name, frame) for frame in frames} == pytest.approx(seen, rel=1e-6)
    assert all(isinstance(value, bool) for value in told["closed"].values())
    assert all(isinstance(value, int) for value in told["count"].values())


def test_equal_samples_at_the_ends_need_not_be_told(world) -> None:
    world.key("lift", (5, 2.0), (8, 5.0))
    told = world.values()["lift"]
    assert (min(told), max(told)) == (5, 8)
    assert (world.at("lift", 0), world.at("lift", 20)) == (2.0, 5.0)


def test_keys_after_the_end_of_the_scene_count(world) -> None:
    world.key("lift", (1, 0.0), (41, 8.0))
    assert world.at("lift", 31) == pytest.approx(6.0)


def test_a_curve_that_shoots_over_the_range_is_cut_there_and_said(world) -> None:
    world.key("lift", (1, 2.0), (11, 2.0))
    world.curve("lift").keyframe_points[1].co.y = 22.0
    assert [world.at("lift", frame) for frame in (1, 3, 11)] == pytest.approx([2.0, 6.0, 10.0])
    assert world.notes[0] == 'The parameter "lift" was set to 12 to 22, which does not fit it: the nearest was taken.'


def test_muted_curves_leave_the_value_as_it_stands(world) -> None:
    curve = world.key("lift", (1, 0.0), (11, 10.0))
    curve.mute = True
    world.simulation["lift"] = 3.0
    assert world.values() == {"lift": 3.0}


def test_a_muted_group_leaves_the_value_as_it_stands(world) -> None:
    world.key("lift", (1, 0.0), (11, 10.0))
    own = world.simulation.animation_data
    bag = own.action.layers[0].strips[0].channelbag(own.action_slot)
    group = bag.groups.new("Mine")
    world.curve("lift").group = group
    group.mute = True
    world.simulation["lift"] = 3.0
    assert world.values() == {"lift": 3.0}
    group.mute = False
    assert isinstance(world.values()["lift"], dict)


def test_modifiers_of_curves_count(world) -> None:
    curve = world.key("lift", (1, 0.0), (5, 4.0))
    curve.modifiers.new("CYCLES")
    assert [world.at("lift", frame) for frame in (1, 3, 4, 6, 7, 11)] == pytest.approx([0, 2, 3, 1, 2, 2])
    noise = curve.modifiers.new("NOISE")
    noise.strength = 3.0
    seen = world.seen("lift", range(21))
    assert {frame: world.at("lift", frame) for frame in range(21)} == pytest.approx(seen, rel=1e-6)


def test_an_expression_drives_a_parameter(world) -> None:
    world.drive("lift", "frame / 4")
    world.scene.frame_set(6)
    assert [world.at("lift", frame) for frame in (0, 2, 20)] == pytest.approx([0.0, 0.5, 5.0])
    assert world.scene.frame_current == 6


def test_a_driver_follows_an_animated_object(world, bpy) -> None:
    other = bpy.data.objects.new("Slider", None)
    world.scene.collection.objects.link(other)
    for frame, place in ((1, 0.0), (11, 5.0)):
        other.location.x = place
        other.keyframe_insert("location", index=0, frame=frame)
    world.drive("lift", "it * 2", other, "location.x")
    seen = world.seen("lift", range(21))
    assert seen[11] == pytest.approx(10.0)
    assert {frame: world.at("lift", frame) for frame in range(21)} == pytest.approx(seen, rel=1e-6)


@pytest.mark.parametrize("way", ["hidden", "excluded"])
def test_drivers_count_where_the_object_is_not_in_the_view(world, bpy, way) -> None:
    world.drive("lift", "frame / 4")
    found = world.simulation
    if way == "hidden":
        found.hide_viewport = True
    else:
        drawer = bpy.data.collections.new("Drawer")
        world.scene.collection.children.link(drawer)
        drawer.objects.link(found)
        world.scene.collection.objects.unlink(found)
        bpy.context.view_layer.layer_collection.children["Drawer"].exclude = True
    assert [world.at("lift", frame) for frame in (0, 2, 20)] == pytest.approx([0.0, 0.5, 5.0])
    assert found.hide_viewport is (way == "hidden")
    where = "Drawer" if way == "excluded" else world.scene.collection.name
    assert [each.name for each in found.users_collection] == [where]


def test_an_nla_strip_animates_a_parameter(world) -> None:
    world.key("lift", (1, 0.0), (11, 10.0))
    own = world.simulation.animation_data
    strip = own.nla_tracks.new().strips.new("Rise", 5, own.action)
    strip.action_slot = own.action_slot
    own.action = None
    seen = world.seen("lift", range(21))
    assert seen[15] == pytest.approx(10.0)
    assert seen[10] == pytest.approx(5.0)
    assert {frame: world.at("lift", frame) for frame in range(21)} == pytest.approx(seen, rel=1e-6)
    own.nla_tracks[0].mute = True
    world.simulation["lift"] = 1.0
    assert world.values() == {}


def test_an_action_over_nla_tracks_is_what_blender_makes_of_both(world) -> None:
    world.key("lift", (1, 2.0), (11, 2.0))
    own = world.simulation.animation_data
    strip = own.nla_tracks.new().strips.new("Base", 1, own.action)
    strip.action_slot = own.action_slot
    own.action = None
    world.key("lift", (1, 0.0), (11, 4.0))
    own.action_blend_type, own.action_influence = "ADD", 0.5
    seen = world.seen("lift", range(21))
    assert seen[11] == pytest.approx(4.0)
    assert {frame: world.at("lift", frame) for frame in range(21)} == pytest.approx(seen, rel=1e-6)


def test_a_driver_without_a_number_leaves_the_frames_around_it(world) -> None:
    world.simulation["lift"] = 2.0
    world.drive("lift", "float('nan') if frame == 3 else frame / 4")
    assert all(math.isfinite(value) for value in world.values()["lift"].values())
    assert world.at("lift", 4) == pytest.approx(1.0)


def test_the_frame_is_restored_where_sampling_fails(world, bpy) -> None:
    world.drive("lift", "frame / 4")
    world.scene.frame_set(6)

    def broken(scene, *_):
        if scene.frame_current == 9:
            world.simulation.pop("lift")
            world.simulation.update_tag()

    bpy.app.handlers.frame_change_post.append(broken)
    with pytest.raises(KeyError):
        world.values()
    assert world.scene.frame_current == 6


def test_a_changed_parameter_is_known(world) -> None:
    changed = world.parameters.is_changed
    assert not changed(world.simulation, "lift")
    world.simulation["count"] = 5
    world.drive("lift", "frame / 4")
    assert changed(world.simulation, "lift")
    assert changed(world.simulation, "count")
    assert not changed(world.simulation, "closed")
    assert not changed(world.simulation, "nobody")
