# SPDX-License-Identifier: GPL-3.0-or-later
"""The Text Editor: scripts to begin with, what runs is what is seen, errors lead to their line, Play runs no Lua."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

SMALL = """
sim = FluidEngine.new{domain_size = {8, 8, 8}}
sim:add_field("density", Format.R32F, 1)
sim:run{frames = FRAMES, fps = 24, export = "small_####.vdb"}
"""

#: File, line, sentence and hint, as the sidebar shows them.
PYTHON = (
    "smoke.lua",
    1,
    'This is not Lua: syntax error near "bpy".',
    "This line looks like Python: a fluid script is written in Lua.",
)
LUA = ("smoke.lua", 6, 'attempt to index a nil value (global "nothing")', 'Did you mean "string"?')
GLSL = ("smoke.lua", 6, '"smok" is not declared.', 'Did you mean "smoke"?')


class Editor:
    """A Text Editor in the window that Blender keeps without a display, and the add-on in it."""

    def __init__(self, bpy: Any, part: Callable[[str], ModuleType]) -> None:
        self.bpy, self.part = bpy, part
        self.window = bpy.context.window_manager.windows[0]
        self.area = max(self.window.screen.areas, key=lambda area: area.width * area.height)
        self.area.type = "TEXT_EDITOR"
        self.live, self.simulation = part("blender.live"), part("blender.simulation")

    def here(self) -> Any:
        """The mouse is in the sidebar of the editor."""
        sidebar = next(region for region in self.area.regions if region.type == "UI")
        return self.bpy.context.temp_override(window=self.window, area=self.area, region=sidebar)

    @property
    def text(self) -> Any:
        return self.area.spaces.active.text

    def write(self, source: str, name: str = "smoke.lua") -> Any:
        text = self.bpy.data.texts.new(name)
        text.from_string(source)
        self.area.spaces.active.text = text
        return text

    def call(self, operator: str, **named: Any) -> set[str]:
        with self.here():
            return getattr(self.bpy.ops.fluid_addon, operator)(**named)

    def run(self, verb: str = "run_simulation") -> Any:
        """What came of pressing the button."""
        assert self.call(verb) == {"FINISHED"}
        found = self.simulation.simulation_of_text(self.bpy.context.scene, self.text)
        self.live.wait(found.fluid_addon.token, lambda _event: None)
        return self.live.RUNS.state(found.fluid_addon.token)


@pytest.fixture
def editor(bpy, extension) -> Iterator[Editor]:
    made = Editor(bpy, extension)
    yield made
    made.live.RUNS.close()


# ===== Scripts to begin with


def test_the_template_runs_as_it_stands(editor) -> None:
    assert editor.call("new_script") == {"FINISHED"}
    assert editor.text.name == "fluid.lua"
    assert editor.text.current_line_index == 0
    assert editor.text.lines[0].body.startswith("-- A fluid simulation that runs as it stands")
    state = editor.run()
    assert (state.exit_code, state.errors) == (0, [])
    assert (state.files, state.frames) == (60, 60)
    assert [found.name for found in editor.bpy.context.scene.objects] == ["Fluid"]


def test_a_preset_is_shown_as_a_script_and_a_second_one_is_a_script_too(editor) -> None:
    assert editor.call("new_script", preset="smoke_plume") == {"FINISHED"}
    shipped = editor.part("run.presets").find_preset("smoke_plume").source()
    assert (editor.text.name, editor.text.as_string()) == ("smoke_plume.lua", shipped)
    assert editor.call("new_script", preset="smoke_plume") == {"FINISHED"}
    assert editor.text.name == "smoke_plume_2.lua"
    assert not list(editor.bpy.context.scene.objects)


def test_a_preset_that_is_not_there_is_said(editor) -> None:
    with pytest.raises(RuntimeError, match=r'There is no preset "smoke_plum"\. Did you mean "smoke_plume"'):
        editor.call("new_script", preset="smoke_plum")


def test_a_script_is_a_text_whose_name_says_lua(editor) -> None:
    is_script = editor.part("blender.text_operators").is_script
    for name in ("a.lua", "a.LUA", "b.lua", "b.lua"):  # Blender calls the last one b.lua.001
        assert is_script(editor.bpy.data.texts.new(name))
    for other in ("a.py", "lua", "a.lua.txt", "a.luau"):
        assert not is_script(editor.bpy.data.texts.new(other))
    assert not is_script(None)


def test_a_text_of_another_name_becomes_a_script_by_a_button(editor) -> None:
    for name, expected in (("Text", "Text.lua"), ("wind.py", "wind.lua")):
        editor.write(SMALL, name)
        assert not editor.bpy.ops.fluid_addon.run_shown_text.poll()
        assert editor.call("name_as_lua") == {"FINISHED"}
        assert editor.text.name == expected
        with editor.here():
            assert editor.bpy.ops.fluid_addon.run_shown_text.poll()
            assert not editor.bpy.ops.fluid_addon.name_as_lua.poll()


def test_the_key_is_for_lua_only(editor) -> None:
    """Alt-P of any other text goes on to Blender's Run Script: an operator whose poll fails takes no key."""
    keymap = editor.bpy.context.window_manager.keyconfigs.addon.keymaps["Text"]
    (item,) = (item for item in keymap.keymap_items if item.idname == "fluid_addon.run_shown_text")
    assert (item.type, item.value, item.alt, item.ctrl, item.shift) == ("P", "PRESS", True, False, False)
    for name, takes in (("a.lua", True), ("a.py", False), ("Text", False)):
        editor.write("", name)
        with editor.here():
            assert editor.bpy.ops.fluid_addon.run_shown_text.poll() is takes
    editor.part("blender.text_header").unregister()
    try:
        assert "fluid_addon.run_shown_text" not in [item.idname for item in keymap.keymap_items]
    finally:
        editor.part("blender.text_header").register()


