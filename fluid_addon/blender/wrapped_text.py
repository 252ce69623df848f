# SPDX-License-Identifier: GPL-3.0-or-later
"""Text in as many lines as a sidebar's width asks for: Blender's labels are cut, they do not wrap."""

from __future__ import annotations

from functools import lru_cache

import blf
import bpy

__all__ = ["draw_wrapped", "font_size", "line_width", "text_width", "wrap"]

#: What a sidebar takes from a line's width at a scale of 1: tabs of the categories, panel and box around it.
_MARGIN = 70.0
_ICON = 22.0


def draw_wrapped(layout: bpy.types.UILayout, context: bpy.types.Context, text: str, icon: str = "NONE") -> None:
    """A text in as many labels as the sidebar's width asks for. An icon stands before the first one."""
    room = line_width(context) - (_ICON * _scale(context) if icon != "NONE" else 0.0)
    column = layout.column(align=True)
    column.scale_y = 0.8
    for number, line in enumerate(wrap(text, room, font_size(context))):
        column.label(text=line, icon=icon if number == 0 else "BLANK1" if icon != "NONE" else "NONE", translate=False)


@lru_cache(maxsize=512)
def wrap(text: str, width: float, size: float) -> tuple[str, ...]:
    """The lines of a text, none of them wider than `width` pixels in the interface's font of `size` points."""
    blf.size(0, size)
    return tuple(line for paragraph in text.splitlines() or [""] for line in _wrap_paragraph(paragraph, width))


def _wrap_paragraph(text: str, width: float) -> list[str]:
    lines, line = [], ""
    for word in text.split():
        longer = f"{line} {word}" if line else word
        if _fits(longer, width):
            line = longer
            continue
        if line:
            lines.append(line)
        *whole, line = _pieces(word, width)
        lines += whole
    return [*lines, line]


def _pieces(word: str, width: float) -> list[str]:
    """A word that is wider than a line, such as a path, in pieces that fit; behind a hyphen where there is one."""
    pieces = [""]
    for letter in word:
        if pieces[-1] and not _fits(pieces[-1] + letter, width):
            before, hyphen, behind = pieces[-1].rpartition("-")
            pieces[-1:] = [before + hyphen, behind] if before else [pieces[-1], ""]
        pieces[-1] += letter
    return pieces


def _fits(text: str, width: float) -> bool:
    return bool(blf.dimensions(0, text)[0] <= width)


def text_width(text: str, context: bpy.types.Context) -> float:
    blf.size(0, font_size(context))
    return float(blf.dimensions(0, text)[0])


def line_width(context: bpy.types.Context) -> float:
    """Pixels that a line of text has in the region that is drawn, within a box of a panel."""
    region = context.region
    view = region.view2d
    (left, _), (right, _) = view.view_to_region(0, 0, clip=False), view.view_to_region(1000, 0, clip=False)
    zoom = (right - left) / 1000.0 or 1.0
    return max(region.width / zoom - _MARGIN * _scale(context), 60.0 * _scale(context))


def _scale(context: bpy.types.Context) -> float:
    return float(context.preferences.system.ui_scale) or 1.0  # none is known without a window


def font_size(context: bpy.types.Context) -> float:
    return float(context.preferences.ui_styles[0].widget.points) * _scale(context)
