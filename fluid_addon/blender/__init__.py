# SPDX-License-Identifier: GPL-3.0-or-later
"""Blender's side of the add-on, and the only room that imports bpy.

Importing this package imports no bpy, so that the command line can say in its own words that bpy is missing.
"""

from __future__ import annotations

__all__ = ["register", "unregister"]


def register() -> None:
    """Called by Blender when the extension is enabled."""
    from . import import_operator

    import_operator.register()


def unregister() -> None:
    """Called by Blender when the extension is disabled, or taken away for an update."""
    from . import import_operator

    import_operator.unregister()
