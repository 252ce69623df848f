# SPDX-License-Identifier: GPL-3.0-or-later
"""How the children of a run are started: as every child of this package, see `child_process`."""

from ..child_process import child_command, child_environment, child_flags

__all__ = ["child_command", "child_environment", "child_flags"]
