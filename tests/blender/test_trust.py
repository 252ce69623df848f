# SPDX-License-Identifier: GPL-3.0-or-later
"""A script that came with a file runs only once the artist has trusted what it says; nothing runs by itself."""

from __future__ import annotations

import gc
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.blender.conftest import left_over
from tests.processes import children

SCRIPT = """
sim = FluidEngine.new{domain_size = {8, 8, 8}}
sim:add_field("density", Format.R32F, 1)
sim:run{frames = 1, fps = 24, export = "smoke_####.vdb"}
"""


@pytest.fixture
def add_on(extension) -> SimpleNamespace:
    """The enabled add-on's modules."""
    names = ("trust", "trust_dialog", "live", "simulation")
    return SimpleNamespace(**{name: extension(f"blender.{name}") for name in names}, by_name=extension)


@pytest.fixture
def no_trust_yet(add_on) -> Callable[[], None]:
    """Forget what was ever trusted, as on another computer: files that are opened now are of somebody else."""

    def forget() -> None:
        store = add_on.by_name("blender.package").user_folder("trust") / "trusted.json"
        store.unlink(missing_ok=True)
        add_on.trust._store.cache_clear()

    return forget


@pytest.fixture
def downloaded(bpy, add_on, no_trust_yet, tmp_path) -> Callable[..., Path]:
    """A file of somebody else: a simulation "Smoke" of "smoke.lua", and further texts."""

    def make(script: str = SCRIPT, name: str = "downloaded.blend", **modules: str) -> Path:
        bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
        write(bpy, "smoke.lua", script)
        for module, content in modules.items():
            write(bpy, f"{module}.lua", content).use_fake_user = True
        add_on.simulation.new_simulation(bpy.context.scene, bpy.data.texts["smoke.lua"], "Smoke")
        bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / name))
        bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
        no_trust_yet()
        return tmp_path / name

    return make


def write(bpy, name: str, content: str) -> Any:
    text = bpy.data.texts.new(name)
    text.from_string(content)
    return text


def open_file(bpy, path: Path) -> Any:
    bpy.ops.wm.open_mainfile(filepath=str(path))
    return bpy.data.texts.get("smoke.lua")


def names(texts) -> list[str]:
    return [text.name for text in texts]


# ===== Nothing runs by itself


class Watch:
    """What Python does to this machine: processes that are started, files that are written."""

    WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
    CHANGES = ("os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.utime")
    STARTS = ("subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.exec", "os.system", "os.startfile")

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.is_on = False
        self.others: set[threading.Thread] = set()  # that other tests have left
        sys.addaudithook(self._hear)  # for good

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.is_on or threading.current_thread() in self.others:
            return
        if event in self.CHANGES or event in self.STARTS:
            self.seen.append(f"{event} {arguments[:2]}")
        elif event == "open" and isinstance(arguments[2], int) and arguments[2] & self.WRITING:
            self.seen.append(f"open {arguments[0]}")


@cache
def the_watch() -> Watch:
    return Watch()


@contextmanager
def nothing_happens(add_on) -> Iterator[None]:
    """Inside, nothing runs, no process is started and no file is touched by the add-on."""
    watch = the_watch()
    gc.collect()  # what other tests have left may remove files when it goes
    watch.seen.clear()
    watch.others = set(threading.enumerate()) - {threading.main_thread()}
    started = children()
    watch.is_on = True
    try:
        yield
    finally:
        watch.is_on = False
    runs = add_on.live.RUNS
    assert watch.seen == []
    assert left_over(started) == set()
    assert not runs.is_busy
    assert runs.poll() == []
    assert all(runs.state(found.fluid_addon.token) is None for found in add_on.bpy.data.objects), "not even queued"


def test_the_watch_sees_what_a_run_does(bpy, add_on) -> None:
    found = add_on.simulation.new_simulation(bpy.context.scene, write(bpy, "own.lua", SCRIPT), "Own")
    add_on.bpy = bpy
    with pytest.raises(AssertionError, match=r"os\.mkdir"), nothing_happens(add_on):
        add_on.live.start(found, bpy.context.scene)
        add_on.live.wait(found.fluid_addon.token, lambda _event: None)
    assert any(entry.startswith("subprocess.Popen") for entry in the_watch().seen)


