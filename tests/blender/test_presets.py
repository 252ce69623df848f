# SPDX-License-Identifier: GPL-3.0-or-later
"""A preset becomes a simulation that runs, and a simulation becomes a preset."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from fluid_addon.run.preset_archive import export_presets
from fluid_addon.run.presets import Preset, find_preset, list_presets, save_preset
from fluid_addon.volumes.openvdb_files import read_vdb

SCRIPT = """
local n = param("resolution", {default = 16, min = 8, max = 64, help = "Voxels along a side"})
param("warm", {default = false})
param("wind", {default = 0.5, min = 0, max = 4})
sim = FluidEngine.new{domain_size = {n, n, n}}
sim:add_field("density", Format.R32F, 0)
sim:add_stencil("fill", {outputs = {"density"}, code = [[WriteField("density", idx, params.wind);]]})
sim:run{frames = 2, fps = 24, export = "smoke_####.vdb"}
"""

Part = Callable[[str], ModuleType]


@pytest.fixture
def own(extension: Part) -> Path:
    """The artist's own folder of presets, empty."""
    folder = extension("blender.preset_library").own_folder()
    assert list(folder.iterdir()) == []
    return folder


def save(folder: Path, name: str = "puff", script: str = SCRIPT, **values: float | bool) -> Preset:
    return save_preset(folder, name, name.title(), "A puff.", ["smoke"], script, values, None)


def add(bpy: Any, name: str) -> Any:
    """The object of a preset that was added."""
    before = set(bpy.data.objects)
    assert bpy.ops.fluid_addon.add_preset(name=name) == {"FINISHED"}
    (found,) = (each for each in set(bpy.data.objects) - before if each.type == "VOLUME")  # it may bring a mesh
    return found


def run(bpy: Any, part: Part, found: Any) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = []
    part("blender.live").start(found, bpy.context.scene)
    code = part("blender.live").wait(found.fluid_addon.token, events.append)
    assert code == 0, [event for event in events if event["event"] == "error"]
    return events


def shown_file(bpy: Any, found: Any, frame: int) -> Path:
    bpy.context.scene.frame_set(frame)
    grids = found.evaluated_get(bpy.context.evaluated_depsgraph_get()).data.grids
    grids.load()
    assert grids.error_message == ""
    return Path(grids.frame_filepath)


def largest(file: Path) -> float:
    (grid,) = read_vdb(file, ["density"])
    return float(max(grid.leaf_values.max(initial=0.0), grid.tiles.values.max(initial=0.0)))


# ===== Adding


def test_one_click_makes_a_set_up_that_runs(bpy: Any, extension: Part) -> None:
    found = add(bpy, "smoke_plume")
    own = found.fluid_addon
    assert (found.name, found.type, own.text.name) == ("Smoke plume", "VOLUME", "smoke_plume.lua")
    assert own.text.as_string() == find_preset("smoke_plume").source()
    assert bpy.context.view_layer.objects.active == found
    assert bpy.context.selected_objects == [found]
    assert {"resolution", "frames", "buoyancy"} <= set(found.keys())
    assert found.id_properties_ui("buoyancy").as_dict()["description"] == "How strongly warm smoke rises"

    found["resolution"], found["frames"] = 16, 3
    frames = [event for event in run(bpy, extension, found) if event["event"] == "frame"]
    assert len(frames) == 3
    assert (bpy.context.scene.frame_start, bpy.context.scene.frame_end) == (1, 3)
    files = [shown_file(bpy, found, frame) for frame in (1, 2, 3)]
    assert len(set(files)) == 3
    assert largest(files[2]) > 0.1


def shrink(found: Any, frames: int = 2) -> None:
    found["resolution"], found["frames"] = 16, frames


def test_a_preset_brings_the_mesh_that_it_asks_for(bpy: Any, extension: Part) -> None:
    found = add(bpy, "smoke_from_mesh")
    emitter = bpy.data.objects["Emitter"]
    assert len(emitter.data.polygons) > 100
    assert bpy.context.view_layer.objects.active == found
    shrink(found)
    run(bpy, extension, found)
    assert largest(shown_file(bpy, found, 2)) > 0.1


