# SPDX-License-Identifier: GPL-3.0-or-later
"""A bake folder becomes Volume objects, one for each sequence of files in it.

The objects are plain Blender data: they play, render and travel without the add-on. Two custom properties let a
running bake, or a later one, find them again.
"""

from __future__ import annotations

__all__ = ["BAKE_TOKEN", "SEQUENCE", "import_bake", "set_frame_range", "update_bake"]

#: Custom property of the object: the token of the bake that it shows.
BAKE_TOKEN = "fluid_bake"
#: Custom property of the object: which files of the bake it shows, such as "frames/smoke_####.vdb".
SEQUENCE = "fluid_sequence"