def test_the_key_runs_what_is_shown(editor) -> None:
    editor.write(SMALL.replace("FRAMES", "2"))
    assert editor.run("run_shown_text").files == 2


# ===== What runs is what is seen


def test_what_was_typed_and_never_saved_runs(editor, tmp_path) -> None:
    path = tmp_path / "saved.lua"
    path.write_text(SMALL.replace("FRAMES", "1"), "utf-8")
    text = editor.area.spaces.active.text = editor.bpy.data.texts.load(str(path))
    assert editor.run().files == 1
    text.from_string(SMALL.replace("FRAMES", "3"))
    assert text.is_dirty
    assert editor.run().files == 3


def test_B05_what_changed_on_disk_only_does_not_run_and_is_said(editor, tmp_path) -> None:
    path = tmp_path / "saved.lua"
    path.write_text(SMALL.replace("FRAMES", "2"), "utf-8")
    text = editor.area.spaces.active.text = editor.bpy.data.texts.load(str(path))
    path.write_text("this is no Lua any more", "utf-8")
    os.utime(path, (path.stat().st_atime, path.stat().st_mtime + 10))  # Blender looks at the time alone
    assert text.is_modified
    for _ in range(2):
        state = editor.run()
        assert state.files == 2
        expected = 'The file of "saved.lua" is not what the editor shows; what it shows is run.'
        assert [line for level, line in state.log if level == "note"] == [expected]
        path.unlink(missing_ok=True)


def test_B05_of_two_texts_with_one_name_each_is_itself(editor) -> None:
    editor.write(SMALL.replace("FRAMES", "1"), "twin.lua")
    editor.write("-- the other one\nprint(nothing.here)\n", "twin.lua")
    assert editor.text.name == "twin.lua.001"
    state = editor.run()
    assert (state.errors[0]["file"], state.errors[0]["line"]) == ("twin.lua.001", 2)
    editor.area.spaces.active.text = editor.bpy.data.texts["twin.lua"]
    assert editor.call("goto_error", text="twin.lua.001", line=2) == {"FINISHED"}
    assert editor.text.name == "twin.lua.001" and editor.text.current_line_index == 1
    editor.area.spaces.active.text = editor.bpy.data.texts["twin.lua"]
    assert editor.run().files == 1


# ===== Bad input


def problem(state: Any) -> tuple[str | None, int | None, str, str | None]:
    (found,) = state.errors
    return found["file"], found["line"], found["message"], found["hint"]


def test_an_empty_text(editor) -> None:
    for source in ("", " \n\t\n"):
        editor.write(source, "empty.lua")
        with pytest.raises(
            RuntimeError, match=r'The text "empty.lua[.0-9]*" is empty. Write a script in Lua, or begin'
        ):
            editor.call("run_simulation")


def test_a_text_that_is_python(editor) -> None:
    editor.write('import bpy\n\nfor found in bpy.data.objects:\n    print(f"{found.name}")\n')
    state = editor.run()
    assert state.exit_code == 3
    assert problem(state) == PYTHON


def test_an_error_in_lua(editor) -> None:
    editor.write(SMALL.replace("FRAMES", "1") + "\nprint(nothing.here)\n")
    state = editor.run()
    assert problem(state) == LUA