def test_a_mesh_of_that_name_stays_as_it_is(bpy: Any, extension: Part) -> None:
    own = bpy.data.objects.new("Emitter", bpy.data.meshes.new("Own"))
    bpy.context.scene.collection.objects.link(own)
    assert bpy.ops.fluid_addon.add_preset(name="fire_on_mesh") == {"FINISHED"}
    assert [each.data.name for each in bpy.data.objects if each.type == "MESH"] == ["Own"]


def test_a_preset_finds_the_grid_beside_its_script(bpy: Any, extension: Part, tmp_path: Path) -> None:
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "elsewhere.blend"))
    found = add(bpy, "smoke_from_nvdb")
    shrink(found)
    run(bpy, extension, found)
    assert largest(shown_file(bpy, found, 2)) > 0.1
    # Its text names a preset, not a folder: nothing else that a file may hold there leads anywhere.
    folder_of = extension("blender.live")._folder_of
    found.fluid_addon.text["fluid_preset"] = "../docs"
    assert folder_of(found.fluid_addon.text) == tmp_path


@pytest.mark.long
def test_every_preset_runs_from_the_sidebar(bpy: Any, extension: Part) -> None:
    for preset in list_presets():
        found = add(bpy, preset.name)
        shrink(found)
        frames = [event for event in run(bpy, extension, found) if event["event"] == "frame"]
        assert frames[-1]["frame"] == 2, preset.name


def test_a_preset_brings_its_values(bpy: Any, extension: Part, own: Path) -> None:
    save(own, resolution=24, wind=2.5, warm=True)
    found = add(bpy, "user/puff")
    assert (found["resolution"], found["wind"], found["warm"]) == (24, 2.5, True)
    assert type(found["warm"]) is bool
    assert extension("blender.parameters").current_values(found) == {"resolution": 24, "warm": True, "wind": 2.5}
    run(bpy, extension, found)
    (grid,) = read_vdb(shown_file(bpy, found, 2))
    tiles = grid.tiles.edges[grid.tiles.active].astype(int)
    assert int(grid.leaf_masks.sum()) + int((tiles**3).sum()) == 24**3
    assert largest(shown_file(bpy, found, 2)) == 2.5


def test_a_value_that_equals_the_default_stays_when_the_script_changes_it(bpy: Any, extension: Part, own: Path) -> None:
    save(own, resolution=16, wind=0.5)
    found = add(bpy, "user/puff")
    assert (found["resolution"], found["wind"]) == (16, 0.5)


def test_a_second_one_has_names_of_its_own(bpy: Any, extension: Part, own: Path) -> None:
    save(own)
    first, second = add(bpy, "user/puff"), add(bpy, "user/puff")
    assert [found.fluid_addon.text.name for found in (first, second)] == ["puff.lua", "puff_2.lua"]
    assert first.fluid_addon.token != second.fluid_addon.token


def test_it_is_added_in_edit_mode_too(bpy: Any, extension: Part, own: Path) -> None:
    save(own)
    bpy.ops.mesh.primitive_cube_add()
    bpy.ops.object.mode_set(mode="EDIT")
    found = add(bpy, "user/puff")
    assert bpy.context.mode == "OBJECT"
    assert bpy.context.selected_objects == [found]


def test_it_goes_into_the_chosen_collection(bpy: Any, extension: Part, own: Path) -> None:
    save(own)
    chosen = bpy.data.collections.new("Smoke")
    bpy.context.scene.collection.children.link(chosen)
    bpy.context.view_layer.active_layer_collection = bpy.context.view_layer.layer_collection.children["Smoke"]
    assert add(bpy, "user/puff").name in chosen.objects


def test_a_script_with_an_error_is_added_and_says_so(bpy: Any, extension: Part, own: Path) -> None:
    save(own, script="local x = = 1\n")
    found = add(bpy, "user/puff")
    state = extension("blender.live").RUNS.state(found.fluid_addon.token)
    assert [problem["code"] for problem in state.errors] == ["lua-syntax"]