@pytest.mark.parametrize("auto_run", [True, False])
def test_B01_opening_a_downloaded_file_does_nothing(bpy, add_on, downloaded, auto_run) -> None:
    path = downloaded(helper="-- registered, as a Python text that runs on load")
    open_file(bpy, path)
    for text in bpy.data.texts:
        text.use_module = True
    bpy.ops.wm.save_mainfile()
    add_on.bpy = bpy
    paths = bpy.context.preferences.filepaths
    before, paths.use_scripts_auto_execute = paths.use_scripts_auto_execute, auto_run
    try:
        with nothing_happens(add_on):
            bpy.ops.wm.open_mainfile(filepath=str(path), use_scripts=auto_run)
            bpy.ops.wm.revert_mainfile(use_scripts=auto_run)
    finally:
        paths.use_scripts_auto_execute = before
    text = bpy.data.texts["smoke.lua"]
    assert text.use_module and text in add_on.trust.untrusted_texts(text)
    assert not (path.parent / "cache").exists()


def test_B02_nothing_runs_on_frame_change_render_undo_append_link_or_save(bpy, add_on, downloaded, tmp_path) -> None:
    library = downloaded(name="library.blend")
    open_file(bpy, downloaded())
    add_on.bpy = bpy
    scene = bpy.context.scene
    scene.camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
    scene.collection.objects.link(scene.camera)
    scene.render.engine, scene.cycles.samples = "CYCLES", 1
    scene.render.resolution_x = scene.render.resolution_y = 8
    bpy.ops.ed.undo_push(message="before")
    with nothing_happens(add_on):
        for frame in (2, 5, 1):
            scene.frame_set(frame)
        bpy.ops.render.render()
        bpy.data.objects["Smoke"].location.x = 1.0
        bpy.ops.ed.undo_push(message="after")
        bpy.ops.ed.undo()
        bpy.ops.ed.redo()
        bpy.ops.wm.append(directory=str(library / "Object") + "/", filename="Smoke")
        bpy.ops.wm.link(directory=str(library / "Object") + "/", filename="Smoke", instance_collections=False)
        bpy.ops.wm.link(directory=str(library / "Text") + "/", filename="smoke.lua")
        bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "kept.blend"))
        bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "copy.blend"), copy=True)
        bpy.ops.wm.revert_mainfile()
    assert len([found for found in bpy.data.objects if found.fluid_addon.token]) == 3
    assert all(add_on.trust.untrusted_texts(text) for text in bpy.data.texts)
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("operator", ["run_simulation", "check_script"])
def test_B03_run_and_check_refuse_a_script_that_is_not_trusted(bpy, add_on, downloaded, operator) -> None:
    open_file(bpy, downloaded())
    with pytest.raises(RuntimeError, match=r'"smoke.lua" came with a file, and you have not trusted it yet\. Read it'):
        getattr(bpy.ops.fluid_addon, operator)("EXEC_DEFAULT", name="Smoke")
    assert not add_on.live.RUNS.is_busy


# ===== Strangers


def test_what_is_written_here_is_the_artists_own(bpy, add_on, tmp_path) -> None:
    text = write(bpy, "smoke.lua", SCRIPT)
    assert add_on.trust.untrusted_texts(text) == []
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "own.blend"))
    assert add_on.trust.untrusted_texts(text) == []
    text.write("-- more")
    assert add_on.trust.untrusted_texts(text) == []


def test_a_script_of_ones_own_is_known_again_when_the_file_is_opened(bpy, add_on, tmp_path) -> None:
    write(bpy, "smoke.lua", SCRIPT).use_fake_user = True
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "own.blend"))
    text = open_file(bpy, tmp_path / "own.blend")
    assert add_on.trust.untrusted_texts(text) == []
    text.write("-- edits are not asked about")
    assert add_on.trust.untrusted_texts(text) == []


def test_a_script_that_was_run_is_known_even_if_it_was_saved_elsewhere(bpy, add_on, downloaded) -> None:
    path = downloaded()
    add_on.trust.remember(write(bpy, "tried.lua", SCRIPT))
    assert add_on.trust.untrusted_texts(open_file(bpy, path)) == []


def test_a_text_that_is_opened_from_the_disk_is_seen_by_the_artist(bpy, add_on, tmp_path) -> None:
    (tmp_path / "smoke.lua").write_text(SCRIPT, encoding="utf-8")
    text = bpy.data.texts.load(str(tmp_path / "smoke.lua"))
    assert add_on.trust.untrusted_texts(text) == []


