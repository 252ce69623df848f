# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the geometry of Wavefront OBJ files (.obj): vertices and faces. Materials, normals, lines and curves are passed
over, and all objects and groups of a file are one mesh. Coordinates are taken as they stand, so Z is up where the
scene's Z is: exporters have to be told so.

Format: Wavefront Technologies, "Advanced Visualizer Manual", appendix B1.
"""

from __future__ import annotations

import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from ..diagnostics import FluidError, fail, printable
from .mesh import MAX_TRIANGLES, MAX_VERTICES, Mesh, checked_mesh

__all__ = ["read_obj"]

MAX_BYTES = 1 << 30
_LONGEST_LINE = 1 << 20
_LONGEST_NUMBER = 64  # characters


def read_obj(path: str | Path) -> Mesh:
    """The mesh of a file. Faces of more than three corners are cut into triangles from their first corner, which is
    right for convex ones.

    Raises:
        FluidError: `mesh-broken`, with the line of the file where there is one.
    """
    path = Path(path)
    name = printable(path.name)
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise fail("mesh-broken", f'"{name}" is not a file.', "Name a mesh file.")
        if status.st_size > MAX_BYTES:
            message = f'"{name}" has {status.st_size:,} bytes; {MAX_BYTES:,} is the most.'
            raise fail("mesh-broken", message, "Decimate it.")
        with path.open("rb") as file:
            found = _statements(name, file)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise fail("mesh-broken", f'The mesh "{name}" cannot be read: {why}.', "Look at the path.") from error
    if not found.faces:
        raise fail("mesh-broken", f'"{name}" has no faces.', "Export a mesh, not curves or points.")
    points = _points(name, found)
    return checked_mesh(f'"{name}"', points, _triangles(name, found, len(points)))


@dataclass
class _Statements:
    """The coordinates of each vertex and its line, the corners of each face, its line, and how many vertices stand
    above it. Lines count from 1."""

    vertices: list[list[bytes]] = field(default_factory=list)
    vertex_lines: list[int] = field(default_factory=list)
    faces: list[list[bytes]] = field(default_factory=list)
    face_lines: list[int] = field(default_factory=list)
    known: list[int] = field(default_factory=list)


def _wrong(name: str, line: int, what: str) -> FluidError:
    return fail("mesh-broken", f'Line {line} of "{name}" {what}.', "Export the mesh anew, as Wavefront OBJ.")


def _statements(name: str, file: BinaryIO) -> _Statements:
    found = _Statements()
    corners = number = 0
    while line := file.readline(_LONGEST_LINE + 1):
        number += 1
        if len(line) > _LONGEST_LINE:
            raise _wrong(name, number, f"is longer than {_LONGEST_LINE:,} bytes")
        start = line[:2]
        if start in (b"v ", b"v\t"):
            found.vertices.append(_words(name, number, line, 4))
            found.vertex_lines.append(number)
        elif start in (b"f ", b"f\t"):
            words = [word.partition(b"/")[0] for word in _words(name, number, line, -1)]
            if len(words) < 3:
                raise _wrong(name, number, "is a face of fewer than three corners")
            corners += len(words) - 2
            found.faces.append(words)
            found.face_lines.append(number)
            found.known.append(len(found.vertices))
        for kind, count, most in (
            ("vertices", len(found.vertices), MAX_VERTICES),
            ("triangles", corners, MAX_TRIANGLES),
        ):
            if count > most:
                message = f'"{name}" has {count:,} {kind} or more; {most:,} is the most.'
                raise fail("mesh-broken", message, "Decimate or remesh it first.")
    return found


def _words(name: str, number: int, line: bytes, most: int) -> list[bytes]:
    """Those behind the first, `most` at most, or all; none so long that a table of them would fill the memory."""
    words = line.split(None, most)[1:4] if most > 0 else line.split()[1:]
    if max(map(len, words), default=0) > _LONGEST_NUMBER:
        raise _wrong(name, number, "has a word that is too long for a number")
    return words


def _points(name: str, found: _Statements) -> NDArray[np.float64]:
    try:
        points = np.array(found.vertices, np.float64) if found.vertices else np.zeros((0, 3))
        if points.shape[1:] == (3,):
            return points
        raise ValueError("all have too few numbers")
    except ValueError:
        for words, number in zip(found.vertices, found.vertex_lines, strict=True):
            try:
                _x, _y, _z = map(float, words)
            except ValueError:
                raise _wrong(name, number, "is a vertex without three numbers") from None
        raise


def _triangles(name: str, found: _Statements, vertices: int) -> NDArray[np.int64]:
    faces, face_lines = found.faces, found.face_lines
    sizes = np.array([len(words) for words in faces])
    try:
        corners = np.array([word for words in faces for word in words]).astype(np.int64)
    except (ValueError, OverflowError):
        for words, line in zip(faces, face_lines, strict=True):
            if not all(word.lstrip(b"+-").isdigit() for word in words):
                raise _wrong(name, line, "is a face with a corner that is no number") from None
        raise _wrong(name, face_lines[0], "begins faces with numbers beyond all vertices") from None
    above = np.repeat(found.known, sizes)
    numbers = np.where(corners < 0, above + corners, corners - 1)
    bad = (numbers < 0) | (numbers >= vertices)
    if bad.any():
        which = int(np.flatnonzero(bad)[0])
        line = face_lines[int(np.searchsorted(np.cumsum(sizes), which, side="right"))]
        raise _wrong(name, line, f"is a face of vertex {int(corners[which])}, which is not there")
    first = np.cumsum(sizes) - sizes
    cut = sizes - 2
    begin = np.repeat(first, cut)
    step = np.arange(int(cut.sum())) - np.repeat(np.cumsum(cut) - cut, cut)
    fan: NDArray[np.int64] = np.stack([numbers[begin], numbers[begin + step + 1], numbers[begin + step + 2]], axis=1)
    return fan
