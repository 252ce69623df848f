# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the VDB files that are named on standard input, a line each, and says what came of it: a child that may die."""

from __future__ import annotations

import resource
import sys
import time
from pathlib import Path

from fluid_addon.diagnostics import FluidError
from fluid_addon.volumes.openvdb_files import read_vdb
from fluid_addon.volumes.openvdb_library import openvdb


def peak_kib() -> int:
    """The most memory that this process ever held. In Linux ru_maxrss begins with the peak of the parent, past exec."""
    if sys.platform == "linux":
        lines = Path("/proc/self/status").read_text("ascii").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10  # macOS: bytes


def main() -> None:
    openvdb()
    before = peak_kib()
    for line in sys.stdin:
        begun = time.perf_counter()
        try:
            read_vdb(line.rstrip("\n"))
            outcome = "read"
        except FluidError as error:
            outcome = error.code if error.diagnostics[0].hint else "no hint"
            if "OpenVDB cannot read" in str(error):
                outcome = "refused by OpenVDB"
        except Exception as error:
            outcome = f"escaped {error!r}"
        print(f"{outcome}\t{time.perf_counter() - begun:.3f}\t{peak_kib() - before}", flush=True)


if __name__ == "__main__":
    main()
