# SPDX-License-Identifier: GPL-3.0-or-later
from .fluid_addon.blender import register, unregister

__all__ = ["register", "unregister"]
