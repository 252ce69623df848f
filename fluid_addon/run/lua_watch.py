# SPDX-License-Identifier: GPL-3.0-or-later
"""A script that is stuck inside a function of Lua's own C code, where nothing looks at the clock.

Lua lets Python's other threads run meanwhile, so one of them can see it. It cannot call Lua back: only the end of the
process ends it. A worker does that. A run in the calling process (`--in-process`) goes on until the function returns.
"""

from __future__ import annotations

from ..diagnostics import FluidError, fail
from ..script.context import running_contexts

__all__ = ["GRACE", "stalled_script"]

#: Seconds beyond the limit of Lua's time in which the usual way to stop a script may still work.
GRACE = 1.0


def stalled_script() -> FluidError | None:
    """lua-timeout for a script of this process that has to be ended from outside, with the line it was last seen at."""
    for context in running_contexts():
        limits = context.limits
        if limits is not None and limits.silent_for > limits.seconds + GRACE:
            message = f"The script did not come out of a function of Lua within {limits.seconds:g} seconds."
            hint = "Is there a pattern with many repetitions, or text of many megabytes? --lua-seconds allows more."
            return fail("lua-timeout", message, hint).at(context.seen_at())
    return None
