# SPDX-License-Identifier: GPL-3.0-or-later
"""Lua comes in: a sandboxed Lua 5.4 state, checked arguments, and errors that name the artist's line."""

from .context import LuaContext
from .parameters import Override, ParameterDeclaration, Parameters

__all__ = ["LuaContext", "Override", "ParameterDeclaration", "Parameters"]
