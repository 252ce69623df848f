# SPDX-License-Identifier: GPL-3.0-or-later
"""Fluid Script: fluid simulations written in Lua, computed on Vulkan, delivered as VDB frames."""

VERSION = "0.1.0"