def test_a_text_that_came_with_a_file_is_a_stranger_until_it_is_trusted(bpy, add_on, downloaded) -> None:
    path = downloaded()
    text = open_file(bpy, path)
    assert add_on.trust.untrusted_texts(text) == [text]
    assert Path(add_on.trust.origin(text).file) == path
    assert not add_on.trust.origin(text).changed
    add_on.trust.trust_texts([text])
    assert add_on.trust.untrusted_texts(text) == []
    text = open_file(bpy, path)
    assert add_on.trust.untrusted_texts(text) == []


def test_B03_trust_is_lost_with_any_change_and_comes_back_with_the_content(bpy, add_on, downloaded) -> None:
    text = open_file(bpy, downloaded())
    add_on.trust.trust_texts([text])
    trusted = text.as_string()
    for change in (trusted + " ", trusted.replace("1", "2", 1), "", "-- " + trusted):
        text.from_string(change)
        assert add_on.trust.untrusted_texts(text) == [text]
        assert add_on.trust.origin(text).changed
    text.from_string(trusted)
    assert add_on.trust.untrusted_texts(text) == []


def test_saving_a_stranger_does_not_make_it_known(bpy, add_on, downloaded, tmp_path) -> None:
    text = open_file(bpy, downloaded())
    text.write("-- mine")
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "again.blend"))
    text = open_file(bpy, tmp_path / "again.blend")
    assert add_on.trust.untrusted_texts(text) == [text]


def test_remembering_a_stranger_does_nothing(bpy, add_on, downloaded) -> None:
    text = open_file(bpy, downloaded())
    add_on.trust.remember(text)
    assert add_on.trust.untrusted_texts(text) == [text]


def test_neither_a_name_nor_a_copy_makes_a_stranger_known(bpy, add_on, downloaded) -> None:
    path = downloaded()
    text = open_file(bpy, path)
    text.name = "mine.lua"
    assert add_on.trust.untrusted_texts(text) == [text]
    copy = text.copy()
    assert add_on.trust.untrusted_texts(copy) == [copy]
    assert Path(add_on.trust.origin(copy).file) == path
    retyped = write(bpy, "retyped.lua", text.as_string())
    assert add_on.trust.untrusted_texts(retyped) == [retyped]
    text.write("-- a change")
    assert add_on.trust.untrusted_texts(text) == [text]
    changed = text.copy()
    bpy.data.texts.remove(text)
    assert add_on.trust.untrusted_texts(changed) == [changed]
    changed.write("-- another")
    assert add_on.trust.untrusted_texts(changed) == [changed]
    add_on.trust.trust_texts([copy])
    assert add_on.trust.untrusted_texts(copy) == []
    assert add_on.trust.untrusted_texts(retyped) == [], "the same content"


def test_undo_brings_a_stranger_back_as_a_stranger(bpy, add_on, downloaded) -> None:
    open_file(bpy, downloaded())
    bpy.ops.ed.undo_push(message="opened")
    bpy.data.texts["smoke.lua"].write("-- changed")
    bpy.ops.ed.undo_push(message="changed")
    bpy.ops.ed.undo()
    text = bpy.data.texts["smoke.lua"]
    assert "changed" not in text.as_string()
    assert add_on.trust.untrusted_texts(text) == [text]
    add_on.trust.trust_texts([text])
    bpy.ops.ed.redo()
    text = bpy.data.texts["smoke.lua"]
    assert "changed" in text.as_string()
    assert add_on.trust.untrusted_texts(text) == [text]
    bpy.data.objects["Smoke"].fluid_addon.text = None
    bpy.data.texts.remove(text)
    bpy.ops.ed.undo_push(message="removed")
    bpy.ops.ed.undo()
    text = bpy.data.texts["smoke.lua"]
    assert add_on.trust.untrusted_texts(text) == [text]


def test_opening_another_file_forgets_the_strangers_of_the_last(bpy, add_on, downloaded) -> None:
    content = open_file(bpy, downloaded()).as_string()
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    assert add_on.trust.untrusted_texts(write(bpy, "smoke.lua", content)) == []