def test_an_error_in_glsl(editor) -> None:
    source = SMALL.replace("FRAMES", "1").replace(
        "sim:run",
        'sim:add_stencil("fade", {inputs = {"density"}, outputs = {"density"}, code = [[\n'
        '    float smoke = ReadField("density", idx);\n'
        '    WriteField("density", idx, smok * 0.5);\n'
        "]]})\nsim:run",
    )
    editor.write(source)
    state = editor.run()
    assert problem(state) == GLSL
    assert editor.text.lines[state.errors[0]["line"] - 1].body.strip() == 'WriteField("density", idx, smok * 0.5);'
    column = state.errors[0]["column"]
    assert editor.text.lines[state.errors[0]["line"] - 1].body[column - 1 :].startswith("smok *")


# ===== Errors lead to their line


def test_an_error_leads_to_its_line(editor) -> None:
    text = editor.write("".join(f"-- line {number}\n" for number in range(1, 201)), "long.lua")
    editor.write("", "other.lua")
    assert editor.call("goto_error", text="long.lua", line=150, column=4) == {"FINISHED"}
    assert editor.text == text
    assert (text.select_end_line_index, text.select_end_character) == (149, 3)
    assert (text.current_line_index, text.current_character) == (149, len("-- line 150"))
    assert editor.area.spaces.active.top > 0
    assert editor.area.spaces.active.show_region_ui


def test_a_line_that_was_deleted_since_leads_to_the_last(editor) -> None:
    text = editor.write("one\ntwo")
    assert editor.call("goto_error", text="smoke.lua", line=7, column=300) == {"FINISHED"}
    assert (text.select_end_line_index, text.select_end_character) == (1, 3)


def test_without_a_text_editor_another_area_becomes_one(editor) -> None:
    text = editor.write("one\ntwo")
    editor.area.type = "VIEW_3D"
    with editor.bpy.context.temp_override(window=editor.window, area=editor.area):
        assert editor.bpy.ops.fluid_addon.goto_error(text="smoke.lua", line=2) == {"FINISHED"}
    shown = [area for area in editor.window.screen.areas if area.type == "TEXT_EDITOR"]
    assert [area.spaces.active.text for area in shown] == [text]
    assert editor.area.type == "VIEW_3D"


def test_an_error_may_lie_in_a_file_or_in_a_module_of_the_add_on(editor, tmp_path, monkeypatch) -> None:
    path = tmp_path / "module.lua"
    path.write_text("one\ntwo\n", "utf-8")
    assert editor.call("goto_error", text=str(path), line=2) == {"FINISHED"}
    loaded = editor.text
    assert (Path(loaded.filepath), loaded.select_end_line_index) == (path, 1)
    editor.call("goto_error", text=str(path), line=1)
    assert editor.text == loaded
    shipped = tmp_path / "library/gas.lua"
    shipped.parent.mkdir()
    shipped.write_text("-- gas\nreturn {}\n", "utf-8")
    monkeypatch.setattr(editor.part("blender.text_operators"), "LIBRARY", shipped.parent)
    for line in (1, 2):
        assert editor.call("goto_error", text="fluid/gas.lua", line=line) == {"FINISHED"}
        assert (editor.text.name, editor.text.select_end_line_index) == ("fluid/gas.lua", line - 1)
        assert editor.text.is_in_memory, "a change of it would be lost with the next update"


def test_a_text_that_is_gone_is_said(editor) -> None:
    with pytest.raises(RuntimeError, match=r'There is no text "gone.lua" any more\. It was renamed or removed'):
        editor.call("goto_error", text="gone.lua", line=1)


def test_the_whole_log_is_a_text(editor) -> None:
    script = editor.write('print("hello from Lua")\n' + SMALL.replace("FRAMES", "1") + "error('over')\n")
    with pytest.raises(RuntimeError, match=r"Nothing was run yet\. Press Run Simulation first"):
        editor.call("show_log")
    editor.run()
    assert editor.call("show_log") == {"FINISHED"}
    log = editor.text
    assert log.name == "Fluid Log.txt"
    lines = log.as_string().splitlines()
    assert lines[0] == "1 problem"
    assert [line.split()[0] for line in lines if line.endswith("device")] == ["density"]
    assert "hello from Lua" in lines
    assert "smoke.lua:6: error[lua-error]: over" in lines
    assert log["script"] == script.name
    editor.area.spaces.active.text = script
    editor.call("show_log")
    assert editor.text == log, "there is one log"


# ===== Play runs no Lua


