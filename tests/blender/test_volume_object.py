# SPDX-License-Identifier: GPL-3.0-or-later
"""A bake becomes Volume objects that show the right file at every frame of the timeline, where its grids lie."""

from __future__ import annotations

import re
from bisect import bisect_right
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fluid_addon.diagnostics import FluidError
from fluid_addon.volumes.bake import Bake
from fluid_addon.volumes.openvdb_files import VdbGrid


def evaluated(bpy: Any, shown: Any, frame: int, subframe: float = 0.0) -> Any:
    """The object as Blender draws it at a frame, its file loaded."""
    bpy.context.scene.frame_set(frame, subframe=subframe)
    drawn = shown.evaluated_get(bpy.context.evaluated_depsgraph_get())
    assert drawn.data.grids.load(), drawn.data.grids.error_message
    return drawn


def file_shown(bpy: Any, shown: Any, frame: int, subframe: float = 0.0) -> str | None:
    """The name of the file that is drawn, None for nothing; the grid in it must be the one that was written."""
    drawn = evaluated(bpy, shown, frame, subframe)
    if not len(drawn.data.grids):
        return None
    path = Path(bpy.path.abspath(drawn.data.grids.frame_filepath))
    number = re.search(r"\d+$", path.stem)
    assert number is None or round(max(drawn.dimensions) / 0.8) == int(number[0])
    return path.name


@pytest.mark.parametrize(
    ("pattern", "numbers"),
    [
        ("smoke_{:04d}.vdb", [1, 2, 3, 4]),
        ("frame_{}.vdb", [5, 10, 15, 100]),
        ("frame_{}.vdb", [8, 9, 10, 14, 15]),
        ("v2_{:03d}.vdb", [7]),
    ],
    ids=["every frame", "every fifth, and a gap", "with a gap", "a single one"],
)
def test_each_frame_shows_the_file_of_its_number_or_the_nearest_earlier(bpy, new_bake, pattern, numbers) -> None:
    from fluid_addon.blender.volume_object import import_bake

    bake = new_bake(*map(pattern.format, numbers))
    (shown,) = import_bake(bake.folder)

    def expected(frame: int) -> str | None:
        place = bisect_right(numbers, frame)
        return pattern.format(numbers[place - 1]) if place else None

    last = numbers[-1]
    frames = [*range(-3, 20), last - 1, last, last + 1, last + 2, last + 1000, 500_000]
    rng = np.random.default_rng(1)
    for frame in [*frames, *rng.permutation(frames).tolist()]:  # in order, and jumping to and fro
        assert file_shown(bpy, shown, frame) == expected(frame), frame


def test_between_frames_the_file_of_the_frame_before_is_shown(bpy, new_bake) -> None:
    from fluid_addon.blender.volume_object import import_bake

    (shown,) = import_bake(new_bake("a_4.vdb", "a_8.vdb").folder)
    found = [file_shown(bpy, shown, frame, 0.75) for frame in (3, 4, 6, 7, 8, 20)]
    assert found == [None, "a_4.vdb", "a_4.vdb", "a_4.vdb", "a_8.vdb", "a_8.vdb"]


def test_frames_that_arrive_are_shown_after_an_update(bpy, new_bake, add_frames) -> None:
    from fluid_addon.blender.volume_object import import_bake, update_bake

    bake = new_bake("a_2.vdb", "a_4.vdb")
    (shown,) = import_bake(bake.folder)
    shown.location = (1.0, 2.0, 3.0)
    material = shown.data.materials[0]
    assert file_shown(bpy, shown, 12) == "a_4.vdb"
    add_frames(bake, "a_6.vdb", "a_12.vdb")
    assert file_shown(bpy, shown, 12) == "a_4.vdb"
    assert update_bake(shown) == 4
    assert [file_shown(bpy, shown, frame) for frame in (5, 6, 11, 12, 99)] == [f"a_{n}.vdb" for n in (4, 6, 6, 12, 12)]
    assert tuple(shown.location) == (1.0, 2.0, 3.0)
    assert list(shown.data.materials) == [material]
    assert len(bpy.data.actions) == 1
    add_frames(bake, "a_1.vdb")
    assert update_bake(shown) == 5
    assert [file_shown(bpy, shown, frame) for frame in (0, 1, 2)] == [None, "a_1.vdb", "a_2.vdb"]


