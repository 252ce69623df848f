# SPDX-License-Identifier: GPL-3.0-or-later
"""OBJ files: what they may hold, and messages for those that are wrong."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from fluid_addon.diagnostics import FluidError
from fluid_addon.volumes.obj_reader import read_obj
from tests.volumes.meshes import sphere, write_obj

SQUARE = "v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\n"


def read(folder: Path, text: str | bytes):
    path = folder / "ball.obj"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_obj(path)


def problem(folder: Path, text: str | bytes) -> str:
    with pytest.raises(FluidError) as caught:
        read(folder, text)
    assert caught.value.code == "mesh-broken"
    return str(caught.value)


def test_a_mesh_comes_back(tmp_path):
    mesh = sphere((1.0, 2.0, 3.0), 0.5, 4)
    found = read_obj(write_obj(tmp_path / "ball.obj", mesh))
    assert np.array_equal(found.points, mesh.points) and np.array_equal(found.triangles, mesh.triangles)


@pytest.mark.parametrize(
    ("faces", "triangles"),
    [
        ("f 1 2 3 4\n", [[0, 1, 2], [0, 2, 3]]),
        ("f 1/1 2/2 3/3\nf 1//1 3//1 4//1\n", [[0, 1, 2], [0, 2, 3]]),
        ("f -4 -3 -2 -1\n", [[0, 1, 2], [0, 2, 3]]),
        ("f -4 -3 -2\nv 5 5 5\nf -5 -4 -3\n", [[0, 1, 2], [0, 1, 2]]),
        ("o One\ng two\ns off\nusemtl three\nvn 0 0 1\nvt 0 0\nl 1 2\nf\t1\t2\t3\r\n", [[0, 1, 2]]),
    ],
)
def test_faces_of_all_kinds(tmp_path, faces, triangles):
    assert read(tmp_path, SQUARE + faces).triangles.tolist() == triangles


def test_faces_may_stand_above_their_vertices_and_vertices_may_have_colours(tmp_path):
    found = read(tmp_path, "f 1 2 3\nv 0 0 0 1 0 0\nv 1 0 0 1 0 0\nv 0 1e1 0 1 0 0\n")
    assert found.points.tolist() == [[0, 0, 0], [1, 0, 0], [0, 10, 0]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (SQUARE, '"ball.obj" has no faces.'),
        ("", '"ball.obj" has no faces.'),
        (b"\x00\xff" * 99, '"ball.obj" has no faces.'),
        (SQUARE + "f 1 2\n", 'Line 5 of "ball.obj" is a face of fewer than three corners.'),
        (SQUARE + "f 1 2 3\nf 1 2 5\n", 'Line 6 of "ball.obj" is a face of vertex 5, which is not there.'),
        (SQUARE + "f 1 0 2\n", 'Line 5 of "ball.obj" is a face of vertex 0, which is not there.'),
        (SQUARE + "f 1 2 -5\n", 'Line 5 of "ball.obj" is a face of vertex -5, which is not there.'),
        (SQUARE + "f 1 2 x/3\n", 'Line 5 of "ball.obj" is a face with a corner that is no number.'),
        ("v 0 0\n" + SQUARE + "f 1 2 3\n", 'Line 1 of "ball.obj" is a vertex without three numbers.'),
        (SQUARE + "v 1 two 3\nf 1 2 3\n", 'Line 5 of "ball.obj" is a vertex without three numbers.'),
        (SQUARE + "v 1 nan 3\nf 1 2 3\n", 'Vertex 5 of "ball.obj" is not at a finite place.'),
        (SQUARE + "v 1 1e300 3\nf 1 2 3\n", 'Vertex 5 of "ball.obj" is not at a finite place.'),
        (SQUARE + "f 1 2 99999999999999999999\n", None),
        ("v 0 0\n" * 3 + "f 1 2 3\n", 'Line 1 of "ball.obj" is a vertex without three numbers.'),
        ("f 1 2 3\n", None),
        (SQUARE + f"f 1 2 {'3' * 65}\n", 'Line 5 of "ball.obj" has a word that is too long for a number.'),
        (f"v 0 0 {'0' * 65}\n", 'Line 1 of "ball.obj" has a word that is too long for a number.'),
        (SQUARE + "f 1 2 3" + " " * (1 << 20) + "\n", 'Line 5 of "ball.obj" is longer than 1,048,576 bytes.'),
    ],
)
def test_what_is_wrong_is_named_with_its_line(tmp_path, text, message):
    found = problem(tmp_path, text)
    assert message is None or found == message


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FluidError, match=r'The mesh "none\.obj" cannot be read') as caught:
        read_obj(tmp_path / "none.obj")
    assert caught.value.code == "mesh-broken"


def test_a_mesh_that_is_too_large_is_refused_before_it_is_built(tmp_path, monkeypatch):
    monkeypatch.setattr("fluid_addon.volumes.obj_reader.MAX_TRIANGLES", 1)
    assert problem(tmp_path, SQUARE + "f 1 2 3 4\n") == '"ball.obj" has 2 triangles or more; 1 is the most.'


def test_memory_follows_vertices_and_faces_not_lines(tmp_path):
    path = tmp_path / "ball.obj"
    path.write_bytes(b"\n" * (1 << 20) + SQUARE.encode() + b"f 1 2 3\n")
    tracemalloc.start()
    try:
        assert len(read_obj(path).triangles) == 1
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


def test_what_is_no_file_is_no_mesh(tmp_path):
    for path in (tmp_path, tmp_path / "nul\0.obj"):
        with pytest.raises(FluidError) as caught:
            read_obj(path)
        assert caught.value.code == "mesh-broken" and caught.value.diagnostics[0].hint
        assert str(caught.value).isprintable()
