# SPDX-License-Identifier: GPL-3.0-or-later
"""How long the steps of a frame are."""

from __future__ import annotations

import math

import numpy as np

from ..diagnostics import fail
from .field import Field, find_field

__all__ = ["LARGEST", "MAX_SUBSTEPS", "Pace", "check_dt", "check_run"]

MAX_SUBSTEPS = 256
#: The numbers that kernels hold: 32-bit floats, and no denormal ones, which devices may take for zero.
LARGEST, SMALLEST = float(np.finfo(np.float32).max), float(np.finfo(np.float32).tiny)


class Pace:
    """Steps of a frame by the CFL condition: nothing travels more than `cfl` voxels in one.

    Args:
        seconds: length of the frame.
        voxel_size: world units.
    """

    def __init__(self, seconds: float, cfl: float, voxel_size: float) -> None:
        self.left = seconds
        self.exceeded = False
        self._cfl, self._voxel_size = cfl, voxel_size
        self._done = 0

    def next_step(self, speed: float, frame: int) -> float:
        """The next step's length; what is left is divided evenly, so the last one lands on the frame.

        Args:
            speed: largest velocity now, world units per second.

        Raises:
            FluidError: `not-finite` when the simulation blew up.
        """
        if not math.isfinite(speed):
            hint = "The simulation is unstable: use a smaller cfl or more pressure iterations."
            raise fail("not-finite", f'"velocity" is not finite any more in frame {frame}.', hint)
        travel = speed * self.left / self._voxel_size
        count = max(1, math.ceil(min(travel / self._cfl - 1e-6, 1e9)))
        room = MAX_SUBSTEPS - self._done
        self.exceeded = count > room == 1
        count = min(count, room)
        self._done += 1
        dt = self.left / count
        self.left = self.left - dt if count > 1 else 0.0
        return dt


def check_dt(dt: float, what: str = "dt") -> None:
    """Raises FluidError `bad-argument` for a step that takes no time, for ever, or a time that no kernel can hold."""
    if not (dt > 0 and math.isfinite(dt)):
        raise fail("bad-argument", f'"{what}" is {dt:g}; it is a number of seconds above 0.', "Write sim:step(1/24).")
    if not SMALLEST <= dt <= LARGEST:
        raise fail("bad-argument", f'"{what}" is {dt:g}; kernels hold {SMALLEST:.2g} to {LARGEST:.2g} seconds.')


def check_run(
    fields: dict[str, Field], frames: int, fps: float, substeps: int | str, cfl: float, export: str | None
) -> None:
    """Raises FluidError `bad-argument`, `unknown-field` or `export-path` for arguments that `run` cannot follow."""
    if frames < 1:
        raise fail("bad-argument", f'"frames" is {frames}; it is at least 1.')
    if not fps > 0:
        raise fail("bad-argument", f'"fps" is {fps:g}; it is above 0.')
    check_dt(1.0 / fps, "1 / fps")
    if not cfl > 0:
        raise fail("bad-argument", f'"cfl" is {cfl:g}; it is above 0.')
    if substeps == "auto":
        if not find_field(fields, "velocity").format.is_float:
            raise fail("bad-argument", 'substeps = "auto" needs a "velocity" of floats.')
    elif not isinstance(substeps, int) or not 1 <= substeps <= MAX_SUBSTEPS:
        raise fail("bad-argument", f'"substeps" is {substeps}; it is "auto" or 1 to {MAX_SUBSTEPS}.')
    if export is not None and "#" not in export:
        raise fail("export-path", f'"{export}" has no place for the frame\'s number.', 'Write "smoke_####.vdb".')