@pytest.mark.parametrize("what", ["Object/Smoke", "Text/smoke.lua"])
def test_appended_scripts_are_strangers(bpy, add_on, downloaded, what) -> None:
    path = downloaded()
    own = write(bpy, "own.lua", "-- my own")
    folder, name = what.split("/")
    bpy.ops.wm.append(directory=str(path / folder) + "/", filename=name)
    text = bpy.data.texts["smoke.lua"]
    assert add_on.trust.untrusted_texts(text) == [text]
    assert Path(add_on.trust.origin(text).file) == path
    assert add_on.trust.untrusted_texts(own) == []
    again = bpy.ops.wm.append(directory=str(path / folder) + "/", filename=name)
    assert again == {"FINISHED"}
    assert all(add_on.trust.untrusted_texts(each) for each in bpy.data.texts if each.name.startswith("smoke"))


def test_loading_from_a_library_by_a_script_is_appending(bpy, add_on, downloaded) -> None:
    path = downloaded()
    with bpy.data.libraries.load(str(path)) as (found, chosen):
        chosen.texts = found.texts
    text = bpy.data.texts["smoke.lua"]
    assert add_on.trust.untrusted_texts(text) == [text]


def test_linked_scripts_are_strangers_also_once_they_are_reloaded_or_local(bpy, add_on, downloaded) -> None:
    path = downloaded()
    bpy.ops.wm.link(directory=str(path / "Text") + "/", filename="smoke.lua")
    text = bpy.data.texts["smoke.lua"]
    assert text.library is not None
    assert add_on.trust.untrusted_texts(text) == [text]
    assert Path(add_on.trust.origin(text).file) == path
    add_on.simulation.new_simulation(bpy.context.scene, text, "Mine")  # what nobody uses cannot become local
    bpy.data.libraries[0].reload()
    text = bpy.data.texts["smoke.lua"].make_local()
    assert text.library is None
    bpy.context.view_layer.update()
    text.write("-- changed")
    assert add_on.trust.untrusted_texts(text) == [text]


def test_the_script_of_a_linked_simulation_is_a_stranger(bpy, add_on, downloaded) -> None:
    path = downloaded()
    bpy.ops.wm.link(directory=str(path / "Object") + "/", filename="Smoke")
    linked = bpy.data.texts["smoke.lua"]
    assert linked.library is not None
    assert add_on.trust.untrusted_texts(linked) == [linked]
    local = linked.copy()
    assert add_on.trust.untrusted_texts(local) == [local]
    add_on.trust.trust_texts([linked])
    assert add_on.trust.untrusted_texts(linked) == []


def test_what_is_pasted_from_another_file_is_a_stranger_but_not_ones_own(bpy, add_on, downloaded) -> None:
    open_file(bpy, downloaded())
    bpy.data.objects["Smoke"].select_set(True)
    bpy.ops.view3d.copybuffer()
    bpy.ops.view3d.pastebuffer()
    pasted = bpy.data.objects["Smoke.001"].fluid_addon.text
    assert add_on.trust.untrusted_texts(pasted) == [pasted]
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    bpy.ops.view3d.pastebuffer()
    pasted = bpy.data.objects["Smoke"].fluid_addon.text
    assert add_on.trust.untrusted_texts(pasted) == [pasted]
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    add_on.simulation.new_simulation(bpy.context.scene, write(bpy, "own.lua", "-- not run yet"), "Own")
    bpy.data.objects["Own"].select_set(True)
    bpy.ops.view3d.copybuffer()
    bpy.ops.view3d.pastebuffer()
    pasted = bpy.data.objects["Own.001"].fluid_addon.text
    assert add_on.trust.untrusted_texts(pasted) == []


def test_a_saved_file_that_is_open_when_the_add_on_is_enabled_is_somebody_elses(bpy, extension, downloaded) -> None:
    path = downloaded()
    package = extension("blender.package").PACKAGE
    bpy.ops.preferences.addon_disable(module=package)
    open_file(bpy, path)
    bpy.ops.preferences.addon_enable(module=package)
    text = bpy.data.texts["smoke.lua"]
    assert extension("blender.trust").untrusted_texts(text) == [text]


def test_a_file_without_a_name_that_is_open_when_the_add_on_is_enabled_is_the_artists(bpy, extension) -> None:
    package = extension("blender.package").PACKAGE
    bpy.ops.preferences.addon_disable(module=package)
    text = write(bpy, "smoke.lua", SCRIPT)
    bpy.ops.preferences.addon_enable(module=package)
    assert extension("blender.trust").untrusted_texts(text) == []


