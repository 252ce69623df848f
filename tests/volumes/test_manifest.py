# SPDX-License-Identifier: GPL-3.0-or-later
"""A manifest is read whole or refused with the reason, whoever wrote it."""

from __future__ import annotations

import json
import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fluid_addon.diagnostics import FluidError
from fluid_addon.volumes.bake import Bake, Measured
from tests.volumes.test_bake import export


@pytest.fixture
def bake(tmp_path):
    return Bake.create(tmp_path / "cache", "smoke", script_hash="", device="")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes in folders are those of POSIX")
def test_a_manifest_that_is_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "manifest.json")
    with pytest.raises(FluidError, match="it is not a file") as caught:
        Bake.open(tmp_path)
    assert caught.value.code == "bake-missing"


@pytest.mark.parametrize(
    "following", [None, [], {}, {"size": 1}, {"size": -1, "crc32": 1}, {"size": 1, "crc32": 2**32}]
)
def test_a_following_content_that_makes_no_sense_is_corrupt(tmp_path, following):
    content = manifest()
    content["frames"][0]["next"] = following
    with pytest.raises(FluidError, match='entry 1 of its frames has no "next" that makes sense'):
        opened(tmp_path, content)


# ----- what a run has measured


MEASURED = {"peaks": {"density": 1.5}, "level_sets": ["surface"], "box": [[-1, -1, 0], [1.0, 1.0, 3.0]]}


def test_what_was_measured_comes_back_and_may_be_missing(bake):
    known = Measured({"density": 1.0625, "surface": -0.5}, ("surface",), ((-1.0, -2.0, 0.0), (1.0, 2.0, 3.5)))
    bake.frame_path("a_1.vdb").write_bytes(b"x")
    bake.add_frame("a_1.vdb", time=0.0, grids={"density": "half"}, measured=known)
    export(bake, "a_2.vdb")
    assert [frame.measured for frame in Bake.open(bake.folder).frames] == [known, None]
    lines = (bake.folder / "manifest.json").read_text("utf-8").splitlines()
    assert [line.count("measured") for line in lines if "a_1" in line or "a_2" in line] == [1, 0]


@pytest.mark.parametrize(
    "change",
    [
        None,
        [],
        {"peaks": None},
        {"peaks": {"density": None}},
        {"peaks": {"density": True}},
        {"peaks": {"density": 10**400}},
        {"peaks": [1.5]},
        {"level_sets": "surface"},
        {"level_sets": [1]},
        {"box": None},
        {"box": [[0, 0, 0]]},
        {"box": [[0, 0], [1, 1]]},
        {"box": [[0, 0, 0], [1, 1, "1"]]},
        {"box": [[0, 0, 2], [1, 1, 1]]},
    ],
    ids=str,
)
def test_measures_that_make_no_sense_are_corrupt(tmp_path, change):
    content = manifest()
    content["frames"][0]["measured"] = {**MEASURED, **change} if isinstance(change, dict) else change
    with pytest.raises(FluidError, match='entry 1 of its frames has no "measured" that makes sense'):
        opened(tmp_path, content)


def test_an_infinite_measure_is_corrupt_and_a_whole_number_is_none(tmp_path):
    content = manifest()
    content["frames"][0]["measured"] = MEASURED
    assert opened(tmp_path, content).frames[0].measured.box == ((-1.0, -1.0, 0.0), (1.0, 1.0, 3.0))
    with pytest.raises(FluidError, match="measured"):
        opened(tmp_path, json.dumps(content).replace("1.5", "1e999").encode())


# ----- manifests of others


def manifest(**changes):
    entry = {"path": "s_1.vdb", "frame": 1, "time": 0.1, "size": 5, "crc32": 7, "grids": {"density": "half"}}
    content = {
        "format": "fluid-script-bake",
        "version": 1,
        "name": "n",
        "script_hash": "h",
        "device": "d",
        "parameters": {},
        "details": {},
        "frames": [entry],
    }
    for key, value in changes.items():
        (entry if key in entry else content)[key] = value
    return content


def opened(folder, content):
    text = content if isinstance(content, bytes) else json.dumps(content).encode()
    (folder / "manifest.json").write_bytes(text)
    return Bake.open(folder)


def test_unknown_keys_are_passed_over(tmp_path):
    content = manifest(later="news")
    content["frames"][0]["colour"] = [1, 2, 3]
    assert opened(tmp_path, content).frames[0].path == "s_1.vdb"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe\xff",
        b'"' + b"x" * 100 + b'"',
        b"[" * 100_000,
        b'{"format": "fluid-script-bake", "version": NaN}',
        manifest(format="other"),
        manifest(version=2),
        manifest(version="1"),
        manifest(version=None),
        manifest(frames=None),
        manifest(frames={}),
        manifest(frames=[1]),
        manifest(frames=[{}]),
        manifest(frames=[manifest()["frames"][0]] * 2),
        manifest(path="../x.vdb"),
        manifest(path="/etc/passwd"),
        manifest(path="manifest.json"),
        manifest(path=7),
        manifest(frame=-1),
        manifest(frame=1.5),
        manifest(frame=True),
        manifest(frame=10**30),
        manifest(time="now"),
        manifest(time=1e300),
        manifest(time=10**400),
        manifest(size=-1),
        manifest(size=2**80),
        manifest(crc32=2**32),
        manifest(grids=[]),
        manifest(grids={"a": 1}),
        manifest(name=None),
        manifest(parameters=[]),
    ],
    ids=lambda content: str(content)[:40],
)
def test_manifests_that_make_no_sense_are_corrupt(tmp_path, content):
    with pytest.raises(FluidError) as caught:
        opened(tmp_path, content)
    assert caught.value.code == "bake-corrupt"


def test_an_infinite_time_is_corrupt(tmp_path):
    with pytest.raises(FluidError) as caught:
        opened(tmp_path, json.dumps(manifest(time=123.5)).replace("123.5", "1e999").encode())
    assert caught.value.code == "bake-corrupt"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(st.sampled_from([*manifest(), *manifest()["frames"][0], *MEASURED]), JSON)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_value_in_a_manifest_is_read_or_refused(tmp_path, key, value):
    content = manifest(**{} if key in MEASURED else {key: value})
    if key in MEASURED:
        content["frames"][0]["measured"] = {**MEASURED, key: value}
    try:
        opened(tmp_path, content)
    except FluidError as error:
        assert error.code == "bake-corrupt"


def test_a_folder_without_a_manifest_is_no_bake(tmp_path):
    for folder in (tmp_path, tmp_path / "no"):
        with pytest.raises(FluidError) as caught:
            Bake.open(folder)
        assert caught.value.code == "bake-missing"


def test_a_manifest_that_is_a_folder_is_no_bake(tmp_path):
    (tmp_path / "manifest.json").mkdir()
    with pytest.raises(FluidError) as caught:
        Bake.open(tmp_path)
    assert caught.value.code == "bake-missing"