class Layout:
    """Notes what is drawn. Blender itself hands out layouts only for what is on the screen."""

    def __init__(self, drawn: list[str], active: bool = True) -> None:
        self.drawn, self.active, self.alert, self.enabled = drawn, active, False, True

    def part(self, *_: Any, **__: Any) -> Layout:
        return Layout(self.drawn, self.active)

    row = column = box = split = part

    def operator(self, idname: str, *_: Any, **__: Any) -> Any:
        self.drawn.append(idname if self.active else f"{idname} (grey)")
        return type("Properties", (), {})()

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return lambda *args, **_: self.drawn.append(".".join([name, *(arg for arg in args if isinstance(arg, str))]))


def drawn(editor: Editor, kind: Any) -> list[str]:
    """What a header or menu draws, through all of its functions."""
    seen: list[str] = []
    shown = type("Shown", (), {"layout": Layout(seen)})()
    with editor.here():
        for function in kind._dyn_ui_initialize():
            function(shown, editor.bpy.context)
    return seen


@pytest.mark.parametrize("kind", ["TEXT_HT_header", "TEXT_MT_text"])
def test_play_is_run_simulation_for_lua_alone(editor, kind) -> None:
    kind = getattr(editor.bpy.types, kind)
    editor.write(SMALL, "a.py")
    python = drawn(editor, kind)
    assert python.count("text.run_script") == 1
    editor.write(SMALL, "a.lua")
    lua = drawn(editor, kind)
    assert "text.run_script" not in " ".join(lua)
    # Colours are for Python in Blender: it greys Play out for Lua, and Run Simulation must not be grey.
    expected = ["fluid_addon.run_shown_text" if entry == "text.run_script" else entry for entry in python]
    assert lua == expected
    editor.area.spaces.active.text = None
    assert "fluid_addon.run_shown_text" not in drawn(editor, kind)


def test_the_header_says_how_the_run_goes(editor) -> None:
    editor.write("error('over')")
    header = editor.bpy.types.TEXT_HT_header
    editor.call("run_simulation")
    assert "fluid_addon.stop_simulation" in drawn(editor, header)
    assert "fluid_addon.run_shown_text" not in drawn(editor, header)
    found = editor.simulation.simulation_of_text(editor.bpy.context.scene, editor.text)
    editor.live.wait(found.fluid_addon.token, lambda _event: None)
    shown = drawn(editor, header)
    assert {"fluid_addon.run_shown_text", "fluid_addon.goto_error"} <= set(shown)
    assert "fluid_addon.stop_simulation" not in shown


@pytest.mark.parametrize("kind", ["TEXT_HT_header", "TEXT_MT_text"])
def test_disabling_puts_blenders_own_back_and_keeps_those_of_others(editor, kind) -> None:
    def theirs(_shown: Any, _context: Any) -> None:
        pass

    kind = getattr(editor.bpy.types, kind)
    kind.prepend(theirs)
    kind.append(theirs)
    header = editor.part("blender.text_header")
    before = kind._dyn_ui_initialize()[:]
    header.unregister()
    try:
        modules = [function.__module__ for function in kind._dyn_ui_initialize()]
        assert modules == [theirs.__module__, "bl_ui.space_text", theirs.__module__]
    finally:
        header.register()
        assert len(kind._dyn_ui_initialize()) == len(before)
        kind.remove(theirs)
        kind.remove(theirs)


def test_what_fails_there_leaves_blenders_own(editor) -> None:
    header = editor.bpy.types.TEXT_HT_header
    editor.write(SMALL)
    play_button = editor.part("blender.play_button")
    (stock, *_), ours = [f._stock for f in play_button._replacements], header._dyn_ui_initialize()[0]

    class Broken(Layout):
        def template_header(self) -> None:
            raise RuntimeError("another Blender")

    with editor.here(), pytest.raises(RuntimeError, match="another Blender"):
        ours(type("Shown", (), {"layout": Broken([])})(), editor.bpy.context)
    assert header._dyn_ui_initialize()[0] is stock
    assert "text.run_script" in " ".join(drawn(editor, header))


def test_the_templates_menu_offers_scripts(editor) -> None:
    seen: list[str] = []
    shown = type("Shown", (), {"layout": Layout(seen)})()
    entries = editor.bpy.types.TEXT_MT_templates._dyn_ui_initialize()
    with editor.here():
        entries[-1](shown, editor.bpy.context)
        editor.part("blender.text_header").FLUID_ADDON_MT_scripts.draw(shown, editor.bpy.context)
    count = len(editor.part("blender.preset_library").all_presets())
    assert seen == [
        "menu.FLUID_ADDON_MT_scripts",
        "fluid_addon.new_script",
        "separator",
        *["fluid_addon.new_script"] * count,
    ]