def test_a_text_that_was_made_from_somebody_elses_file_is_a_stranger(bpy, add_on, tmp_path) -> None:
    text = write(bpy, "smoke.lua", SCRIPT)
    add_on.trust.came_from(text, str(tmp_path / "script.lua"))
    assert add_on.trust.untrusted_texts(text) == [text]
    assert Path(add_on.trust.origin(text).file) == tmp_path / "script.lua"
    add_on.trust.trust_texts([text])
    again = write(bpy, "again.lua", SCRIPT)
    add_on.trust.came_from(again, str(tmp_path / "script.lua"))
    assert add_on.trust.untrusted_texts(again) == []
    again.write("-- known by its content, so it is the artist's own")
    assert add_on.trust.untrusted_texts(again) == []


def test_what_ships_with_the_add_on_is_no_stranger(bpy, add_on, downloaded) -> None:
    preset = add_on.by_name("run.presets").list_presets()[0]
    template = add_on.by_name("blender.text_operators").TEMPLATE
    for script in (preset.script, template):
        text = open_file(bpy, downloaded(script.read_text(encoding="utf-8")))
        assert add_on.trust.untrusted_texts(text) == []
        text.write("-- changed")
        text = open_file(bpy, downloaded(text.as_string()))
        assert add_on.trust.untrusted_texts(text) == [text]


def test_a_store_that_cannot_be_written_holds_for_the_session(bpy, add_on, downloaded, tmp_path, monkeypatch) -> None:
    path = downloaded()
    (tmp_path / "a file").write_text("")
    store = add_on.by_name("run.trust_store").TrustStore(tmp_path / "a file" / "trusted.json")
    monkeypatch.setattr(add_on.trust, "_store", lambda: store)
    text = open_file(bpy, path)
    with pytest.raises(add_on.by_name("diagnostics").FluidError) as caught:
        add_on.trust.trust_texts([text])
    assert caught.value.code == "disk-error"
    assert add_on.trust.untrusted_texts(text) == []
    own = write(bpy, "own.lua", "-- own")
    add_on.trust.remember(own)
    assert bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "saved.blend")) == {"FINISHED"}


# ===== Modules


def test_the_modules_that_a_script_requires_must_be_trusted_too(bpy, add_on, downloaded) -> None:
    path = downloaded(
        'require("shape")', shape='require "colour"', colour="require('shape')", unused="-- nobody requires this"
    )
    text = open_file(bpy, path)
    assert names(add_on.trust.untrusted_texts(text)) == ["smoke.lua", "shape.lua", "colour.lua"]
    add_on.trust.trust_texts([text])
    assert names(add_on.trust.untrusted_texts(text)) == ["shape.lua", "colour.lua"]
    assert add_on.trust.modules(text) == {}
    add_on.trust.trust_texts(add_on.trust.untrusted_texts(text))
    assert add_on.trust.untrusted_texts(text) == []
    assert add_on.trust.modules(text) == {"shape.lua": 'require "colour"', "colour.lua": "require('shape')"}


def test_ones_own_script_may_not_bring_a_stranger_along(bpy, add_on, downloaded) -> None:
    open_file(bpy, downloaded(helpers="-- of somebody else"))
    own = write(bpy, "own.lua", 'require("helpers")')
    assert names(add_on.trust.untrusted_texts(own)) == ["helpers.lua"]
    assert "helpers.lua" not in add_on.trust.modules(own)


def test_a_script_whose_modules_cannot_be_seen_may_load_any(bpy, add_on, downloaded) -> None:
    text = open_file(bpy, downloaded('require("hel" .. "pers")', helpers="-- 1", other="-- 2"))
    assert names(add_on.trust.untrusted_texts(text)) == ["smoke.lua", "helpers.lua", "other.lua"]


def test_texts_that_are_no_lua_do_not_travel(bpy, add_on) -> None:
    text = write(bpy, "smoke.lua", SCRIPT)
    write(bpy, "notes", "private")
    write(bpy, "tool.py", "import os")
    write(bpy, "my/shape.lua", "-- a module")
    assert add_on.trust.modules(text) == {"my/shape.lua": "-- a module"}


# ===== Trust and Run


def test_the_operator_without_its_dialog_trusts_and_runs(bpy, add_on, downloaded, tmp_path) -> None:
    path = downloaded('require("shape")\n' + SCRIPT, shape="-- a module")
    text = open_file(bpy, path)
    token = bpy.data.objects["Smoke"].fluid_addon.token
    assert bpy.ops.fluid_addon.trust_script(name="Smoke") == {"FINISHED"}
    assert add_on.live.RUNS.is_running(token)
    assert add_on.trust.untrusted_texts(text) == []
    assert add_on.live.wait(token, lambda _event: None) == 0
    assert sorted(file.name for file in (tmp_path / "cache").rglob("*.vdb")) == ["smoke_0001.vdb"]
    text = open_file(bpy, path)
    assert add_on.trust.untrusted_texts(text) == []


