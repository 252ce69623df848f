# SPDX-License-Identifier: GPL-3.0-or-later
"""What is known of this machine: its devices, and a report of it. Asked in another process, looked up by a timer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import bpy

from ..run.device_list import DeviceList
from ..run.inquiry import Answer, Inquiry

__all__ = ["KNOWN", "ask_for_devices", "ask_for_report", "forget", "take_answers"]

INTERVAL = 0.1  # seconds between two looks at the answers


@dataclass
class Known:
    """What a window may draw.

    Attributes:
        devices: None until somebody has asked.
        report: the last one; it went into the clipboard.
        said: how the last report ended, in one sentence.
    """

    devices: DeviceList | None = None
    report: str = ""
    said: str = ""
    asks_for_devices: bool = False
    asks_for_report: bool = False


KNOWN = Known()

_open: list[tuple[Inquiry, Callable[[Answer], None]]] = []


def ask_for_devices() -> None:
    """Ask the drivers for the Vulkan devices, unless that is under way."""
    if not KNOWN.asks_for_devices:
        KNOWN.asks_for_devices = True
        _ask(Inquiry("devices", "--json"), _take_devices)


def ask_for_report() -> None:
    """Collect the report and put it into the clipboard, unless that is under way."""
    if not KNOWN.asks_for_report:
        KNOWN.asks_for_report, KNOWN.said = True, ""
        _ask(Inquiry("report"), _take_report)


def _ask(inquiry: Inquiry, then: Callable[[Answer], None]) -> None:
    _open.append((inquiry, then))
    if not bpy.app.timers.is_registered(take_answers):
        bpy.app.timers.register(take_answers, first_interval=INTERVAL, persistent=True)


def take_answers() -> float | None:
    """Blender's timer. It ends with the last question."""
    for entry in list(_open):
        inquiry, then = entry
        answer = inquiry.poll()
        if answer is not None:
            _open.remove(entry)
            inquiry.close()
            then(answer)
            _redraw()
    return INTERVAL if _open else None


def _take_devices(answer: Answer) -> None:
    KNOWN.asks_for_devices = False
    if answer.problem:
        KNOWN.devices = DeviceList(problem=f"The devices are not known. {answer.problem}")
        return
    try:
        KNOWN.devices = DeviceList.from_json(answer.text)
    except (ValueError, KeyError, TypeError):
        KNOWN.devices = DeviceList(problem="The devices are not known: the answer makes no sense.")


def _take_report(answer: Answer) -> None:
    KNOWN.asks_for_report = False
    head = f"Blender {bpy.app.version_string}"
    KNOWN.report = bpy.context.window_manager.clipboard = f"{head}\n{answer.text or answer.problem}"
    KNOWN.said = f"The report is incomplete. {answer.problem}" if answer.problem else "The report is in the clipboard."


def _redraw() -> None:
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            if area.type == "PREFERENCES":
                area.tag_redraw()


def forget() -> None:
    """End every question, and know nothing any more."""
    for inquiry, _ in _open:
        inquiry.close()
    _open.clear()
    if bpy.app.timers.is_registered(take_answers):
        bpy.app.timers.unregister(take_answers)
    KNOWN.__init__()
