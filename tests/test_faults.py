# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults on purpose: off where nobody asks, at the passage that was asked for, and in a child process."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from fluid_addon.faults import FAULTS_VARIABLE, fault, fault_text, injected


def test_nothing_fails_where_nothing_is_armed() -> None:
    assert not any(fault("disk.write") for _ in range(100))


def test_a_fault_fires_at_its_passage_alone() -> None:
    with injected("disk.write", 3) as armed:
        assert [fault("disk.write") for _ in range(5)] == [False, False, True, False, False]
        assert not fault("disk.flush")
    assert (armed.passed, armed.fired) == (5, True)
    assert not fault("disk.write")


def test_a_lasting_fault_fires_from_its_passage_on() -> None:
    with injected("disk.write", 2, more=True):
        assert [fault("disk.write") for _ in range(4)] == [False, True, True, True]


@pytest.mark.skipif(os.name == "nt", reason="signals are those of POSIX")
def test_a_child_process_is_killed_where_its_variable_says() -> None:
    code = "from fluid_addon.faults import fault\nfor n in range(9): fault('disk.write'); print(n, flush=True)"
    environment = os.environ | {FAULTS_VARIABLE: fault_text("disk.write", 3, "kill")}
    ended = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout.split()) == (-9, ["0", "1"])
