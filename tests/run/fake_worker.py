# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs that stand in for a worker that a driver or a script has broken: they say what no worker of ours would."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

__all__ = ["fake_worker", "needs_scripts"]

needs_scripts = pytest.mark.skipif(sys.platform == "win32", reason="a script with #! takes the interpreter's place")

PRELUDE = """
import json, os, struct, sys, time
channel = int(sys.argv[-1])

def raw(data):
    while data:
        data = data[os.write(channel, data):]

def framed(body):
    raw(struct.pack(">I", len(body)) + body)

def send(event, **more):
    framed(json.dumps({"event": event, **more}).encode())

def receive():
    head = sys.stdin.buffer.read(4)
    return json.loads(sys.stdin.buffer.read(*struct.unpack(">I", head))) if head else None

def progress(frame):
    send("progress", frame=frame, frames=9, time=0.0, mcells_per_second=1.0, leaves=None, seconds_left=None)

def error(code, message):
    send("error", diagnostics=[{"code": code, "message": message, "hint": None, "file": None, "line": None,
                                "column": None, "text": message}])

def finished(code, frames, files, bake=None):
    send("finished", exit_code=code, seconds=1.0, frames=frames, files=files, bake=bake, exchange=None)

first = receive()
request = json.loads(first["request"])
"""


def fake_worker(folder: Path, body: str, *, before: str = "") -> str:
    """What to give to `WorkerRun` as its interpreter: a program that runs `body` after the words above.

    Args:
        before: what it does before it reads its request.
    """
    program = folder / "fake-worker"
    prelude = PRELUDE.replace("first = receive()", f"{before}\nfirst = receive()")
    program.write_text(f"#!{sys.executable} -SE\n{prelude}{body}", "utf-8")
    program.chmod(0o755)
    return str(program)
