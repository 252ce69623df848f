# SPDX-License-Identifier: GPL-3.0-or-later
"""A process that writes frames and may be killed at any moment; the tests in test_kill.py start it.

It reads a task a line, as JSON, and does each in a fork of its own, so that OpenVDB is loaded once. The fork writes the
earlier files, stops itself where a tracer is to come, and writes the files of the task. What became of it follows on
stdout. A task without earlier files begins with the making of the bake.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import numpy as np

from fluid_addon.diagnostics import FluidError
from fluid_addon.faults import injected
from fluid_addon.volumes.bake import Bake
from fluid_addon.volumes.grid import Grid
from fluid_addon.volumes.nanovdb_writer import write_nvdb
from fluid_addon.volumes.openvdb_files import VdbFrame, VdbGrid, write_vdb

_SET_TRACER, _ANYBODY = 0x59616D61, -1
_answers = socket.socket(fileno=1)  # not by a write, for those may be made to fail


def write_frame(bake: Bake, name: str, number: int) -> None:
    """Number ** 3 voxels of that number; or a checkpoint, of which the newest is kept."""
    values = np.full((number,) * 3, number, np.float32)
    if name == "checkpoint":
        bake.add_checkpoint(number, lambda writer: (writer.put("density", values), writer.finish({}))[1], keep=1)
        return
    path, announce = bake.frame_path(name), bake.announcing(name)
    if name.endswith(".nvdb"):
        write_nvdb(path, [Grid.from_dense("density", values, (0, 0, 0), np.eye(4))], announce=announce)
        kinds = {"density": "float"}
    else:
        kinds = dict(write_vdb(path, VdbFrame([VdbGrid("density", values)], number), announce))
    bake.add_frame(name, time=number / 24, grids=kinds)


def work(task: dict[str, Any]) -> None:
    """Writes the files of a task; tries those again at which the disk failed, or gives up and goes on."""
    bake: Bake | None = None
    earlier = task.get("earlier", ["smoke_1.vdb"])
    if earlier:
        bake = Bake.create(Path(task["cache"]), "smoke", script_hash="", device="")
        for number, name in enumerate(earlier, 1):
            write_frame(bake, name, number)
    if task.get("traced"):
        ctypes.CDLL(None).prctl(_SET_TRACER, ctypes.c_ulong(_ANYBODY), 0, 0, 0)
        say(ready=os.getpid())
        os.kill(os.getpid(), signal.SIGSTOP)
    failed: list[list[str]] = []

    def tried(action: Any) -> Any:
        try:
            return action()
        except FluidError as error:
            failed.append([error.code, str(error)])
            return None if task.get("gives_up") else action()

    point, passage = task.get("kill", ("", 0))
    with injected(point, passage, "kill") if point else contextlib.nullcontext():
        if bake is None:
            bake = tried(lambda: Bake.create(Path(task["cache"]), "smoke", script_hash="", device=""))
        made = bake
        for number, name in enumerate(task["files"], max(2, len(earlier) + 1)):
            tried(lambda name=name, number=number: write_frame(made, name, number))
        if task.get("free"):
            tried(made.free)
        made.release()
    if not task.get("quiet"):
        say(failed=failed)


def say(**words: Any) -> None:
    _answers.send(json.dumps(words).encode() + b"\n")


def main() -> None:
    work({"cache": sys.argv[1], "files": ["smoke_2.vdb", "smoke_2.nvdb"], "quiet": True})  # all that is slow once
    for line in sys.stdin:
        child = os.fork()
        if not child:
            try:
                work(json.loads(line))
                os._exit(0)
            except BaseException as error:
                say(problem=f"{type(error).__name__}: {error}")
                os._exit(1)
        _, status = os.waitpid(child, 0)
        say(ended=os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main()
