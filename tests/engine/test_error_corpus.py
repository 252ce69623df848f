# SPDX-License-Identifier: GPL-3.0-or-later
"""Each wrong script under tests/errors/engine gives exactly its text, leaves no Vulkan object, and no bake.

`python tests/engine/test_error_corpus.py` rewrites the texts; read the difference before you commit it.
"""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
import threading
from itertools import chain
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))

from fluid_addon.diagnostics import render  # noqa: E402
from fluid_addon.gpu.lifetime import live_counts  # noqa: E402
from fluid_addon.run import RunRequest  # noqa: E402
from fluid_addon.run.session import check_script, run_script  # noqa: E402
from fluid_addon.volumes.grid import Grid  # noqa: E402
from fluid_addon.volumes.nanovdb_writer import write_nvdb  # noqa: E402

CASES = sorted((ROOT / "tests/errors/engine").glob("*.lua"))
#: Only a device, or what it computes, tells that these are wrong.
FOUND_BY_A_RUN = {
    "domain_too_large",
    "glsl_turns",
    "not_a_number",
    "not_a_number_by_hand",
    "solver_of_a_sparse_unknown",
    "unknown_device",
    "unstable",
}


def outcome(script: Path, folder: Path) -> str:
    """What the command line would print about a script that lies in `folder` with some grid files beside it."""
    shutil.copy(script, folder)
    (folder / "readme.txt").write_text("no grid")
    (folder / "words.nvdb").write_text("these are words and no grid, however long they go on" * 20)
    write_nvdb(
        folder / "smoke.nvdb", [Grid.from_dense("density", np.ones((8, 8, 8), np.float32), (0, 0, 0), np.eye(4))]
    )
    (folder / "ball.obj").write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")
    (folder / "torn.obj").write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 4\n")
    whole = (folder / "smoke.nvdb").read_bytes()
    (folder / "truncated.nvdb").write_bytes(whole[: len(whole) * 2 // 3])
    events = []
    request = RunRequest(script=str(folder / script.name), output=str(folder / "bakes"))
    status = run_script(request, events.append, threading.Event())
    texts = [item["text"] for event in events if event["event"] == "error" for item in event["diagnostics"]]
    return everywhere("\n".join([*texts, f"exit code {status}"]), folder) + "\n"


def everywhere(text: str, folder: Path) -> str:
    """The same text on every machine."""
    return re.sub(r'"llvmpipe[^"]*"', '"DEVICE"', text.replace(str(folder) + "/", ""))


@pytest.mark.parametrize("script", CASES, ids=lambda path: path.stem)
def test_the_text_of_a_wrong_script(script, tmp_path):
    expected = script.with_suffix(".txt").read_text("utf-8")
    assert outcome(script, tmp_path) == expected
    assert live_counts() == {}
    assert not list(tmp_path.glob("bakes/*/*.vdb"))
    problems = check_script(RunRequest(script=str(tmp_path / script.name)))
    found = everywhere("\n".join(map(render, chain(*(problem.diagnostics for problem in problems)))), tmp_path)
    if script.stem in FOUND_BY_A_RUN:
        assert found == ""
    else:
        assert expected.rpartition("\nexit code")[0] in found, "what a run says, and perhaps more"


if __name__ == "__main__":
    for case in CASES:
        with tempfile.TemporaryDirectory() as folder:
            case.with_suffix(".txt").write_text(outcome(case, Path(folder)), "utf-8")
