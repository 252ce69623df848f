# SPDX-License-Identifier: GPL-3.0-or-later
"""A file from elsewhere that ends the worker, as a library may over damaged bytes, is named; the caller lives."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from fluid_addon.diagnostics import FluidError
from fluid_addon.faults import FAULTS_VARIABLE, fault_text
from fluid_addon.run import RunRequest, WorkerRun
from fluid_addon.volumes.openvdb_files import VdbFrame, VdbGrid, write_vdb

STARTS = 'local engine = FluidEngine.new{grid_file = "foreign.vdb"}\nengine:add_field("density", Format.R32F, 0)\n'
LOADS = """local engine = FluidEngine.new{domain_size = {8, 8, 8}}
engine:add_field("density", Format.R32F, 0)
engine:load("density", "foreign.vdb")
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    try:
        write_vdb(tmp_path / "foreign.vdb", VdbFrame([VdbGrid("density", np.ones((8, 8, 8), np.float32))]))
    except FluidError as error:
        pytest.skip(str(error))
    return tmp_path


def told(folder: Path, source: str, verb: str) -> list:
    (folder / "script.lua").write_text(source)
    run = WorkerRun(RunRequest(str(folder / "script.lua"), output=str(folder / "bakes")), verb=verb)
    try:
        return list(run.events())
    finally:
        run.close()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals; there the exit status is named")
@pytest.mark.parametrize(("source", "verb"), [(STARTS, "run"), (LOADS, "check"), (STARTS, "plan")])
def test_D15_a_file_over_which_the_worker_dies_is_named(folder, monkeypatch, source, verb) -> None:
    monkeypatch.setenv(FAULTS_VARIABLE, fault_text("grid.read", 1, "kill"))
    events = told(folder, source, verb)
    (error,) = [event["diagnostics"][0] for event in events if event["event"] == "error"]
    assert error["code"] == "worker-died"
    assert error["message"] == 'The worker process ended by signal SIGKILL while it read "foreign.vdb".'
    assert "The file may be damaged" in error["hint"]
    assert events[-1]["exit_code"] == 6


def test_D15_what_openvdb_refuses_is_an_error_of_the_script(folder, monkeypatch) -> None:
    monkeypatch.setenv(FAULTS_VARIABLE, fault_text("grid.read", 1))
    events = told(folder, STARTS, "check")
    (error,) = [event["diagnostics"][0] for event in events if event["event"] == "error"]
    assert (error["code"], error["line"]) == ("grid-file-corrupt", 1)
    assert [event["path"] for event in events if event["event"] == "reading"] == ["foreign.vdb", None]
