# SPDX-License-Identifier: GPL-3.0-or-later
"""A simulation shows its newest bake while it grows, and never what an earlier one has left."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fluid_addon.volumes.bake import Bake, Measured
from fluid_addon.volumes.openvdb_files import VdbGrid

BOX = ((-1.0, -1.0, 0.0), (1.0, 1.0, 3.0))


@pytest.fixture
def studio(bpy, extension):
    """A scene with a simulation in a collection of its own."""
    return Studio(bpy, extension)


class Studio:
    def __init__(self, bpy: Any, part: Any) -> None:
        self.bpy, self.part = bpy, part
        self.module = part("blender.volume_object")
        self.collection = bpy.data.collections.new("Fluids")
        bpy.context.scene.collection.children.link(self.collection)
        self.add("Smoke")

    def add(self, name: str) -> Any:
        scene = self.bpy.context.scene
        return self.part("blender.simulation").new_simulation(scene, None, name, self.collection)

    @property
    def simulation(self) -> Any:
        return self.bpy.data.objects["Smoke"]

    @property
    def parts(self) -> dict[str, Any]:
        return {o.name: o for o in self.part("blender.parts").parts_of(self.simulation)}

    def show(self, bake: Bake) -> int | None:
        return self.module.show_bake(self.simulation, bake.folder)

    def drawn(self, shown: Any, frame: int) -> Any:
        """The volume that is drawn at a frame, its file loaded."""
        self.bpy.context.scene.frame_set(frame)
        volume = shown.evaluated_get(self.bpy.context.evaluated_depsgraph_get()).data
        assert volume.grids.load(), volume.grids.error_message
        return volume

    def file(self, shown: Any, frame: int) -> str | None:
        """Folder and name of the file that is drawn."""
        volume = self.drawn(shown, frame)
        path = Path(self.bpy.path.abspath(volume.grids.frame_filepath))
        return f"{path.parent.name}/{path.name}" if len(volume.grids) else None

    def files(self, bake: Bake, *frames: int) -> list[str | None]:
        """Names of the files that the simulation draws; all must be of that bake."""
        found = [self.file(self.simulation, frame) for frame in frames]
        assert all(name is None or name.startswith(f"{bake.folder.name}/") for name in found), found
        return [name and name.partition("/")[2] for name in found]


def shader_of(shown: Any) -> Any:
    nodes = shown.data.materials[0].node_tree.nodes
    return next(node for node in nodes if node.bl_idname == "ShaderNodeVolumePrincipled")


def record(bake: Bake, name: str, *, peak: float = 1.0, grid: str = "density") -> None:
    """A file that nobody can read, with what a run measures of a frame."""
    bake.frame_path(name).write_bytes(b"no volume at all")
    bake.add_frame(name, time=0.0, grids={grid: "half"}, measured=Measured({grid: peak}, (), BOX))


# ===== Frames that arrive


@pytest.mark.parametrize("step", [1, 10])
def test_frames_are_shown_as_they_arrive_and_each_holds_until_the_next(studio, new_bake, add_frames, step) -> None:
    bake = new_bake()
    assert studio.show(bake) is None
    assert not studio.simulation.data.filepath
    for count in range(1, 5):
        numbers = [step * place for place in range(1, count + 1)]
        add_frames(bake, f"smoke_{numbers[-1]}.vdb")
        assert studio.show(bake) == numbers[-1]
        asked = range(step - 1, numbers[-1] + 2 * step)
        held = [max((number for number in numbers if number <= frame), default=None) for frame in asked]
        assert studio.files(bake, *asked) == [number and f"smoke_{number}.vdb" for number in held]
    assert studio.bpy.data.actions[:] == [studio.simulation.data.animation_data.action]
    assert studio.parts == {}


def test_the_frame_on_screen_follows_without_a_step_of_the_timeline(studio, new_bake, add_frames) -> None:
    bake = new_bake("smoke_1.vdb")
    studio.show(bake)
    assert studio.files(bake, 7) == ["smoke_1.vdb"]
    add_frames(bake, "smoke_6.vdb")
    studio.show(bake)
    depsgraph = studio.bpy.context.evaluated_depsgraph_get()
    volume = studio.simulation.evaluated_get(depsgraph).data
    assert volume.grids.load()
    assert Path(volume.grids.frame_filepath).name == "smoke_6.vdb"


def test_several_grids_in_one_file_are_all_shown(studio, plume_bake, add_frames) -> None:
    assert studio.show(plume_bake) == 30
    names = sorted(grid.name for grid in studio.drawn(studio.simulation, 25).grids)
    assert names == ["density", "temperature", "velocity"]
    labels = {node.label for node in studio.simulation.data.materials[0].node_tree.nodes}
    assert "Hot enough to glow" in labels


def test_what_is_right_already_is_not_touched(studio, new_bake, add_frames) -> None:
    bake = new_bake("a_1.vdb", "a_5.vdb", "b_2.vdb", "still.vdb")
    studio.show(bake)
    layer = studio.bpy.context.view_layer
    layer.update()
    for _ in range(2):
        assert studio.show(bake) == 5
        for kind in ("VOLUME", "OBJECT", "ACTION", "MATERIAL", "COLLECTION"):
            assert not layer.depsgraph.id_type_updated(kind), kind
    studio.bpy.context.scene.frame_set(9)
    layer.update()
    studio.show(bake)
    assert not layer.depsgraph.id_type_updated("VOLUME")


def test_no_volume_file_is_opened(studio, new_bake) -> None:
    bake = new_bake()
    for number in (1, 2):
        record(bake, f"smoke_{number}.vdb", peak=4.0)
        assert studio.show(bake) == number
    depth = studio.part("blender.material").DEPTH_ALONG_EXTENT
    assert shader_of(studio.simulation).inputs["Density"].default_value == pytest.approx(depth / (3.0 * 4.0))
    assert shader_of(studio.simulation).inputs["Density Attribute"].default_value == "density"


def test_a_bake_of_an_older_version_is_measured_by_its_files(studio, new_bake) -> None:
    bar = np.full((8, 8, 24), 2.0, np.float32)
    transform = np.diag([0.25, 0.25, 0.25, 1.0])
    bake = new_bake("a_1.vdb", grids=lambda _: [VdbGrid("density", bar, transform=transform, grid_class="fog volume")])
    studio.show(bake)
    depth = studio.part("blender.material").DEPTH_ALONG_EXTENT
    assert shader_of(studio.simulation).inputs["Density"].default_value == pytest.approx(depth / (6.0 * 2.0))


def test_files_without_a_number_have_no_newest_frame(studio, new_bake) -> None:
    bake = new_bake("still.vdb")
    assert studio.show(bake) is None
    assert studio.files(bake, -5, 1, 400) == ["still.vdb"] * 3


def test_the_record_of_a_run_is_a_survey(bpy) -> None:
    from fluid_addon.blender.survey import survey_of_records

    early = Measured({"density": 0.0, "surface": -0.5, "flame": 0.5}, ("surface",), ((-1.0, 0.0, 0.0), (1.0, 2.0, 3.0)))
    late = Measured({"density": 0.25, "flame": 0.75}, (), ((0.0, -2.0, 0.0), (1.0, 2.0, 1.0)))
    survey = survey_of_records([early, late])
    assert (survey.peaks, survey.level_sets, survey.extent) == ({"density": 0.25, "flame": 0.75}, {"surface"}, 4.0)
    assert survey_of_records([]).extent is None


# ===== Another bake


@pytest.mark.parametrize(
    ("second", "asked", "expected"),
    [
        (["smoke_0001.vdb", "smoke_0002.vdb"], (0, 1, 2, 9), [None, "smoke_0001.vdb", *["smoke_0002.vdb"] * 2]),
        (["smoke_0005.vdb"], (1, 4, 5, 9), [None, None, "smoke_0005.vdb", "smoke_0005.vdb"]),
        (["frame_10.vdb", "frame_20.vdb"], (1, 10, 19, 20), [None, *["frame_10.vdb"] * 2, "frame_20.vdb"]),
        (["still.vdb"], (1, 100), ["still.vdb"] * 2),
    ],
    ids=["the same names", "later", "other names", "no numbers"],
)
def test_another_bake_leaves_nothing_of_the_one_before(studio, new_bake, second, asked, expected) -> None:
    before = new_bake(*(f"smoke_{number:04d}.vdb" for number in (1, 2, 4, 8)))
    studio.show(before)
    assert studio.files(before, 8) == ["smoke_0008.vdb"]
    after = new_bake()
    studio.show(after)
    assert studio.files(before, 8) == ["smoke_0008.vdb"]  # until there is something to see
    after = new_bake(*second)
    studio.show(after)
    assert studio.files(after, *asked) == expected
    studio.show(before)
    assert studio.files(before, 0, 1, 3, 4, 8) == [None, *(f"smoke_{number:04d}.vdb" for number in (1, 2, 4, 8))]


def test_another_bake_undoes_a_timing_of_the_artist_but_a_growing_one_does_not(studio, new_bake, add_frames) -> None:
    bake = new_bake("a_1.vdb", "a_2.vdb")
    studio.show(bake)
    volume = studio.simulation.data
    volume.animation_data_clear()
    volume.frame_start, volume.frame_offset = 100, 0
    add_frames(bake, "a_3.vdb")
    studio.show(bake)
    assert studio.files(bake, 1, 100, 102) == [None, "a_1.vdb", "a_3.vdb"]
    other = new_bake("a_1.vdb", "a_2.vdb")
    studio.show(other)
    assert studio.files(other, 0, 1, 100) == [None, "a_1.vdb", "a_2.vdb"]


def test_a_bake_that_was_forgotten_or_has_moved_is_shown_again(studio, new_bake, tmp_path) -> None:
    bake = new_bake("a_1.vdb", "a_2.vdb")
    studio.show(bake)
    studio.part("blender.bakes").show_nothing(studio.simulation)
    studio.show(bake)
    assert studio.files(bake, 1, 2) == ["a_1.vdb", "a_2.vdb"]
    (tmp_path / "elsewhere").mkdir()
    moved = bake.folder.rename(tmp_path / "elsewhere" / bake.folder.name)
    studio.module.show_bake(studio.simulation, moved)
    assert Path(studio.simulation.data.filepath) == moved / "a_1.vdb"
    assert studio.files(bake, 2) == ["a_2.vdb"]


def test_undo_brings_back_an_older_state_and_the_next_look_mends_it(studio, new_bake, add_frames) -> None:
    undo = studio.bpy.ops.ed
    undo.undo_push(message="Nothing shown")
    bake = new_bake("a_1.vdb", "b_1.vdb")
    studio.show(bake)
    undo.undo_push(message="One frame")
    add_frames(bake, "a_4.vdb", "b_5.vdb")
    assert studio.show(bake) == 5
    undo.undo_push(message="More frames")
    for _ in range(2):
        undo.undo()
        assert studio.show(bake) == 5
        assert studio.files(bake, 1, 3, 4) == ["a_1.vdb", "a_1.vdb", "a_4.vdb"]
        (part,) = studio.parts.values()
        assert studio.file(part, 5) == f"{bake.folder.name}/b_5.vdb"


# ===== Further sequences


def test_each_further_sequence_is_a_part_at_the_place_of_the_simulation(studio, new_bake, add_frames) -> None:
    bake = new_bake("smoke_1.vdb")
    studio.simulation.location = (1.0, 2.0, 3.0)
    studio.show(bake)
    assert studio.parts == {}
    add_frames(bake, "liquid_1.vdb", "foam_3.vdb", "foam_9.vdb", "deep/foam_3.vdb")
    assert studio.show(bake) == 9
    assert studio.files(bake, 1) == ["smoke_1.vdb"]  # as before, though "foam" comes first in the alphabet
    files = {name: studio.file(part, 3).partition("/")[2] for name, part in studio.parts.items()}
    assert files == {"Smoke liquid": "liquid_1.vdb", "Smoke foam": "foam_3.vdb", "Smoke foam 2": "foam_3.vdb"}
    simulation = studio.simulation
    for part in studio.parts.values():
        assert part[studio.part("blender.parts").PART_OF] == simulation.fluid_addon.token
        assert not studio.part("blender.simulation").is_simulation(part)
        assert part.users_collection == (studio.collection,)
        assert part.matrix_world == simulation.matrix_world
        assert part.data.materials[0] != simulation.data.materials[0]


def test_parts_that_a_new_bake_lacks_go_and_the_others_keep_what_the_artist_did(studio, new_bake) -> None:
    studio.show(new_bake("smoke_1.vdb", "liquid_1.vdb", "foam_1.vdb"))
    material = studio.bpy.data.materials.new("Mine")
    studio.parts["Smoke foam"].data.materials[0] = material
    studio.parts["Smoke foam"].name = "Sea foam"
    after = new_bake("smoke_1.vdb", "foam_1.vdb")
    studio.show(after)
    ((name, part),) = studio.parts.items()
    assert (name, list(part.data.materials)) == ("Sea foam", [material])
    assert studio.file(part, 1) == f"{after.folder.name}/foam_1.vdb"
    assert len(studio.bpy.data.objects) == len(studio.bpy.data.volumes) == 2
    studio.show(new_bake("smoke_1.vdb"))
    assert studio.parts == {}


def test_a_part_that_the_artist_took_away_from_the_simulation_is_theirs(studio, new_bake) -> None:
    before = new_bake("smoke_1.vdb", "foam_1.vdb")
    studio.show(before)
    kept = studio.parts["Smoke foam"]
    kept.parent, kept.name = None, "Kept"
    after = new_bake("smoke_1.vdb", "foam_1.vdb")
    studio.show(after)
    assert studio.file(studio.bpy.data.objects["Kept"], 1) == f"{before.folder.name}/foam_1.vdb"
    assert studio.file(studio.parts["Smoke foam"], 1) == f"{after.folder.name}/foam_1.vdb"


# ===== Simulations side by side


def test_a_duplicate_that_shares_the_volume_gets_its_own_with_its_first_bake(studio, new_bake) -> None:
    first = new_bake("a_1.vdb", "a_2.vdb")
    studio.show(first)
    copy = studio.simulation.copy()  # as Blender's Duplicate Objects: the volume is shared
    studio.collection.objects.link(copy)
    studio.part("blender.simulation").give_own_token(copy)
    assert copy.fluid_addon.token != studio.simulation.fluid_addon.token
    second = new_bake("a_5.vdb")
    studio.module.show_bake(copy, second.folder)
    assert studio.files(first, 0, 1, 9) == [None, "a_1.vdb", "a_2.vdb"]
    assert [studio.file(copy, frame) for frame in (4, 5)] == [None, f"{second.folder.name}/a_5.vdb"]
    assert list(copy.data.materials) == list(studio.simulation.data.materials)


def test_animation_of_the_artist_on_the_volume_stays(studio, new_bake) -> None:
    volume = studio.simulation.data
    volume.velocity_scale = 0.5
    volume.keyframe_insert("velocity_scale", frame=3)
    bake = new_bake("a_10.vdb", "a_20.vdb")
    studio.show(bake)
    assert studio.files(bake, 9, 10, 19, 20) == [None, "a_10.vdb", "a_10.vdb", "a_20.vdb"]
    assert volume.velocity_scale == 0.5
    (action,) = studio.bpy.data.actions
    paths = {curve.data_path for curve in action.layers[0].strips[0].channelbags[0].fcurves}
    assert paths == {"velocity_scale", "frame_offset"}


# ===== Material


def test_a_material_that_is_there_stays_whatever_the_next_bake_holds(studio, new_bake) -> None:
    material = studio.bpy.data.materials.new("Mine")
    studio.simulation.data.materials.append(material)
    bake = new_bake()
    record(bake, "a_1.vdb", grid="flame")
    studio.show(bake)
    assert list(studio.simulation.data.materials) == [material]


def test_solid_mode_shows_the_smoke_as_thick_as_fits_the_domain(studio, new_bake) -> None:
    names = ("Zeal", "pressure", "smoke", "alpha", "temperature")
    ones = np.ones((8, 8, 8), np.float32)
    bake = new_bake("a_1.vdb", grids=lambda _: [VdbGrid(name, ones, grid_class="fog volume") for name in names])
    studio.simulation.data.display.density = 77.0
    studio.show(bake)
    volume = studio.drawn(studio.simulation, 1)
    assert volume.grids[volume.grids.active_index].name == "smoke"
    share = studio.part("blender.material").VIEWPORT_SHARE
    density = shader_of(studio.simulation).inputs["Density"].default_value
    assert studio.simulation.data.display.density == pytest.approx(share * density)
    studio.simulation.data.display.density = 77.0
    studio.show(new_bake("a_1.vdb"))
    assert studio.simulation.data.display.density == 77.0  # a later bake leaves it to the artist


def test_a_material_that_the_artist_removed_stays_away_while_the_bake_grows(studio, new_bake, add_frames) -> None:
    bake = new_bake("a_1.vdb")
    studio.show(bake)
    studio.simulation.data.materials.clear()
    add_frames(bake, "a_2.vdb")
    studio.show(bake)
    assert not studio.simulation.data.materials


def test_fit_material_makes_it_anew_and_can_be_undone(studio, new_bake) -> None:
    bpy = studio.bpy
    bake = new_bake()
    record(bake, "a_1.vdb", peak=1.0)
    studio.show(bake)
    bpy.context.view_layer.objects.active = studio.simulation
    other = new_bake()
    record(other, "a_1.vdb", peak=2.0, grid="flame")
    record(other, "b_1.vdb", peak=6.0, grid="smoke")
    studio.show(other)
    bpy.ops.ed.undo_push(message="Shown")
    assert shader_of(studio.simulation).inputs["Density Attribute"].default_value == "density"
    before = studio.simulation.data.materials[0].name
    assert bpy.ops.fluid_addon.fit_material("EXEC_DEFAULT", True) == {"FINISHED"}
    names = [
        node.attribute_name for node in studio.simulation.data.materials[0].node_tree.nodes if node.label == "Flame"
    ]
    assert names == ["flame"]
    depth = studio.part("blender.material").DEPTH_ALONG_EXTENT
    assert shader_of(studio.parts["Smoke b"]).inputs["Density"].default_value == pytest.approx(depth / (3.0 * 6.0))
    bpy.ops.ed.undo()
    assert studio.simulation.data.materials[0].name == before
    assert shader_of(studio.simulation).inputs["Density Attribute"].default_value == "density"


def test_fit_material_says_what_it_lacks(studio, new_bake) -> None:
    bpy = studio.bpy
    assert not bpy.ops.fluid_addon.fit_material.poll()
    bake = new_bake("a_1.vdb")
    studio.show(bake)
    assert bpy.ops.fluid_addon.fit_material.poll()
    bpy.context.view_layer.objects.active = None
    with pytest.raises(RuntimeError, match=r"No simulation is chosen\. Select its object"):
        bpy.ops.fluid_addon.fit_material()
    with pytest.raises(RuntimeError, match='There is no simulation "Fog"'):
        bpy.ops.fluid_addon.fit_material(name="Fog")
    (bake.folder / "manifest.json").unlink()
    with pytest.raises(RuntimeError, match="There is no bake in"):
        bpy.ops.fluid_addon.fit_material(name="Smoke")


# ===== What is wrong with a bake


def test_B12_damaged_files_are_left_out_until_they_are_whole(studio, new_bake) -> None:
    bake = new_bake("a_1.vdb", "a_2.vdb", "a_3.vdb")
    content = (bake.folder / "a_2.vdb").read_bytes()
    (bake.folder / "a_2.vdb").write_bytes(content[:-9])
    assert studio.show(bake) == 3
    assert studio.files(bake, 1, 2, 3) == ["a_1.vdb", "a_1.vdb", "a_3.vdb"]
    (bake.folder / "a_2.vdb").write_bytes(content)
    studio.show(bake)
    assert studio.files(bake, 1, 2, 3) == ["a_1.vdb", "a_2.vdb", "a_3.vdb"]


def test_B12_a_frame_that_is_gone_during_playback(studio, new_bake, capfd) -> None:
    bake = new_bake(*(f"a_{number}.vdb" for number in range(1, 6)))
    studio.show(bake)
    (bake.folder / "a_3.vdb").unlink()
    scene, shown = studio.bpy.context.scene, []
    for frame in (1, 2, 3, 4, 5, 4, 3, 2, 1, 5, 3, 1):  # onwards, backwards, and around
        scene.frame_set(frame)
        volume = studio.simulation.evaluated_get(studio.bpy.context.evaluated_depsgraph_get()).data
        volume.grids.load()
        shown.append(Path(volume.grids.frame_filepath).name if len(volume.grids) else None)
    names = ["a_1.vdb", "a_2.vdb", None, "a_4.vdb", "a_5.vdb"]
    assert shown == [*names, *names[3::-1], names[4], None, names[0]], "one frame is empty, all others are as they were"
    capfd.readouterr()
    bakes = studio.part("blender.bakes")
    for _ in range(3):
        assert bakes.look_again(studio.simulation).damaged == 1
        studio.show(bake)
    assert capfd.readouterr().out.count("missing or damaged") == 1, "one warning"


def test_a_bake_without_anything_to_show_changes_nothing(studio, new_bake, tmp_path) -> None:
    shown = new_bake("a_1.vdb", "b_1.vdb")
    studio.show(shown)
    bake = new_bake()
    bake.frame_path("a_1.nvdb").write_bytes(b"x")
    bake.add_frame("a_1.nvdb", time=0.0, grids={})
    assert studio.show(bake) is None
    scene = studio.bpy.context.scene
    studio.module.set_frame_range(scene, bake.folder)
    assert (scene.frame_start, scene.frame_end) == (1, 250)
    for code, folder in (("bake-missing", tmp_path / "nowhere"), ("bake-corrupt", new_bake("c_1.vdb").folder)):
        (folder / "c_1.vdb").unlink(missing_ok=True)
        with pytest.raises(studio.part("diagnostics").FluidError) as caught:
            studio.module.show_bake(studio.simulation, folder)
        assert caught.value.code == code
    assert studio.files(shown, 1) == ["a_1.vdb"]
    assert len(studio.parts) == 1