def test_an_update_leaves_a_timing_alone_that_the_artist_made(bpy, new_bake, add_frames) -> None:
    from fluid_addon.blender.volume_object import import_bake, update_bake

    bake = new_bake("a_1.vdb", "a_2.vdb")
    (shown,) = import_bake(bake.folder)
    shown.data.animation_data_clear()
    shown.data.frame_start, shown.data.frame_duration, shown.data.frame_offset = 100, 2, 0
    add_frames(bake, "a_3.vdb")
    update_bake(shown)
    assert shown.data.animation_data is None
    assert [file_shown(bpy, shown, frame) for frame in (1, 100, 101)] == [None, "a_1.vdb", "a_2.vdb"]


def test_each_sequence_becomes_an_object_and_a_file_without_number_stands_still(bpy, new_bake) -> None:
    from fluid_addon.blender.volume_object import FILE, import_bake, update_bake

    bake = new_bake("low/a_1.vdb", "low/a_2.vdb", "b_01.vdb", "c_3.nvdb.vdb", "still.vdb")
    objects = import_bake(bake.folder)
    assert sorted(shown[FILE] for shown in objects) == ["b_01.vdb", "c_3.nvdb.vdb", "low/a_1.vdb", "still.vdb"]
    assert len({shown.name for shown in objects}) == len({shown.data for shown in objects}) == 4
    by_file = {shown[FILE]: shown for shown in objects}
    assert not by_file["still.vdb"].data.is_sequence
    assert {update_bake(shown) for shown in objects} == {1, 2}
    assert file_shown(bpy, by_file["low/a_1.vdb"], 2) == "a_2.vdb"


def test_objects_carry_the_token_of_their_bake_and_the_name_that_is_asked_for(bpy, new_bake) -> None:
    from fluid_addon.blender.volume_object import BAKE, import_bake

    bake = new_bake("a_1.vdb", title="Big fire")
    collection = bpy.data.collections.new("Simulations")
    (shown,) = import_bake(bake.folder, collection=collection)
    (other,) = import_bake(str(bake.folder), name="Chimney")
    assert (shown.name, other.name) == ("Big fire", "Chimney")
    assert shown[BAKE] == other[BAKE] == bake.folder.name
    assert list(collection.objects) == [shown]
    assert list(bpy.context.scene.collection.objects) == [other]


def test_a_path_relative_to_the_scene_moves_with_it(bpy, new_bake, add_frames, tmp_path) -> None:
    from fluid_addon.blender.volume_object import import_bake, update_bake

    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "scene.blend"))
    bake = new_bake("sub/a_1.vdb")
    (shown,) = import_bake(bake.folder)
    assert shown.data.filepath == f"//cache/{bake.folder.name}/sub/a_1.vdb"
    add_frames(bake, "sub/a_2.vdb")
    (tmp_path / "below").mkdir()
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "below" / "scene.blend"))
    assert shown.data.filepath == f"//../cache/{bake.folder.name}/sub/a_1.vdb"
    assert update_bake(shown) == 2
    assert file_shown(bpy, shown, 2) == "a_2.vdb"


def test_grids_lie_where_their_transform_puts_them(bpy, new_bake) -> None:
    from fluid_addon.blender.survey import survey_frame
    from fluid_addon.blender.volume_object import import_bake

    transform = np.eye(4)
    transform[:3, :3] = np.array([[0.6, -0.8, 0.0], [0.8, 0.6, 0.0], [0.0, 0.0, 1.0]]) * 0.1
    transform[:3, 3] = 1.5, -2.25, 10.125
    values = np.zeros((8, 8, 8), np.float32)
    values[2:6, 3, 4:] = 1.0
    bake = new_bake("a_1.vdb", grids=lambda _: [VdbGrid("density", values, (-4, 0, 8), transform, 0.0, "fog volume")])
    (shown,) = import_bake(bake.folder)
    drawn = evaluated(bpy, shown, 1)
    assert np.allclose(drawn.data.grids["density"].matrix_object, transform, atol=1e-6)
    assert np.allclose(drawn.matrix_world, np.eye(4))
    ends = [(-4 + 2 - 0.5, -4 + 5 + 0.5), (3 - 0.5, 3 + 0.5), (8 + 4 - 0.5, 8 + 7 + 0.5)]
    corners = np.array([(x, y, z, 1.0) for x in ends[0] for y in ends[1] for z in ends[2]]) @ transform.T
    box = survey_frame(bake.folder / "a_1.vdb", ["density"]).visible
    assert np.allclose([box.low, box.high], [corners[:, :3].min(axis=0), corners[:, :3].max(axis=0)])


def test_motion_blur_finds_the_velocity(bpy, plume_bake) -> None:
    from fluid_addon.blender.volume_object import import_bake

    (shown,) = import_bake(plume_bake.folder)
    volume = evaluated(bpy, shown, 20).data
    assert (volume.velocity_grid, volume.velocity_unit, volume.velocity_scale) == ("velocity", "SECOND", 1.0)


