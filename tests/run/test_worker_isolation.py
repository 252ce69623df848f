# SPDX-License-Identifier: GPL-3.0-or-later
"""What a worker can reach of the machine, and of the process that started it: as little as it needs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import tomllib
from pathlib import Path

import pytest

from fluid_addon.child_process import PACKAGES, needed_variables, search_path
from fluid_addon.run import RunRequest, WorkerRun
from fluid_addon.run.protocol import MessageWriter
from fluid_addon.run.session import run_script
from fluid_addon.run.supervisor import _with_absolute_paths
from tests.processes import closed
from tests.run.fake_worker import fake_worker, needs_scripts

ROOT = Path(__file__).resolve().parents[2]
linux = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")

TINY = """
sim = FluidEngine.new{domain_size = {8, 8, 8}}
sim:add_field("a", Format.R32F, 1)
sim:step(1)
print("begun")
"""


HOLDS = """
import sys
from fluid_addon.cli import main
code = main(["run", sys.argv[1], "-o", sys.argv[2]])
never = ("hephaistos", "lupa", "vulkan", "fluid_addon.engine", "fluid_addon.gpu.binding", "fluid_addon.script.context")
print("Held here:", [name for name in sorted(sys.modules) if name.startswith(never)])
sys.exit(code)
"""


def test_who_starts_workers_holds_neither_lua_nor_a_driver_nor_a_compiler(tmp_path) -> None:
    (tmp_path / "tiny.lua").write_text(TINY)
    words = [sys.executable, "-c", HOLDS, tmp_path / "tiny.lua", tmp_path / "bakes"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "Held here: []" in done.stdout, done.stdout + done.stderr


@linux
def test_a_worker_holds_nothing_that_it_does_not_need(tmp_path, monkeypatch) -> None:
    """Environment, folder, input, rights, core dumps, and who goes first when memory runs out."""
    monkeypatch.setenv("SERVICE_TOKEN", "secret")
    monkeypatch.setenv("VK_API_KEY", "secret")
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "2")
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    run = WorkerRun(RunRequest("x.lua", source=TINY + "while true do end", lua_seconds=600, output=str(tmp_path)))
    for event in run.events():
        if event["event"] == "log":
            break
    own, proc = Path(run._process._folder), Path(f"/proc/{run.pid}")
    variables = dict(entry.split("=", 1) for entry in (proc / "environ").read_text().split("\0") if entry)
    status = dict(line.split(":\t", 1) for line in (proc / "status").read_text().splitlines() if ":\t" in line)
    limits = (proc / "limits").read_text()
    facts = {
        "folder": (proc / "cwd").readlink() == own,
        "input": str((proc / "fd/0").readlink()),
        "rights": status["NoNewPrivs"].strip(),
        "dumps": "Max core file size        0                    0 " in limits,
        "first to go": int((proc / "oom_score_adj").read_text()) > int(Path("/proc/self/oom_score_adj").read_text()),
        "session of its own": os.getsid(run.pid) == run.pid,
        "OpenVDB reads values at once": variables["OPENVDB_DISABLE_DELAYED_LOAD"] == "1",
    }
    run.cancel()
    closed(run)
    assert facts == {
        "folder": True,
        "input": os.devnull,
        "rights": "1",
        "dumps": True,
        "first to go": True,
        "session of its own": True,
        "OpenVDB reads values at once": True,
    }
    assert "secret" not in variables.values()
    assert "OMPI_COMM_WORLD_SIZE" not in variables
    assert variables["LC_ALL"] == "C.UTF-8"
    assert variables["PYTHONPATH"].split(os.pathsep)[0] == str(ROOT)
    assert not own.exists()


LETTERS = """
import locale, sys
from fluid_addon.run import worker
before = locale.setlocale(locale.LC_CTYPE)
worker.run_script = lambda *_: print(before, locale.setlocale(locale.LC_CTYPE), file=sys.stderr) or 0
sys.exit(worker.main(["1"]))
"""


@linux
def test_L15_letters_are_those_of_ascii_whatever_the_system_speaks() -> None:
    """Under Latin-1 `upper` would change bytes of UTF-8. It is rarely installed; what C is told is the same."""
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "bufsize": 0}
    with subprocess.Popen([sys.executable, "-c", LETTERS], cwd=ROOT, env=environment, **pipes) as worker:
        MessageWriter(worker.stdin).write({"request": RunRequest("x.lua", source="").to_json()})
        worker.wait()  # with its input open: the end of that would cancel it
        assert (worker.returncode, worker.stderr.read().split()) == (0, [b"C.UTF-8", b"C"])


def test_which_variables_are_needed() -> None:
    needed = (
        "PATH HOME XDG_CACHE_HOME VK_DRIVER_FILES MESA_SHADER_CACHE_DIR LP_NUM_THREADS FLUID_SCRIPT_FAULTS LC_NUMERIC"
    )
    needed += " __NV_PRIME_RENDER_OFFLOAD SYSTEMROOT XAUTHORITY"
    refused = (
        "GITHUB_TOKEN AWS_SECRET_ACCESS_KEY PGPASSWORD NVIDIA_API_KEY VK_TOKEN SSH_AUTH_SOCK FLUID_SCRIPT_PASSWORD"
    )
    refused += " LD_PRELOAD LUA_PATH PYTHONSTARTUP PYTHONHOME PMI_RANK"
    given = dict.fromkeys(needed.split(), "x")
    assert needed_variables(given | dict.fromkeys(refused.split(), "x")) == given


def test_B11_another_lupa_on_the_path_is_not_taken(tmp_path, monkeypatch) -> None:
    """Another extension has put its own packages in front of everything; the worker takes those that we installed."""
    for name in ("lupa", "numpy", "json"):
        (tmp_path / f"{name}.py").write_text(f"raise SystemExit('the wrong {name}')")
    monkeypatch.syspath_prepend(str(tmp_path))
    places = search_path()
    assert places.index(str(tmp_path)) > places.index(str(Path(json.__file__).parent.parent)) and sorted(
        places
    ) == sorted(path for path in sys.path if path)
    run = WorkerRun(RunRequest("x.lua", source=TINY, output=str(tmp_path)))
    told = list(run.events())
    run.close()
    assert told[-1]["exit_code"] == 0, told
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["dependencies"]
    assert set(PACKAGES) == {name.replace("==", "-") for name in wanted if "==" in name}


@needs_scripts
def test_a_worker_gets_absolute_paths_and_its_own_folder(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    body = "send('log', text=json.dumps([os.getcwd(), request]))\nopen('left', 'w')\nfinished(0, 0, [])"
    asked = RunRequest("a/b.lua", "out", objects={"Ball": "ball_#.obj"}, capture="c", resume="out/x", folder="texts")
    run = WorkerRun(asked, fake_worker(tmp_path, body))
    log, _end = list(run.events())
    closed(run)
    folder, request = json.loads(log["text"])
    assert folder == run._process._folder and not Path(folder).exists()
    here = str(tmp_path)
    assert {key: request[key] for key in ("script", "called", "output", "folder", "objects", "capture", "resume")} == {
        "script": f"{here}/a/b.lua",
        "called": "a/b.lua",
        "output": f"{here}/out",
        "folder": f"{here}/texts",
        "objects": {"Ball": f"{here}/ball_#.obj"},
        "capture": f"{here}/c",
        "resume": f"{here}/out/x",
    }
    assert _with_absolute_paths(RunRequest("name", source="x")).script == "name", "it is no file"


@needs_scripts
def test_a_request_that_does_not_fit_into_the_pipe_holds_nobody_up(tmp_path) -> None:
    body = "time.sleep(0)\nsend('log', text=str(len(request['source'])))\nfinished(0, 0, [])"
    late = fake_worker(tmp_path, body)
    text = Path(late).read_text("utf-8").replace("first = receive()", "time.sleep(0.5)\nfirst = receive()")
    Path(late).write_text(text, "utf-8")
    run = WorkerRun(RunRequest("x.lua", source="-" * 5_000_000), late)
    log, _end = list(run.events())
    run.close()
    assert log["text"] == "5000000"


# ===== Around other processes


def test_V14_a_worker_is_a_program_of_its_own_beside_an_open_device(tmp_path) -> None:
    """It is started and not forked, so nothing of this process's driver is in it."""
    events: list = []
    open_here = RunRequest("x.lua", source=TINY + "while true do end", lua_seconds=600, output=str(tmp_path))
    cancel = threading.Event()
    here = threading.Thread(target=run_script, args=(open_here, events.append, cancel))
    here.start()
    while not any(event["event"] == "log" for event in events):
        here.join(0.01)
    run = WorkerRun(RunRequest("x.lua", source=TINY, output=str(tmp_path)))
    command = Path(f"/proc/{run.pid}/cmdline")
    words = command.read_bytes().split(b"\0") if command.exists() else [b"-m", b"fluid_addon.run.worker"]
    told = list(run.events())
    run.close()
    cancel.set()
    here.join()
    assert b"fluid_addon.run.worker" in words
    assert (told[-1]["exit_code"], events[-1]["exit_code"]) == (0, 130)
