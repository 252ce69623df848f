# SPDX-License-Identifier: GPL-3.0-or-later
"""The Text Editor, with mouse and keyboard: its header's button, its sidebar, errors that lead to their line."""

from __future__ import annotations

import pytest

from tests.real_blender.conftest import PICTURES, arrange_for_a_picture
from tests.real_blender.simulations import ENDLESS, add, smoke, wait_for_frames
from tests.real_blender.window import Blender, wait_for

RUN, STOP = r"fluid_addon\.run_simulation\(", r"fluid_addon\.stop_simulation\("


@pytest.fixture
def editor(blender: Blender) -> Blender:
    """The smoke in a Text Editor beside the 3D View, its sidebar open."""
    blender.tell("bpy.data.objects.remove(bpy.data.objects['Cube'])")
    arrange_for_a_picture(blender)
    add(blender, smoke(resolution=64, frames=120))
    blender.tell(
        "with inside('VIEW_3D'): bpy.ops.screen.area_split(direction='VERTICAL', factor=0.4)\n"
        "area('VIEW_3D').type = 'TEXT_EDITOR'"
    )
    blender.tell("area('TEXT_EDITOR').spaces.active.text = bpy.data.texts['smoke.lua']")
    blender.tell(
        "space = area('TEXT_EDITOR').spaces.active; space.show_line_numbers = space.show_syntax_highlight = True; "
        "space.text.cursor_set(0); space.top = 0; space = None"
    )
    blender.show("TEXT_EDITOR", largest=False)
    return blender


def type_text(blender: Blender, source: str) -> None:
    blender.tell(f"bpy.data.texts['smoke.lua'].from_string({source!r})")
    blender.redraw()


def test_header_button_and_stop(editor: Blender) -> None:
    button = editor.press("TEXT_EDITOR", "HEADER", r"fluid_addon\.run_shown_text\(")
    editor.wait_for("state(bpy.data.objects['Smoke']) and state(bpy.data.objects['Smoke']).stage.name == 'RUNNING'")
    wait_for_frames(editor, 20)
    text, view = editor.box("TEXT_EDITOR"), editor.box("VIEW_3D")
    both = min(text[0], view[0]), text[1], text[2] + view[2], text[3]
    editor.screen.picture(PICTURES / "blender_text_editor.png", both)
    editor.press("TEXT_EDITOR", "HEADER", STOP, near=button)
    editor.wait_for("state(bpy.data.objects['Smoke']).stage.name == 'STOPPED'")
    wait_for("the end of the worker", lambda: not editor.workers, 10.0)


def test_sidebar_button_and_stop(editor: Blender) -> None:
    type_text(editor, smoke(frames=ENDLESS))
    button = editor.press("TEXT_EDITOR", "UI", RUN)
    wait_for_frames(editor, 2)
    editor.press("TEXT_EDITOR", "UI", STOP, near=button)
    editor.wait_for("state(bpy.data.objects['Smoke']).stage.name == 'STOPPED'")


def test_key_runs_what_is_seen(editor: Blender) -> None:
    type_text(editor, smoke(frames=3))
    x, y, width, height = editor.box("TEXT_EDITOR", "WINDOW")
    editor.screen.move(x + width // 2, y + height // 2)
    editor.screen.key("alt+p")
    editor.wait_for("state(bpy.data.objects['Smoke']) and state(bpy.data.objects['Smoke']).stage.name == 'DONE'", 120.0)
    assert editor.tell("newest(bpy.data.objects['Smoke'])") == 3


def test_an_error_leads_to_its_line(editor: Blender) -> None:
    source = smoke().replace('ReadField("density", idx)', 'ReadField("densty", idx)')
    wrong = next(number for number, line in enumerate(source.splitlines(), 1) if '"densty"' in line)
    type_text(editor, source)
    editor.press("TEXT_EDITOR", "UI", RUN)
    editor.wait_for("state(bpy.data.objects['Smoke']) and state(bpy.data.objects['Smoke']).stage.name == 'FAILED'")
    editor.redraw()
    entry = editor.find("TEXT_EDITOR", "UI", r"fluid_addon\.goto_error\(")
    editor.screen.click(*entry)
    assert editor.wait_for("bpy.data.texts['smoke.lua'].current_line_index + 1 != 1")
    assert editor.tell("bpy.data.texts['smoke.lua'].current_line_index + 1") == wrong
    selected = editor.tell("text = bpy.data.texts['smoke.lua']; [text.select_end_character, text.current_character]")
    assert source.splitlines()[wrong - 1][slice(*selected)].startswith('densty"')
    editor.redraw()
    editor.screen.picture(PICTURES / "blender_error.png", editor.box("TEXT_EDITOR"))


def test_text_that_is_python(editor: Blender) -> None:
    type_text(editor, "import bpy\nprint(bpy.context.scene)\n")
    editor.press("TEXT_EDITOR", "UI", RUN)
    editor.wait_for("state(bpy.data.objects['Smoke']) and state(bpy.data.objects['Smoke']).stage.name == 'FAILED'")
    assert editor.tell("state(bpy.data.objects['Smoke']).errors[0]['line']") == 1