def test_the_scene_takes_the_range_of_the_frames(bpy, new_bake) -> None:
    from fluid_addon.blender.volume_object import set_frame_range

    set_frame_range(bpy.context.scene, new_bake("still.vdb").folder)
    assert (bpy.context.scene.frame_start, bpy.context.scene.frame_end) == (1, 250)
    set_frame_range(bpy.context.scene, new_bake("a_10.vdb", "a_40.vdb", "b_7.vdb").folder)
    assert (bpy.context.scene.frame_start, bpy.context.scene.frame_end) == (7, 40)


def test_grids_may_come_and_go_from_frame_to_frame(bpy, new_bake) -> None:
    from fluid_addon.blender.volume_object import import_bake

    def grids(place: int) -> list[VdbGrid]:
        names = ["density", "flame"] if place == 0 else ["density"]
        return [VdbGrid(name, np.ones((8, 8, 8), np.float32), grid_class="fog volume") for name in names]

    (shown,) = import_bake(new_bake("a_1.vdb", "a_2.vdb", grids=grids).folder)
    nodes = shown.data.materials[0].node_tree.nodes
    assert [node.attribute_name for node in nodes if node.bl_idname == "ShaderNodeAttribute"] == ["flame"]
    assert [len(evaluated(bpy, shown, frame).data.grids) for frame in (1, 2)] == [2, 1]


# ===== What is wrong with a bake is said


def test_damaged_files_are_left_out(bpy, new_bake) -> None:
    from fluid_addon.blender.volume_object import import_bake

    bake = new_bake("a_1.vdb", "a_2.vdb", "a_3.vdb", "a_4.vdb")
    (bake.folder / "a_2.vdb").unlink()
    (bake.folder / "a_4.vdb").write_bytes((bake.folder / "a_4.vdb").read_bytes()[:-9])
    (shown,) = import_bake(bake.folder)
    assert [file_shown(bpy, shown, frame) for frame in range(1, 6)] == [f"a_{n}.vdb" for n in (1, 1, 3, 3, 3)]


def problem_of_import(folder: Path) -> str:
    from fluid_addon.blender.volume_object import import_bake

    with pytest.raises(FluidError) as caught:
        import_bake(folder)
    (diagnostic,) = caught.value.diagnostics
    return f"{diagnostic.code}: {diagnostic.message} {diagnostic.hint}"


def test_a_bake_that_shows_nothing_is_refused_and_nothing_is_made(bpy, new_bake, tmp_path) -> None:
    empty = new_bake(title="empty")
    assert problem_of_import(empty.folder) == (
        'bake-empty: The bake "empty" has no finished frame yet. '
        "Wait for the first frame, or let the script export one."
    )
    other = Bake.create(tmp_path, "nano", script_hash="", device="")
    other.frame_path("a_1.nvdb").write_bytes(b"x")
    other.add_frame("a_1.nvdb", time=0.0, grids={})
    assert problem_of_import(other.folder) == (
        'bake-empty: The bake "nano" has no frame that ends in ".vdb". '
        'Let the script export "smoke_####.vdb": Blender shows no other files.'
    )
    gone = new_bake("a_1.vdb", title="gone")
    (gone.folder / "a_1.vdb").unlink()
    assert problem_of_import(gone.folder) == (
        'bake-corrupt: All frames of the bake "gone" are damaged; "a_1.vdb" for one: No such file or directory. '
        "Run the simulation again."
    )
    overwritten = new_bake("a_1.vdb")
    size = (overwritten.folder / "a_1.vdb").stat().st_size
    (overwritten.folder / "a_1.vdb").write_bytes(bytes(size))
    assert problem_of_import(overwritten.folder).startswith("grid-file-corrupt: ")
    assert problem_of_import(tmp_path / "nowhere").startswith("bake-missing: ")
    (empty.folder / "manifest.json").write_text("{", encoding="utf-8")
    assert problem_of_import(empty.folder).startswith("bake-corrupt: ")
    assert not any((bpy.data.objects, bpy.data.volumes, bpy.data.materials, bpy.data.actions))


def test_an_object_that_shows_no_bake_cannot_be_updated(bpy, new_bake) -> None:
    from fluid_addon.blender.volume_object import import_bake, update_bake

    with pytest.raises(FluidError, match='The object "Cloud" shows no bake'):
        update_bake(bpy.data.objects.new("Cloud", bpy.data.volumes.new("Cloud")))
    bake = new_bake("a_1.vdb", "a_2.vdb")
    (shown,) = import_bake(bake.folder)
    (bake.folder / "a_1.vdb").unlink()
    with pytest.raises(FluidError, match=r'no intact file "a_1\.vdb"'):
        update_bake(shown)
