# SPDX-License-Identifier: GPL-3.0-or-later
"""Blender's entry. Scripts take one function from here: `from bl_ext.user_default.fluid_addon import run_scene`."""

from .fluid_addon.blender import register, run_scene, unregister

__all__ = ["register", "run_scene", "unregister"]
