# SPDX-License-Identifier: GPL-3.0-or-later
"""What lands on disk: VDB frames and bake folders, and the grid files that simulations start from."""
