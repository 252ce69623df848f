# SPDX-License-Identifier: GPL-3.0-or-later
"""Lua comes in: a sandboxed Lua 5.4 state, checked arguments, and errors that name the artist's line."""