@pytest.mark.parametrize(("name", "said"), [("smoke_plum", 'no preset "smoke_plum"'), ("user/bad", "is broken")])
def test_what_cannot_be_added_is_said(bpy: Any, extension: Part, own: Path, name: str, said: str) -> None:
    (own / "bad").mkdir()
    with pytest.raises(RuntimeError, match=said):
        bpy.ops.fluid_addon.add_preset(name=name)
    assert len(bpy.data.texts) == len(bpy.data.objects) == 0


# ===== The library


def test_what_is_shown_fits_search_and_tag(bpy: Any, extension: Part, own: Path) -> None:
    library = extension("blender.preset_library")
    save_preset(own, "fire", "Camp Fire", "Wood burns.", ["fire", "small"], SCRIPT, {}, None)
    (own / "bad").mkdir()
    bpy.ops.fluid_addon.reload_presets()
    keys = [preset.key for preset in library.shown()]
    assert keys[-2:] == ["user/bad", "user/fire"]
    assert "smoke_plume" in keys
    assert [preset.key for preset in library.shown("WOOD camp")] == ["user/fire"]
    assert [preset.key for preset in library.shown(tag="small")] == ["user/fire"]
    assert library.shown("plume", "small") == []
    assert {"fire", "small", "plume"} <= set(library.tags())
    assert library.find("user/bad").problem == '"preset.toml" is missing.'


