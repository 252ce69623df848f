# SPDX-License-Identifier: GPL-3.0-or-later
"""Scripts that ask for objects of the scene: what is captured of them, and what Blender looks like meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

SCRIPT = """
sim = FluidEngine.new{domain_size = {24, 16, 16}, voxel_size = 0.25, origin = {-3, -2, -2}}
sim:add_object("body", scene.object("Body"))
for frame = 1, FRAMES do
  sim:step(1 / 24)
  print(frame, sim:reduce("body_distance", "min"), sim:read("body_velocity", {17, 8, 8})[1])
end
"""


@pytest.fixture
def simulate(bpy: Any, extension: Callable[[str], ModuleType]) -> Callable[..., Any]:
    """Makes a simulation of `SCRIPT`."""

    def make(frames: int = 4, script: str = SCRIPT) -> Any:
        text = bpy.data.texts.new("smoke.lua")
        text.write(script.replace("FRAMES", str(frames)))
        found = extension("blender.simulation").new_simulation(bpy.context.scene, text, "Smoke")
        found.fluid_addon.follow = found.fluid_addon.fit_range = False
        return found

    return make


def add_body(bpy: Any, size: float = 2.0) -> Any:
    """A cube of that edge."""
    mesh = bpy.data.meshes.new("Body")
    half = size / 2
    corners = [(x, y, z) for x in (-half, half) for y in (-half, half) for z in (-half, half)]
    faces = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    mesh.from_pydata(corners, [], faces)
    body = bpy.data.objects.new("Body", mesh)
    bpy.context.scene.collection.objects.link(body)
    return body


def push(body: Any, *keys: tuple[int, float]) -> None:
    for frame, x in keys:
        body.location.x = x
        body.keyframe_insert("location", frame=frame)
    for curve in body.animation_data.action.layers[0].strips[0].channelbags[0].fcurves:
        for point in curve.keyframe_points:
            point.interpolation = "LINEAR"


def run(extension: Callable[[str], ModuleType], found: Any) -> tuple[int, list[dict[str, Any]]]:
    live, events = extension("blender.live"), []
    live.start(found, found.users_scene[0])
    return live.wait(found.fluid_addon.token, events.append), events


def printed(events: list[dict[str, Any]]) -> list[list[float]]:
    return [[float(word) for word in e["text"].split()] for e in events if e["event"] == "log"]


def messages(events: list[dict[str, Any]]) -> list[str]:
    return [item["message"] for e in events if e["event"] == "error" for item in e["diagnostics"]]


def test_an_animated_and_deforming_object_drives_the_fields(bpy, extension, simulate, tmp_path):
    body = add_body(bpy)
    body.shape_key_add(name="Basis")
    grown = body.shape_key_add(name="Grown")
    for point in grown.data:
        point.co *= 1.5
    for frame, value in ((2, 0.0), (3, 1.0)):
        grown.value = value
        grown.keyframe_insert("value", frame=frame)
    push(body, (3, 0.0), (4, 0.25), (5, 0.5))
    bpy.context.scene.frame_set(7, subframe=0.5)
    code, events = run(extension, simulate(5))
    assert code == 0, messages(events)
    (_, first, v1), (_, second, v2), (_, third, v3), (_, _, v4), (_, _, v5) = printed(events)
    assert first == second == pytest.approx(-0.875), "the middle of the voxels beside the axis"
    assert third == pytest.approx(-1.0), "grown to three, deeper than the band is wide"
    assert (v1, v2) == (0.0, 0.0)
    assert v3 == pytest.approx(1.375 / 1.5 * 0.5 * 24), "beside a side that moves outwards by half a unit in a frame"
    assert (v4, v5) == pytest.approx((0.25 * 24, 0.25 * 24)), "it is pushed"
    assert (bpy.context.scene.frame_current, bpy.context.scene.frame_subframe) == (7, 0.5)
    captures = [event for event in events if event["event"] == "capture"]
    assert all(event["name"] == '"Body"' and event["frames"] == 5 for event in captures)
    assert not list((tmp_path / "cache").glob("captures")), "what was captured goes with the run"


def test_modifiers_parents_hidden_objects_and_curves_count(bpy, extension, simulate):
    parent = bpy.data.objects.new("Parent", None)
    parent.scale = (2.0, 2.0, 2.0)
    bpy.context.scene.collection.objects.link(parent)
    body = add_body(bpy, 0.5)
    body.parent = parent
    mirror = body.modifiers.new("Array", "ARRAY")
    mirror.count, mirror.use_relative_offset, mirror.use_constant_offset = 2, False, True
    mirror.constant_offset_displace = (1.0, 0.0, 0.0)
    aside = bpy.data.collections.new("Aside")
    bpy.context.scene.collection.children.link(aside)
    aside.objects.link(body)
    bpy.context.scene.collection.objects.unlink(body)
    bpy.context.view_layer.layer_collection.children["Aside"].exclude = True
    body.hide_viewport = True
    curve = bpy.data.curves.new("Tube", "CURVE")
    curve.dimensions, curve.bevel_depth, curve.use_fill_caps = "3D", 0.6, True
    line = curve.splines.new("POLY")
    line.points.add(1)
    line.points[0].co, line.points[1].co = (-2, 0, 0, 1), (2, 0, 0, 1)
    bpy.context.scene.collection.objects.link(bpy.data.objects.new("Tube", curve))
    script = SCRIPT.replace("for frame", 'sim:add_object("tube", scene.object("Tube"))\nfor frame', 1)
    looked_at = 'sim:read("body_distance", {20, 8, 8}), sim:reduce("tube_distance", "min")'
    script = script.replace('sim:read("body_velocity", {17, 8, 8})[1]', looked_at)
    code, events = run(extension, simulate(1, script))
    assert code == 0, messages(events)
    ((_, deepest, second, tube),) = printed(events)
    assert deepest == pytest.approx(-0.375)
    assert second == pytest.approx(-0.375), "the second of the array, two units aside"
    assert tube < -0.3
    assert body.hide_viewport and body.name not in bpy.context.scene.collection.objects


def test_hiding_that_is_animated_turns_an_object_off_and_all_of_it_goes_without_a_window(
    bpy, extension, simulate, capsys
):
    body = add_body(bpy)
    for frame, hidden in ((1, False), (2, True), (3, False)):
        body.hide_viewport = hidden
        body.keyframe_insert("hide_viewport", frame=frame)
    simulate(3)
    assert extension("blender.headless").run_scene(bpy.context.scene) == 0
    said = capsys.readouterr()
    lines = [line.split() for line in said.out.splitlines() if line[:1].isdigit() and "\t" in line]
    assert [float(inside) for _, inside, _ in lines] == pytest.approx([-0.875, 1.0, -0.875])
    assert 'The object "Body" has no faces in frame 2.' in said.err


def test_an_object_that_is_no_mesh(bpy, extension, simulate):
    bpy.context.scene.collection.objects.link(bpy.data.objects.new("Lamp", bpy.data.lights.new("Lamp", "POINT")))
    code, events = run(extension, simulate(1, SCRIPT.replace('"Body"', '"Lamp"')))
    assert (code, messages(events)) == (3, ['The object "Lamp" is a light, which has no faces.'])
    assert not [event for event in events if event["event"] == "capture"]


def to_capture(extension: Callable[[str], ModuleType], found: Any) -> Any:
    """Begin a run, up to where the first slice was captured."""
    live, capture = extension("blender.live"), extension("blender.scene_capture")
    live.start(found, found.users_scene[0])
    end = time.monotonic() + 60
    while not live.RUNS.to_capture:
        live.RUNS.poll()
        assert time.monotonic() < end
        time.sleep(0.01)
    capture.SLICE = capture.SLICE_IN_FRAMES = 0.0  # a frame each time
    assert [event["event"] for _, event in capture.advance(live.RUNS)] == ["capture"]
    return live


@pytest.fixture(autouse=True)
def slices_restored(extension: Callable[[str], ModuleType]):
    capture = extension("blender.scene_capture")
    usual = capture.SLICE, capture.SLICE_IN_FRAMES
    yield
    capture.SLICE, capture.SLICE_IN_FRAMES = usual


def test_between_slices_nothing_is_out_of_place_and_stop_ends_it(bpy, extension, simulate, tmp_path):
    push(add_body(bpy), (1, 0.0), (50, 1.0))
    bpy.context.scene.frame_set(9)
    found = simulate(50)
    live = to_capture(extension, found)
    state = live.RUNS.state(found.fluid_addon.token)
    assert (state.headline, state.fraction) == ('Capturing "Body" 1/50', 0.02)
    assert bpy.context.scene.frame_current == 9
    bpy.context.scene.frame_set(20)  # the artist goes on
    extension("blender.scene_capture").advance(live.RUNS)
    assert (state.headline, bpy.context.scene.frame_current) == ('Capturing "Body" 2/50', 20)
    live.stop(found.fluid_addon.token)
    assert (state.headline, live.RUNS.is_busy) == ("Stopped", False)
    assert not list((tmp_path / "cache").glob("captures"))


def test_an_object_that_goes_while_it_is_captured(bpy, extension, simulate):
    body = add_body(bpy)
    push(body, (1, 0.0), (50, 1.0))
    found = simulate(50)
    live = to_capture(extension, found)
    body.name = "Ball"
    events: list[dict[str, Any]] = []
    assert live.wait(found.fluid_addon.token, events.append) == 3
    assert messages(events) == ['The object "Body" was deleted or renamed before it could be captured.']


def test_another_file_ends_a_capture(bpy, extension, simulate):
    push(add_body(bpy), (1, 0.0), (50, 1.0))
    live = to_capture(extension, simulate(50))
    folders = [capture.folder for capture in extension("blender.scene_capture")._captures.values()]
    assert [folder.is_dir() for folder in folders] == [True]
    bpy.ops.wm.read_homefile(use_factory_startup=True, load_ui=False)
    assert not live.RUNS.is_busy and not any(folder.exists() for folder in folders)


def test_a_mesh_that_cannot_be_used_is_named(bpy, extension, simulate):
    body = add_body(bpy)
    body.data.vertices[3].co.x = float("nan")
    code, events = run(extension, simulate(1))
    assert (code, messages(events)) == (3, ['Vertex 4 of the object "Body" in frame 0 is not at a finite place.'])


def test_the_domain_is_drawn_where_it_is_and_follows_the_script(bpy, extension, simulate):
    add_body(bpy)
    found = simulate(1)
    found.location = (10.0, 0.0, 0.0)
    assert bpy.ops.fluid_addon.show_domain(name="Smoke") == {"FINISHED"}
    drawn = bpy.data.objects["Smoke Domain"]
    bpy.context.view_layer.update()
    corners = [tuple(drawn.matrix_world @ type(drawn.location)(c)) for c in ((-1, -1, -1), (1, 1, 1))]
    assert corners == [pytest.approx((7.0, -2.0, -2.0)), pytest.approx((13.0, 2.0, 2.0))]
    assert drawn.type == "EMPTY" and drawn.hide_render
    found.fluid_addon.text.from_string(found.fluid_addon.text.as_string().replace("24, 16, 16", "24, 16, 32"))
    body = bpy.data.objects["Body"]
    body.location.x = 10.0  # beside it, since the simulation was moved there
    code, events = run(extension, found)
    assert code == 0 and printed(events)[0][1] == pytest.approx(-0.875)
    assert tuple(drawn.scale) == pytest.approx((3.0, 2.0, 4.0))
    assert bpy.ops.fluid_addon.show_domain(name="Smoke") == {"FINISHED"}
    assert "Smoke Domain" not in bpy.data.objects
