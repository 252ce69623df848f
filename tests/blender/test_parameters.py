# SPDX-License-Identifier: GPL-3.0-or-later
"""Parameters of a script are properties of its simulation, survive files and copies, and reach the run."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest

from fluid_addon.volumes.openvdb_files import read_vdb

LIFT = {"name": "lift", "default": 1.5, "minimum": 0.0, "maximum": 10.0, "help": "Speed of the rising air"}
COUNT = {"name": "count", "default": 4, "minimum": 1, "maximum": 64, "help": ""}
CLOSED = {"name": "closed", "default": True, "minimum": None, "maximum": None, "help": "Walls all around"}
SWITCH = {"default": False, "minimum": None, "maximum": None}

#: Exports a voxel of `lift` as GLSL reads it, and one as Lua does.
READS = """
param("lift", {default = 1.5, min = 0, max = 10, help = "Speed of the rising air"})
local count = param("count", {default = 4, min = 1, max = 64})
sim = FluidEngine.new{domain_size = {8, 8, 8}}
sim:add_field("seen", Format.R32F, 0)
sim:add_field("told", Format.R32F, 0)
sim:add_stencil("show", {outputs = {"seen"}, code = [[ WriteField("seen", idx, params.lift); ]]})
for frame = 1, count do
    sim:step(1 / 24)
    sim:fill("told", params.lift)
    sim:export_vdb("lift_" .. frame .. ".vdb", {fields = {"seen", "told"}})