def test_nothing_is_read_while_panels_draw(
    bpy: Any, extension: Part, own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = extension("blender.preset_library")
    library.refresh()
    save(own)
    monkeypatch.setattr(library, "list_presets", lambda *_: pytest.fail("the disk was looked at"))
    assert "user/puff" not in [preset.key for preset in library.shown()]
    assert library.tags()


# ===== Saving


def test_a_simulation_becomes_a_preset(bpy: Any, extension: Part, own: Path) -> None:
    save(own)
    found = add(bpy, "user/puff")
    found["wind"] = 3.0
    found.fluid_addon.text.write("-- changed\n")
    saved = bpy.ops.fluid_addon.save_preset(
        title="Big Puff!", about="A big\n puff.", tags="smoke, big ,", picture="PLAIN"
    )
    assert saved == {"FINISHED"}
    made = find_preset("user/big_puff", own)
    assert (made.title, made.description, made.tags, made.origin) == (
        "Big Puff!",
        "A big puff.",
        ("smoke", "big"),
        "user",
    )
    assert made.values == {"resolution": 16, "warm": False, "wind": 3.0}
    assert made.source() == found.fluid_addon.text.as_string()
    assert made.thumbnail is not None
    assert bpy.context.window_manager.fluid_addon_preset == "user/big_puff"
    again = add(bpy, "user/big_puff")
    assert again["wind"] == 3.0


def test_a_preset_is_replaced_only_when_asked(bpy: Any, extension: Part, own: Path) -> None:
    save(own)
    add(bpy, "user/puff")
    with pytest.raises(RuntimeError, match="There is a preset"):
        bpy.ops.fluid_addon.save_preset(title="Puff", about="Another.")
    assert bpy.ops.fluid_addon.save_preset(title="Puff", about="Another.", replace=True) == {"FINISHED"}
    assert [preset.description for preset in list_presets(own)] == ["Another."]


def test_what_cannot_be_saved_is_said(bpy: Any, extension: Part, own: Path) -> None:
    assert not bpy.ops.fluid_addon.save_preset.poll()
    save(own)
    found = add(bpy, "user/puff")
    with pytest.raises(RuntimeError, match="has no title"):
        bpy.ops.fluid_addon.save_preset(title="  ")
    with pytest.raises(RuntimeError, match="No simulation is chosen"):
        bpy.ops.fluid_addon.save_preset(title="A", simulation="Gone")
    found.fluid_addon.text = None
    with pytest.raises(RuntimeError, match="has no script"):
        bpy.ops.fluid_addon.save_preset(title="A")
    assert [preset.name for preset in list_presets(own)] == ["puff"]


def test_the_last_render_becomes_the_picture(bpy: Any, extension: Part, own: Path) -> None:
    save(own)
    scene = bpy.context.scene
    add(bpy, "user/puff")
    scene.camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
    scene.collection.objects.link(scene.camera)
    scene.world = bpy.data.worlds.new("Red")
    if scene.world.node_tree is None:  # since 5.0 every world has one
        scene.world.use_nodes = True
    scene.world.node_tree.nodes["Background"].inputs["Color"].default_value = (1.0, 0.0, 0.0, 1.0)
    scene.view_settings.view_transform = "Standard"
    scene.render.engine, scene.cycles.samples, scene.cycles.use_denoising = "CYCLES", 1, False
    scene.render.resolution_x, scene.render.resolution_y, scene.render.resolution_percentage = 640, 360, 100
    scene.render.image_settings.file_format = "OPEN_EXR"
    bpy.ops.render.render()
    scenes, images = list(bpy.data.scenes), set(bpy.data.images)
    assert bpy.ops.fluid_addon.save_preset(title="Red", picture="RENDER") == {"FINISHED"}
    assert (list(bpy.data.scenes), set(bpy.data.images)) == (scenes, images)
    picture = pixels_of(find_preset("user/red", own).thumbnail)
    assert picture.shape == (256, 256, 3)
    red, green, blue = picture[128, 128].tolist()
    assert (red > 250, green, blue) == (True, 0, 0)


def test_without_a_render_the_picture_is_drawn(bpy: Any, extension: Part, own: Path) -> None:
    save(own)
    add(bpy, "user/puff")
    for kind in ("RENDER", "VIEW"):
        assert bpy.ops.fluid_addon.save_preset(title=kind, picture=kind) == {"FINISHED"}
        assert len(np.unique(pixels_of(find_preset(f"user/{kind.lower()}", own).thumbnail))) > 20


def pixels_of(path: Path | None) -> np.ndarray:
    """A PNG as this add-on writes it, as rows of red, green and blue, and proof that its sums are right."""
    assert path is not None
    data, at, body = path.read_bytes(), 8, b""
    while at < len(data):
        (length,) = struct.unpack_from(">I", data, at)
        kind, content = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        assert struct.unpack_from(">I", data, at + 8 + length) == (zlib.crc32(kind + content),)
        if kind == b"IHDR":
            width, height = struct.unpack_from(">II", content)
        body += content if kind == b"IDAT" else b""
        at += 12 + length
    rows = np.frombuffer(zlib.decompress(body), np.uint8).reshape(height, 1 + 3 * width)
    assert (rows[:, 0] == 1).all()  # every row in steps from pixel to pixel
    return np.cumsum(rows[:, 1:].reshape(height, width, 3), axis=1, dtype=np.uint8)


def test_a_picture_is_cut_to_its_middle(extension: Part) -> None:
    square = extension("blender.thumbnail").square
    wide = np.zeros((4, 12, 3))
    wide[:, 4:8] = 0.5
    assert square(wide, 4).tolist() == np.full((4, 4, 3), 0.5).tolist()
    assert square(wide, 2).tolist() == np.full((2, 2, 3), 0.5).tolist()
    assert square(wide, 8).tolist() == np.full((8, 8, 3), 0.5).tolist()
    assert square(np.arange(5 * 5 * 3.0).reshape(5, 5, 3), 2).shape == (2, 2, 3)


# ===== To and from a zip


def test_presets_go_out_and_come_in(bpy: Any, extension: Part, own: Path, tmp_path: Path) -> None:
    save(own, "one", wind=2.0)
    save(own, "two")
    (own / "bad").mkdir()
    assert bpy.ops.fluid_addon.export_presets(filepath=str(tmp_path / "mine")) == {"FINISHED"}
    assert bpy.ops.fluid_addon.import_presets(filepath=str(tmp_path / "mine.zip")) == {"FINISHED"}
    names = {preset.name: preset.origin for preset in list_presets(own) if preset.problem is None}
    assert names == {"one": "user", "one_2": "imported", "two": "user", "two_2": "imported"}
    assert bpy.context.window_manager.fluid_addon_preset == "user/one_2"
    assert bpy.ops.fluid_addon.export_presets(filepath=str(tmp_path / "one.zip"), name="user/one") == {"FINISHED"}
    (tmp_path / "bad.zip").write_bytes(b"no zip")
    with pytest.raises(RuntimeError, match="it is no zip"):
        bpy.ops.fluid_addon.import_presets(filepath=str(tmp_path / "bad.zip"))


def test_there_must_be_something_to_export(bpy: Any, extension: Part, own: Path, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="no presets of your own"):
        bpy.ops.fluid_addon.export_presets(filepath=str(tmp_path / "none.zip"))
    assert not (tmp_path / "none.zip").exists()


def test_an_imported_script_is_shown_before_it_runs(bpy: Any, extension: Part, own: Path, tmp_path: Path) -> None:
    trust, live = extension("blender.trust"), extension("blender.live")
    there = save(tmp_path / "there", "stranger", script=SCRIPT + "-- from elsewhere\n")
    export_presets([there], tmp_path / "p.zip")
    bpy.ops.fluid_addon.import_presets(filepath=str(tmp_path / "p.zip"))
    found = add(bpy, "user/stranger")
    text = found.fluid_addon.text
    assert trust.untrusted_texts(text) == [text]
    with pytest.raises(RuntimeError, match="came with a file, and you have not trusted it yet"):
        bpy.ops.fluid_addon.save_preset(simulation=found.name, title="Mine")  # own presets are trusted
    assert live.RUNS.state(found.fluid_addon.token) is None
    with pytest.raises(Exception, match="you have not trusted it yet") as error:
        live.start(found, bpy.context.scene)
    assert error.value.code == "untrusted-script"
    trust.trust_texts([text])
    run(bpy, extension, found)
    assert trust.untrusted_texts(add(bpy, "user/stranger").fluid_addon.text) == []


def test_an_own_script_needs_no_trust_also_in_the_next_session(
    bpy: Any, extension: Part, own: Path, tmp_path: Path
) -> None:
    save(own, script=SCRIPT + "-- mine\n")
    add(bpy, "user/puff")
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "mine.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "mine.blend"))
    text = bpy.data.texts["puff.lua"]
    assert extension("blender.trust").untrusted_texts(text) == []


# ===== Removing, and the list of simulations


def test_only_own_presets_are_removed(bpy: Any, extension: Part, own: Path) -> None:
    save(own)
    assert bpy.ops.fluid_addon.remove_preset(name="user/puff") == {"FINISHED"}
    assert list(own.iterdir()) == []
    for name, said in (("smoke_plume", "belongs to the library"), ("user/puff", "There is no preset")):
        with pytest.raises(RuntimeError, match=said):
            bpy.ops.fluid_addon.remove_preset(name=name)
    assert find_preset("smoke_plume").problem is None


def test_the_list_follows_the_active_object_and_back(bpy: Any, extension: Part, own: Path) -> None:
    save(own)
    scene, layer = bpy.context.scene, bpy.context.view_layer
    assert scene.fluid_addon_active == -1
    bpy.ops.mesh.primitive_cube_add()
    cube = layer.objects.active
    first, second = add(bpy, "user/puff"), add(bpy, "user/puff")
    assert scene.objects[scene.fluid_addon_active] == second
    scene.fluid_addon_active = scene.objects.find(first.name)
    assert layer.objects.active == first
    assert bpy.context.selected_objects == [first]
    layer.objects.active = cube
    assert scene.objects[scene.fluid_addon_active] == first


def test_the_addon_leaves_nothing_behind(bpy: Any, extension: Part) -> None:
    bpy.ops.preferences.addon_disable(module=extension.__globals__["EXTENSION"])
    assert not hasattr(bpy.types.Scene, "fluid_addon_active")
    assert not [name for name in dir(bpy.types.WindowManager) if name.startswith("fluid_addon")]
