# SPDX-License-Identifier: GPL-3.0-or-later
"""A run in a sidebar: the button that becomes the progress, errors as a list, a filtered log, lines that wrap."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

FONT = 11.0


class Layout:
    """Notes what is drawn, and fills nothing in. Blender hands out layouts only for what is on the screen."""

    def __init__(self, drawn: list[Any]) -> None:
        self.drawn = drawn
        self.enabled = True

    def column(self, **_: Any) -> Layout:
        return Layout(self.drawn)

    row = box = column

    def separator(self, **_: Any) -> None:
        pass

    def label(self, *, text: str, **_: Any) -> None:
        self.drawn.append(("label", text))

    def progress(self, *, factor: float, text: str) -> None:
        self.drawn.append(("progress", text, round(factor, 2)))

    def operator(self, idname: str, *, text: str = "", **_: Any) -> Any:
        properties = SimpleNamespace()
        self.drawn.append((idname.removeprefix("fluid_addon."), text, properties, self.enabled))
        return properties

    def labels(self) -> list[str]:
        return [entry[1] for entry in self.drawn if entry[0] == "label"]

    def kinds(self) -> list[str]:
        return [entry[0] for entry in self.drawn]


class Sidebar:
    """A simulation, and the sidebar that shows its run."""

    def __init__(self, bpy: Any, part: Callable[[str], ModuleType]) -> None:
        self.bpy, self.panel, self.live = bpy, part("blender.run_panel"), part("blender.live")
        self.wrapped = part("blender.wrapped_text")
        self.state_module, self.diagnostics = part("run.state"), part("diagnostics")
        text = bpy.data.texts.new("smoke.lua")
        self.found = part("blender.simulation").new_simulation(bpy.context.scene, text, "Smoke")
        self.stage = self.state_module.Stage

    def run(self, **what: Any) -> Any:
        """A run that stands so."""
        state = self.state_module.RunState(**what)
        self.live.RUNS._states[self.found.fluid_addon.token] = state
        return state

    def context(self, width: int = 160) -> Any:
        view = SimpleNamespace(view_to_region=lambda x, y, **_: (x, y))
        region = SimpleNamespace(width=width, view2d=view)
        return SimpleNamespace(region=region, preferences=self.bpy.context.preferences)

    def draw(self, part: str = "draw_run", found: Any = "the simulation", width: int = 160) -> Layout:
        layout = Layout([])
        shown = self.found if found == "the simulation" else found
        getattr(self.panel, part)(layout, self.context(width), shown)
        return layout


@pytest.fixture
def sidebar(bpy, extension) -> Sidebar:
    return Sidebar(bpy, extension)


# ===== The button


@pytest.mark.parametrize("has_simulation", [True, False])
def test_without_a_run_there_are_run_and_check(sidebar, has_simulation) -> None:
    layout = sidebar.draw(found=sidebar.found if has_simulation else None)
    assert layout.kinds() == ["run_simulation", "check_script"]
    assert {entry[2].name for entry in layout.drawn} == {"Smoke" if has_simulation else ""}


def test_the_button_becomes_the_progress(sidebar) -> None:
    state = sidebar.run(stage=sidebar.stage.RUNNING, frame=30, frames=120, seconds_left=75.0)
    layout = sidebar.draw(width=400)
    assert layout.drawn[0] == ("progress", "Frame 30 of 120, 1:15 left", 0.25)
    assert layout.kinds() == ["progress", "stop_simulation"]
    narrow = sidebar.draw(width=160)
    assert narrow.drawn[:2] == [("progress", "Frame 30 of 120", 0.25), ("label", "1:15 left")]
    state.stop()
    stopping = sidebar.draw()
    assert stopping.drawn[0][1] == "Stopping …"
    assert stopping.drawn[1][3] is False, "Stop was pressed already"


def test_a_run_that_waits_says_how_many_come_first(sidebar) -> None:
    request = sidebar.live.RunRequest(script="smoke.lua")
    for key in ("first", "second", sidebar.found.fluid_addon.token):
        sidebar.live.RUNS.add(key, request)
    assert sidebar.draw().drawn[0][1] == "Queued: 2 before it"
    sidebar.live.RUNS.stop("first")
    assert sidebar.draw().drawn[0][1] == "Queued: next"
    assert sidebar.draw().kinds() == ["progress", "stop_simulation"]


def test_the_end_is_said(sidebar) -> None:
    stage = sidebar.stage
    for what, line in (
        ({"stage": stage.DONE, "exit_code": 0, "files": 60, "seconds": 75.0}, "Done: 60 files in 1:15"),
        ({"stage": stage.CHECKED, "exit_code": 0, "verb": "check"}, "No problem found"),
        ({"stage": stage.STOPPED, "exit_code": 130, "frame": 12}, "Stopped at frame 12"),
    ):
        sidebar.run(**what)
        layout = sidebar.draw(width=400)
        assert layout.kinds() == ["run_simulation", "check_script", "label"]
        assert layout.labels() == [line]


# ===== Errors


def problem(**what: Any) -> dict[str, Any]:
    return {
        "code": "lua-error",
        "message": "It is wrong.",
        "hint": None,
        "file": "smoke.lua",
        "line": 3,
        "column": None,
        "text": "",
        **what,
    }


def test_each_error_is_a_button_to_its_line_with_all_of_its_words(sidebar) -> None:
    message = 'Cannot read "/a/path/that/is/much/longer/than/any/sidebar/is/wide.nvdb": No such file or directory.'
    state = sidebar.run(stage=sidebar.stage.FAILED, exit_code=3)
    state.errors = [problem(line=12, column=5), problem(message=message, hint="Check the path.")]
    layout = sidebar.draw()
    jumps = [entry for entry in layout.drawn if entry[0] == "goto_error"]
    assert [entry[1] for entry in jumps] == ["smoke.lua:12", "smoke.lua:3"]
    assert vars(jumps[0][2]) == {"text": "smoke.lua", "line": 12, "column": 5}
    assert vars(jumps[1][2]) == {"text": "smoke.lua", "line": 3, "column": 1}
    shown = "".join(layout.labels()).replace(" ", "")
    assert "2problems" in shown
    assert message.replace(" ", "") in shown
    assert shown.endswith("Checkthepath.")


def test_an_error_without_a_place_has_no_button(sidebar) -> None:
    state = sidebar.run(stage=sidebar.stage.FAILED, exit_code=4)
    state.errors = [problem(file=None, line=None, message="There is no Vulkan driver.")]
    assert sidebar.draw(width=400).kinds() == ["run_simulation", "check_script", "label", "label"]


def test_what_the_supervisor_says_of_the_worker_is_read_whole(sidebar) -> None:
    """Long sentences in a narrow sidebar, and no button: they have no line."""
    codes = sidebar.diagnostics.CODES
    message = (
        'The worker process has not said anything for 30 s, in "pressure", and was ended. ' + "Its last words: " * 5
    )
    for code in ("worker-died", "worker-stalled", "worker-memory", "worker-protocol"):
        assert codes[code].value == 6
        state = sidebar.run(stage=sidebar.stage.FAILED, exit_code=6)
        state.errors = [problem(code=code, file=None, line=None, message=message, hint="Finished frames are kept.")]
        layout = sidebar.draw()
        assert layout.kinds()[:2] == ["run_simulation", "check_script"] and set(layout.kinds()[2:]) == {"label"}
        assert "".join(layout.labels()).replace(" ", "") == f"1problem{message}Finishedframesarekept.".replace(" ", "")


# ===== Checkpoints


def test_a_run_that_goes_on_says_from_where_and_how_far_it_is_safe(sidebar) -> None:
    state = sidebar.run(stage=sidebar.stage.PREPARING, resumes_from=48)
    assert sidebar.draw(width=400).drawn[0][1] == "Resuming from frame 48 …"
    state.apply({"event": "resumed", "frame": 47, "files": 47})  # the newest checkpoint was damaged
    layout = sidebar.draw(width=400)
    assert layout.drawn[0][1] == "Resuming from frame 47 …"
    assert layout.labels() == ["Checkpoint at frame 47"]
    step = {"event": "progress", "frame": 49, "frames": 96, "seconds_left": None, "mcells_per_second": 1.0}
    for event in (step, {"event": "frame"}, {"event": "checkpoint", "frame": 49, "bytes": 12}):
        state.apply(event)
    layout = sidebar.draw(width=400)
    assert layout.drawn[0] == ("progress", "Frame 49 of 96", 0.51)
    assert (layout.labels(), state.files) == (["Checkpoint at frame 49"], 48)
    assert [text for _, text in state.log] == ["The run goes on from frame 47."]


def test_a_worker_that_was_started_once_more_is_said_while_the_run_goes_on(sidebar) -> None:
    text = "The device was lost in frame 12; the run goes on from the last checkpoint."
    state = sidebar.run(stage=sidebar.stage.RUNNING, frame=12)
    state.apply({"event": "restarted", "frame": 12, "text": text})
    layout = sidebar.draw()
    assert "stop_simulation" in layout.kinds()
    assert " ".join(layout.labels()) == text
    assert ("note", text) in state.log


def test_B14_a_simulation_of_a_newer_version_is_to_be_read_only(sidebar) -> None:
    sidebar.found.fluid_addon.format, sidebar.found.fluid_addon.made_with = 99, "9.8.7"
    layout = sidebar.draw(width=400)
    assert set(layout.kinds()) == {"label"}, "neither Run nor Check"
    assert " ".join(layout.labels()).startswith('"Smoke" was made by Fluid Script 9.8.7, which is newer than this one.')


# ===== The log


def test_the_log_shows_its_end_as_the_preferences_ask(sidebar, extension) -> None:
    state = sidebar.run(stage=sidebar.stage.DONE, exit_code=0)
    state.log.extend([("log", f"line {number}") for number in range(30)])
    state.log.extend([("note", "a note"), ("error", "smoke.lua:1: error\n 1 | x\n   | ^")])
    preferences = sidebar.bpy.context.preferences.addons[extension("blender.package").PACKAGE].preferences
    expected = {
        "ERRORS": ["smoke.lua:1: error"],
        "NOTES": ["a note", "smoke.lua:1: error"],
        "EVERYTHING": [*(f"line {number}" for number in range(20, 30)), "a note", "smoke.lua:1: error"],
    }
    for level, lines in expected.items():
        preferences.log_level = level
        layout = sidebar.draw("draw_log", width=600)
        assert layout.labels() == lines
        assert layout.kinds()[-1] == "show_log"


def test_the_log_names_the_device_and_its_memory(sidebar) -> None:
    sidebar.run(
        stage=sidebar.stage.RUNNING, device="Fast Card", memory="density  1.0 MiB  device\ntotal        1.0 MiB"
    )
    assert sidebar.draw("draw_log", width=600).labels()[:2] == ["Fast Card", "Memory: 1.0 MiB"]


def test_there_is_no_log_before_the_first_run(sidebar) -> None:
    assert sidebar.draw("draw_log").labels() == ["Nothing was run yet"]


# ===== Wrapping


def test_no_line_is_wider_than_asked_and_no_word_is_lost(sidebar) -> None:
    import blf

    text = 'The field "temperature" is not among the inputs of "advect". ' + "x" * 80 + " Größe 温度 end"
    for width in (40.0, 90.0, 137.5, 400.0):
        lines = sidebar.wrapped.wrap(text, width, FONT)
        blf.size(0, FONT)
        assert all(blf.dimensions(0, line)[0] <= width for line in lines)
        assert "".join(lines).replace(" ", "") == text.replace(" ", "")
        words = [word for line in lines for word in line.split()]
        assert {"The", "field", "among", "Größe"} <= set(words), "a word that fits is not broken"


def test_paragraphs_stay_apart_and_empty_text_is_one_line(sidebar) -> None:
    assert sidebar.wrapped.wrap("one\n\ntwo", 400.0, FONT) == ("one", "", "two")
    assert sidebar.wrapped.wrap("", 400.0, FONT) == ("",)


def test_a_letter_wider_than_the_line_still_ends(sidebar) -> None:
    assert sidebar.wrapped.wrap("WW W", 1.0, FONT) == ("W", "W", "W")


def test_a_word_that_is_too_long_is_parted_behind_its_hyphen(sidebar) -> None:
    assert sidebar.wrapped.wrap("Kelvin-Helmholtz layer", 90.0, FONT) == ("Kelvin-", "Helmholtz layer")
    assert sidebar.wrapped.wrap("-WW", 1.0, FONT) == ("-", "W", "W")