def test_where_trust_cannot_be_written_down_the_run_goes_on(bpy, add_on, downloaded, tmp_path, monkeypatch) -> None:
    text = open_file(bpy, downloaded())
    (tmp_path / "a file").write_text("")
    store = add_on.by_name("run.trust_store").TrustStore(tmp_path / "a file" / "trusted.json")
    monkeypatch.setattr(add_on.trust, "_store", lambda: store)
    assert bpy.ops.fluid_addon.trust_script(name="Smoke") == {"FINISHED"}
    assert add_on.live.RUNS.is_running(bpy.data.objects["Smoke"].fluid_addon.token)
    assert add_on.trust.untrusted_texts(text) == []
    add_on.live.RUNS.close()


def test_B03_what_was_changed_behind_the_dialog_is_not_trusted(bpy, add_on, downloaded) -> None:
    text = open_file(bpy, downloaded())
    seen = add_on.trust_dialog._state(add_on.trust.untrusted_texts(text))
    text.write("-- and now for something else")
    with pytest.raises(RuntimeError, match="The script was changed while you read it"):
        bpy.ops.fluid_addon.trust_script(name="Smoke", seen=seen)
    assert not add_on.live.RUNS.is_busy
    assert add_on.trust.untrusted_texts(text) == [text]


def test_the_operator_says_what_is_missing(bpy, add_on) -> None:
    with pytest.raises(RuntimeError, match='There is no simulation "Nothing"'):
        bpy.ops.fluid_addon.trust_script(name="Nothing")
    add_on.simulation.new_simulation(bpy.context.scene, None, "Empty")
    with pytest.raises(RuntimeError, match='"Empty" has no script'):
        bpy.ops.fluid_addon.trust_script(name="Empty")


def test_no_key_repeats_the_trust(bpy, add_on) -> None:
    assert "REGISTER" not in add_on.trust_dialog.FLUID_ADDON_OT_trust_script.bl_options


# ===== What the dialog shows


def whole(line: str) -> list[str]:
    return [line]


def test_B03_the_source_is_shown_line_by_line_as_lua_counts(add_on) -> None:
    shown = list(add_on.trust_dialog.shown_lines("a\r\n\n\tb\n", whole, 100))
    assert shown == [(1, "a"), (2, ""), (3, "    b")]
    assert list(add_on.trust_dialog.shown_lines("", whole, 100)) == [(1, "")]


def test_nothing_hides_in_the_source(add_on) -> None:
    content = "a\u202eb\rc\x1b[2K\x00\n" + "x" * 10 + "os.execute()" + "\n\u2028\u200b"
    in_tens = lambda line: [line[start : start + 10] for start in range(0, len(line), 10)] or [line]  # noqa: E731
    shown = list(add_on.trust_dialog.shown_lines(content, in_tens, 100))
    assert shown == [
        (1, "a\\u202eb"),
        (2, "c\\x1b[2K\\x"),
        (0, "00"),
        (3, "x" * 10),
        (0, "os.execute"),
        (0, "()"),
        (4, "\\u2028\\u20"),
        (0, "0b"),
    ]


def test_a_source_without_end_says_how_much_is_left(add_on) -> None:
    content = "\n".join(f"line {number}" for number in range(1, 2001))
    shown = list(add_on.trust_dialog.shown_lines(content, whole, 10))
    assert shown[-2:] == [(10, "line 10"), (0, "… and 1,990 more lines: read them in the Text Editor")]
    assert list(add_on.trust_dialog.shown_lines("a\nb", whole, 1))[-1][1].startswith("… and 1 more line:")


def test_the_limits_that_are_shown_are_those_of_the_preferences(bpy, add_on, extension) -> None:
    preferences = bpy.context.preferences.addons[add_on.by_name("blender.package").PACKAGE].preferences
    preferences.lua_seconds, preferences.lua_memory_mb = 2.5, 64
    may, _ = add_on.trust_dialog.abilities(add_on.by_name("blender.preferences").settings())
    assert "Use 64 MB, and 2.5 s of Lua between two steps" in may
