# SPDX-License-Identifier: GPL-3.0-or-later
"""A file appears whole or not at all, whatever happens while it is written."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from fluid_addon.diagnostics import FluidError, Kind
from fluid_addon.volumes import atomic
from fluid_addon.volumes.atomic import atomic_write, write_bytes_atomically
from fluid_addon.volumes.openvdb_files import VdbFrame, VdbGrid, read_vdb, write_vdb
from tests.volumes.conftest import not_here

ROOT = Path(__file__).resolve().parents[2]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_part_is_hidden_beside_its_target_and_gone_afterwards(tmp_path):
    with atomic_write(tmp_path / "smoke_1.vdb") as part:
        assert part.parent == tmp_path
        assert re.fullmatch(rf"\.smoke_1\.vdb\.{os.getpid()}\.[0-9a-f]{{16}}\.part", part.name)
        assert names(tmp_path) == [part.name]
        part.write_bytes(b"whole")
    assert names(tmp_path) == ["smoke_1.vdb"]
    assert (tmp_path / "smoke_1.vdb").read_bytes() == b"whole"


@pytest.mark.parametrize("problem", [RuntimeError, MemoryError, KeyboardInterrupt, SystemExit])
def test_an_exception_leaves_the_old_file_and_no_part(tmp_path, problem):
    write_bytes_atomically(tmp_path / "f", b"old")
    with pytest.raises(problem), atomic_write(tmp_path / "f") as part:
        part.write_bytes(b"half of the n")
        raise problem
    assert names(tmp_path) == ["f"]
    assert (tmp_path / "f").read_bytes() == b"old"


def test_D01_a_killed_writer_leaves_the_old_file(tmp_path):
    write_bytes_atomically(tmp_path / "f", b"old")
    code = (
        f"import os, signal, sys; sys.path.insert(0, {str(ROOT)!r})\n"
        "from fluid_addon.volumes.atomic import atomic_write\n"
        f"with atomic_write({str(tmp_path / 'f')!r}) as part:\n"
        "    part.write_bytes(b'new')\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    run = subprocess.run([sys.executable, "-c", code], check=False)
    assert run.returncode == -signal.SIGKILL
    assert (tmp_path / "f").read_bytes() == b"old"
    assert [name for name in names(tmp_path) if not name.startswith(".")] == ["f"]


def test_D03_a_missing_folder_is_a_disk_error(tmp_path):
    with pytest.raises(FluidError) as caught:
        write_bytes_atomically(tmp_path / "no" / "f", b"x")
    assert caught.value.code == "disk-error"
    assert caught.value.kind is Kind.DISK
    assert str(tmp_path / "no" / "f") in str(caught.value)


def test_a_folder_in_the_place_of_the_target_is_a_disk_error(tmp_path):
    (tmp_path / "f").mkdir()
    with pytest.raises(FluidError) as caught:
        write_bytes_atomically(tmp_path / "f", b"x")
    assert caught.value.code == "disk-error"
    assert names(tmp_path) == ["f"]


def test_D02_a_full_disk_is_named_with_the_bytes_that_are_needed(tiny_disk):
    write_bytes_atomically(tiny_disk / "f", b"old")
    with pytest.raises(FluidError) as caught:
        write_bytes_atomically(tiny_disk / "f", bytes(1 << 20))
    assert caught.value.code == "disk-full"
    assert str(tiny_disk / "f") in str(caught.value)
    assert "1,048,576 bytes are needed" in str(caught.value)
    assert names(tiny_disk) == ["f"]
    assert (tiny_disk / "f").read_bytes() == b"old"


@pytest.mark.usefixtures("library")
def test_D02_a_vdb_file_that_does_not_fit_on_the_disk_is_noticed(tiny_disk):
    """OpenVDB itself says nothing and leaves a file that breaks off."""
    write_vdb(tiny_disk / "f.vdb", VdbFrame([VdbGrid("density", np.ones((3, 3, 3)))]))
    noise = np.random.default_rng(0).random((64, 64, 64), np.float32)
    with pytest.raises(FluidError) as caught:
        write_vdb(tiny_disk / "f.vdb", VdbFrame([VdbGrid("density", noise)]))
    assert caught.value.code == "disk-full"
    assert "1,048,576 bytes are needed" in str(caught.value)
    assert names(tiny_disk) == ["f.vdb"]
    assert read_vdb(tiny_disk / "f.vdb")[0].active_count == 27


@contextmanager
def small_files():
    """No file of this process may grow beyond 64 KiB: around a write alone, for the tests' own log may be larger."""
    resource = pytest.importorskip("resource", reason="limits are a matter of POSIX")
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, old[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)


def test_a_file_that_may_not_grow_is_a_disk_error(tmp_path):
    with pytest.raises(FluidError, match="File too large") as caught, small_files():
        write_bytes_atomically(tmp_path / "f", bytes(1 << 20))
    assert caught.value.code == "disk-error"
    assert names(tmp_path) == []


@pytest.mark.usefixtures("library")
def test_a_vdb_file_that_may_not_grow_is_a_disk_error(tmp_path):
    noise = np.random.default_rng(0).random((64, 64, 64), np.float32)
    with pytest.raises(FluidError, match="File too large") as caught, small_files():
        write_vdb(tmp_path / "f.vdb", VdbFrame([VdbGrid("density", noise)]))
    assert caught.value.code == "disk-error"
    assert names(tmp_path) == []


@pytest.fixture
def locked(tmp_path):
    """A file that cannot be replaced until it is unlocked, as one that another program holds open on Windows."""
    chattr = shutil.which("chattr")
    path = tmp_path / "f"
    path.write_bytes(b"old")
    if chattr is None or subprocess.run([chattr, "+i", path], capture_output=True, check=False).returncode:
        not_here("files cannot be made immutable here")
    try:
        yield path, lambda: subprocess.run([chattr, "-i", path], check=True)
    finally:
        subprocess.run([chattr, "-i", path], check=True)


def test_D04_a_file_that_is_held_for_a_moment_is_waited_for(locked, monkeypatch):
    monkeypatch.setattr(atomic, "_FIRST_WAIT", 0.5)  # a starved machine takes its time to unlock it
    path, unlock = locked
    friend = threading.Thread(target=lambda: (time.sleep(0.2), unlock()))
    friend.start()
    write_bytes_atomically(path, b"new")
    friend.join()
    assert path.read_bytes() == b"new"
    assert names(path.parent) == ["f"]


def test_D04_a_file_that_stays_held_is_a_disk_error(locked):
    path, _ = locked
    with pytest.raises(FluidError, match="not permitted") as caught:
        write_bytes_atomically(path, b"new")
    assert caught.value.code == "disk-error"
    assert path.read_bytes() == b"old"
    assert names(path.parent) == ["f"]


def test_a_reader_sees_the_old_file_or_the_new_one(tmp_path):
    path = tmp_path / "f"
    contents = {bytes([number]) * 50_000 for number in range(2)}
    write_bytes_atomically(path, bytes(50_000))
    seen, stop = set(), threading.Event()

    def read() -> None:
        while not stop.is_set():
            seen.add(path.read_bytes())

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(60):
        write_bytes_atomically(path, bytes([number % 2]) * 50_000)
    stop.set()
    reader.join()
    assert seen <= contents