end
"""


@pytest.fixture
def parameters(extension):
    return extension("blender.parameters")


@pytest.fixture
def smoke(bpy, extension):
    """A simulation whose script is empty."""
    text = bpy.data.texts.new("smoke.lua")
    return extension("blender.simulation").new_simulation(bpy.context.scene, text, "Smoke")


@pytest.fixture
def run(bpy, extension, smoke):
    """`run(script)` runs or checks it to its end; returns the state of the run."""
    live = extension("blender.live")

    def run(script: str, verb: str = "run"):
        smoke.fluid_addon.text.from_string(script)
        live.start(smoke, bpy.context.scene, verb)
        live.wait(smoke.fluid_addon.token, lambda _event: None)
        return live.RUNS.state(smoke.fluid_addon.token)

    return run


def exported(state, name: str) -> dict[int, float]:
    """The number in one field of each exported frame."""
    assert state.errors == []
    found = {}
    for path in Path(state.bake).glob("*.vdb"):
        (grid,) = read_vdb(path, [name])
        active = {*grid.leaf_values[grid.leaf_masks].tolist(), *grid.tiles.values[grid.tiles.active].tolist()}
        (found[int(path.stem.rpartition("_")[2])],) = active or {0.0}
    return found


def ui(simulation, name: str) -> dict:
    return simulation.id_properties_ui(name).as_dict()


# ===== Declaring


def test_each_parameter_is_a_property_with_its_range_and_tooltip(parameters, smoke) -> None:
    assert parameters.declare(smoke, [LIFT, COUNT, CLOSED]) == []
    assert [(key, smoke[key]) for key in ("lift", "count", "closed")] == [("lift", 1.5), ("count", 4), ("closed", True)]
    assert [type(smoke[key]) for key in ("lift", "count", "closed")] == [float, int, bool]
    lift = ui(smoke, "lift")
    assert (lift["min"], lift["max"], lift["default"], lift["description"]) == (0.0, 10.0, 1.5, LIFT["help"])
    assert (ui(smoke, "count")["min"], ui(smoke, "count")["max"]) == (1, 64)
    assert ui(smoke, "closed")["default"] is True
    assert ui(smoke, "count")["description"] == "Read as params.count by the script"
    assert [each.name for each in parameters.parameters(smoke)] == ["lift", "count", "closed"]


def test_declaring_again_changes_nothing(parameters, smoke) -> None:
    parameters.declare(smoke, [LIFT, COUNT])
    smoke["lift"] = 2.5
    smoke.id_properties_ui("lift").update(soft_max=3.0)  # the artist's own
    before = smoke.fluid_addon.declared
    assert parameters.declare(smoke, [LIFT, COUNT]) == []
    assert (smoke["lift"], ui(smoke, "lift")["soft_max"]) == (2.5, 3.0)
    assert smoke.fluid_addon.declared == before


@pytest.mark.parametrize(
    ("change", "value", "now", "said"),
    [
        ({"default": 3.0}, None, 3.0, []),
        ({"default": 3.0}, 2.0, 2.0, []),
        ({"maximum": 5.0}, 8.0, 5.0, ['"lift" was 8 and is 5 now, to fit the script.']),
        ({"minimum": 2.0, "default": 2.5}, None, 2.5, []),
        ({"default": 3, "minimum": 0, "maximum": 10}, 2.6, 3, ['"lift" was 2.6 and is 3 now, to fit the script.']),
        ({"default": 3, "minimum": 0, "maximum": 10}, 2.0, 2, []),
        (
            {"default": False, "minimum": None, "maximum": None},
            2.0,
            True,
            ['"lift" was 2 and is on now, to fit the script.'],
        ),
        ({"default": True, "minimum": None, "maximum": None}, None, True, []),
    ],
)
def test_a_value_changes_only_where_it_no_longer_fits(parameters, smoke, change, value, now, said) -> None:
    parameters.declare(smoke, [LIFT])
    if value is not None:
        smoke["lift"] = value
    assert parameters.declare(smoke, [LIFT | change]) == said
    assert (smoke["lift"], type(smoke["lift"])) == (now, type(now))
    assert ui(smoke, "lift")["default"] == (LIFT | change)["default"]


def test_limits_that_are_missing_or_beyond_a_property(parameters, smoke) -> None:
    free = {"minimum": None, "maximum": None, "help": ""}
    parameters.declare(
        smoke,
        [
            {"name": "free", "default": 1.0, **free},
            {"name": "zero", "default": 0.0, **free},
            {"name": "some", "default": 3, **free},
            {"name": "wide", "default": 7, "minimum": -(2**40), "maximum": 2**40, "help": ""},
            {"name": "huge", "default": 2**40, **free},
            {"name": "vast", "default": 1.0, "minimum": -1e300, "maximum": 1e300, "help": ""},
            {"name": "fixed", "default": 2.0, "minimum": 2.0, "maximum": 2.0, "help": ""},
            {"name": "half", "default": 1.0, "minimum": 0.0, "maximum": None, "help": ""},
            {"name": "above", "default": 2, "minimum": 1.5, "maximum": None, "help": ""},
        ],
    )
    assert [type(smoke[key]) for key in ("some", "wide", "huge", "above")] == [int, int, float, float]
    assert (ui(smoke, "wide")["min"], ui(smoke, "wide")["max"]) == (-(2**31) + 1, 2**31 - 1)
    assert smoke["huge"] == 2.0**40
    assert ui(smoke, "vast")["max"] == pytest.approx(3.4e38)
    assert (ui(smoke, "half")["soft_min"], ui(smoke, "half")["soft_max"]) == (0.0, 11.0)
    for key in ("free", "zero", "some", "half"):
        assert ui(smoke, key)["soft_min"] < ui(smoke, key)["soft_max"]


def test_names_that_other_properties_have_are_left_to_them(bpy, parameters, smoke) -> None:
    smoke["lift"], smoke["fluid_bake"] = "the artist's", "ours"
    entries = [LIFT, COUNT | {"name": "fluid_bake"}, COUNT | {"name": "cycles"}, COUNT | {"name": "fluid_addon"}]
    parameters.declare(smoke, entries)
    parameters.declare(smoke, entries)
    assert (smoke["lift"], smoke["fluid_bake"]) == ("the artist's", "ours")
    assert smoke.fluid_addon.token
    smoke["lift (Fluid)"] = 4.0
    smoke["cycles (Fluid)"] = 9
    assert parameters.values_over_frames(smoke, bpy.context.scene) == {"lift": 4.0, "cycles": 9}
    parameters.declare(smoke, [])
    parameters.settle(smoke)
    assert (smoke["lift"], smoke["fluid_bake"]) == ("the artist's", "ours")
    assert "lift (Fluid)" not in smoke


def test_what_the_script_no_longer_declares_goes_when_a_run_has_ended_well(parameters, smoke) -> None:
    parameters.declare(smoke, [LIFT, COUNT, CLOSED])
    smoke["mine"], smoke["lift"], smoke["closed"] = 5.0, 4.0, False
    smoke.keyframe_insert('["count"]', frame=3)
    parameters.declare(smoke, [])  # as at the beginning of a run, or in one that fails
    assert (smoke["lift"], smoke["count"], smoke["closed"]) == (4.0, 4, False)
    parameters.declare(smoke, [CLOSED])
    parameters.settle(smoke)
    assert ("lift" in smoke, smoke["count"], smoke["closed"], smoke["mine"]) == (False, 4, False, 5.0)
    states = [(each.name, each.state) for each in parameters.parameters(smoke)]
    assert states == [("closed", "declared"), ("count", "unused")]
    parameters.declare(smoke, [CLOSED, COUNT])
    parameters.settle(smoke)
    assert [each.state for each in parameters.parameters(smoke)] == ["declared", "declared"]


@pytest.mark.parametrize("text", ["{", "[1]", '[{"name": "a"}]', '[{"colour": 1}]', "null"])
def test_declarations_that_nobody_can_read_are_as_good_as_none(bpy, parameters, smoke, text) -> None:
    smoke.fluid_addon.declared = text
    assert parameters.parameters(smoke) == []
    assert parameters.values_over_frames(smoke, bpy.context.scene) == {}
    parameters.declare(smoke, [LIFT])
    assert smoke["lift"] == 1.5


# ===== Values


def test_sliders_hold_short_floats_and_scripts_get_round_numbers(bpy, parameters, smoke) -> None:
    parameters.declare(smoke, [LIFT | {"default": 0.3}])
    smoke["lift"] = struct.unpack("f", struct.pack("f", 0.1))[0]
    assert parameters.values_over_frames(smoke, bpy.context.scene) == {"lift": 0.1}
    smoke["lift"] = struct.unpack("f", struct.pack("f", 0.3))[0]
    assert parameters.values_over_frames(smoke, bpy.context.scene) == {}


def test_reset_sets_back_one_or_all(parameters, smoke, bpy) -> None:
    parameters.declare(smoke, [LIFT, COUNT, CLOSED])
    smoke["lift"], smoke["count"], smoke["closed"] = 2.0, 5, False
    assert bpy.ops.fluid_addon.reset_parameters(name="Smoke", parameter="lift") == {"FINISHED"}
    assert (smoke["lift"], smoke["count"], smoke["closed"]) == (1.5, 5, False)
    smoke.keyframe_insert('["count"]', frame=1)
    assert parameters.reset(smoke) == ['"count" is animated and was left alone.']
    assert (smoke["lift"], smoke["count"], smoke["closed"]) == (1.5, 5, True)


def test_values_are_saved_and_applied_by_name(parameters, smoke, bpy) -> None:
    operators = bpy.ops.fluid_addon
    parameters.declare(smoke, [LIFT, COUNT, CLOSED])
    smoke["lift"], smoke["count"], smoke["closed"] = 7.5, 9, False
    assert operators.save_values(name="Smoke", values="Thick") == {"FINISHED"}
    parameters.reset(smoke)
    assert operators.apply_values(name="Smoke", values="Thick") == {"FINISHED"}
    assert (smoke["lift"], smoke["count"], smoke["closed"]) == (7.5, 9, False)
    assert operators.remove_values(name="Smoke", values="Thick") == {"FINISHED"}
    with pytest.raises(RuntimeError, match='There are no values "Thick" of this script'):
        operators.apply_values(name="Smoke", values="Thick")


def test_what_does_not_fit_is_said(parameters, smoke) -> None:
    parameters.declare(smoke, [LIFT, COUNT, CLOSED])
    smoke.keyframe_insert('["closed"]', frame=1)
    said = parameters.apply_values(smoke, {"lift": 20.0, "count": 2.5, "closed": False, "gone": 1.0})
    assert said == [
        '"lift" was to be 20 and is 10, to fit the script.',
        '"count" was to be 2.5 and is 2, to fit the script.',
        '"closed" is animated and was left alone.',
        'The script has no parameter "gone".',
    ]
    assert (smoke["lift"], smoke["count"], smoke["closed"]) == (10.0, 2, True)
    assert parameters.apply_values(smoke, {"lift": True}) == ['"lift" is a number, not on.']


def test_operators_without_a_simulation_or_script_say_so(smoke, bpy) -> None:
    with pytest.raises(RuntimeError, match='There is no simulation "Nobody"'):
        bpy.ops.fluid_addon.reset_parameters(name="Nobody")
    smoke.fluid_addon.text = None
    with pytest.raises(RuntimeError, match='"Smoke" has no script'):
        bpy.ops.fluid_addon.save_values(name="Smoke", values="mine")


# ===== Files and copies


def animate(smoke) -> None:
    smoke["lift"] = 2.0
    smoke.keyframe_insert('["lift"]', frame=1)
    smoke["lift"] = 6.0
    smoke.keyframe_insert('["lift"]', frame=5)
    smoke.driver_add('["count"]').driver.expression = "frame * 2"
    smoke["closed"] = False


def as_animated(parameters, smoke, scene) -> None:
    told = parameters.values_over_frames(smoke, scene)
    assert (told["lift"][1], told["lift"][5], told["closed"]) == (2.0, 6.0, False)
    assert [told["count"][frame] for frame in (1, 3)] == [2, 6]
    assert [each.name for each in parameters.parameters(smoke)] == ["lift", "count", "closed"]
    assert (ui(smoke, "lift")["max"], ui(smoke, "lift")["description"]) == (10.0, LIFT["help"])


def test_files_keep_values_ranges_keys_and_drivers(bpy, parameters, smoke, tmp_path) -> None:
    parameters.declare(smoke, [LIFT, COUNT, CLOSED])
    animate(smoke)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "smoke.blend"))
    bpy.ops.wm.read_homefile(use_empty=True)
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "smoke.blend"))
    as_animated(parameters, bpy.data.objects["Smoke"], bpy.context.scene)


def test_copies_and_appended_objects_carry_them(bpy, parameters, smoke, tmp_path) -> None:
    parameters.declare(smoke, [LIFT, COUNT, CLOSED])
    animate(smoke)
    copy = smoke.copy()
    bpy.context.scene.collection.objects.link(copy)
    as_animated(parameters, copy, bpy.context.scene)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "smoke.blend"))
    bpy.ops.wm.read_homefile(use_empty=True)
    with bpy.data.libraries.load(str(tmp_path / "smoke.blend")) as (_, wanted):
        wanted.objects = ["Smoke"]
    appended = wanted.objects[0]
    bpy.context.scene.collection.objects.link(appended)
    as_animated(parameters, appended, bpy.context.scene)


# ===== Runs


def test_a_check_makes_the_sliders_and_a_wrong_script_leaves_them(parameters, smoke, run) -> None:
    assert run(READS, "check").exit_code == 0
    assert [each.name for each in parameters.parameters(smoke)] == ["lift", "count"]
    smoke["lift"] = 4.0
    assert run(READS.replace('param("lift"', 'error("no") --'), "check").exit_code == 3
    assert smoke["lift"] == 4.0
    assert run("x = 1", "check").exit_code == 0
    assert "lift" not in smoke


def test_the_first_run_takes_the_defaults_and_declares(parameters, smoke, run) -> None:
    state = run(READS)
    assert exported(state, "seen") == exported(state, "told") == dict.fromkeys((1, 2, 3, 4), 1.5)
    assert (smoke["lift"], smoke["count"]) == (1.5, 4)


def test_a_run_without_parameters_removes_the_old_ones(parameters, smoke, run) -> None:
    parameters.declare(smoke, [LIFT])
    assert run("print('nothing')").exit_code == 0
    assert parameters.parameters(smoke) == []


def test_keyframes_reach_lua_and_glsl_at_their_frames(bpy, smoke, run) -> None:
    run(READS, "check")
    smoke["count"] = 6
    for frame, value in ((1, 0.0), (6, 10.0)):
        smoke["lift"] = value
        smoke.keyframe_insert('["lift"]', frame=frame)
    shown = {}
    for frame in range(1, 7):
        bpy.context.scene.frame_set(frame)
        shown[frame] = smoke["lift"]
    assert len(set(shown.values())) == 6
    state = run(READS)
    assert exported(state, "seen") == pytest.approx(shown, rel=1e-6)
    assert exported(state, "told") == pytest.approx(shown, rel=1e-6)
    assert json.loads((Path(state.bake) / "manifest.json").read_text("utf-8"))["parameters"]["count"] == 6


def test_a_script_with_another_range_runs_at_once_and_says_what_it_did(smoke, run) -> None:
    run(READS, "check")
    smoke["lift"], smoke["count"] = 8.0, 2
    state = run(READS.replace("max = 10", "max = 5"))
    assert exported(state, "seen") == {1: 5.0, 2: 5.0}
    assert smoke["lift"] == 5.0
    said = [text for level, text in state.log if level == "note"]
    assert any('The parameter "lift" was set to 8, which does not fit it' in text for text in said)


def test_a_new_default_runs_at_once(smoke, run) -> None:
    run(READS, "check")
    state = run(READS.replace("default = 1.5", "default = 2.5").replace("default = 4", "default = 1"))
    assert exported(state, "seen") == {1: 2.5}
    assert smoke["lift"] == 2.5
