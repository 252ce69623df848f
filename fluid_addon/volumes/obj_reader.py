# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the geometry of Wavefront OBJ files (.obj): vertices and faces. Materials, normals, lines and curves are passed
over, and all objects and groups of a file are one mesh. Coordinates are taken as they stand, so Z is up where the
scene's Z is: exporters have to be told so.

Format: Wavefront Technologies, "Advanced Visualizer Manual", appendix B1.
"""

from __future__ import annotations

import re
import stat
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..diagnostics import FluidError, fail, printable
from .mesh import MAX_TRIANGLES, MAX_VERTICES, Mesh, checked_mesh

__all__ = ["read_obj"]

MAX_BYTES = 1 << 30
_LONGEST_LINE = 1 << 20
_LONGEST_WORD = 64
_STATEMENT = re.compile(rb"^[vf][ \t][^\n]*", re.MULTILINE)


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
        data = path.read_bytes()
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise fail("mesh-broken", f'The mesh "{name}" cannot be read: {why}.', "Look at the path.") from error
    found = _statements(name, data)
    if not found.faces:
        raise fail("mesh-broken", f'"{name}" has no faces.', "Export a mesh, not curves or points.")
    points = _points(name, found)
    return checked_mesh(f'"{name}"', points, _triangles(name, found, len(points)))


@dataclass
class _Statements:
    """The coordinates of each vertex and where it starts in `data`, the corners of each face, where it starts, and how
    many vertices stand above it."""

    data: bytes
    vertices: list[list[bytes]] = field(default_factory=list)
    vertex_starts: list[int] = field(default_factory=list)
    faces: list[list[bytes]] = field(default_factory=list)
    face_starts: list[int] = field(default_factory=list)
    known: list[int] = field(default_factory=list)

    def line(self, start: int) -> int:
        """The number, from 1, of the line that starts there."""
        return self.data.count(b"\n", 0, start) + 1


def _wrong(name: str, line: int, what: str) -> FluidError:
    return fail("mesh-broken", f'Line {line} of "{name}" {what}.', "Export the mesh anew, as Wavefront OBJ.")


def _statements(name: str, data: bytes) -> _Statements:
    found = _Statements(data)
    corners = 0
    for match in _STATEMENT.finditer(data):
        start = match.start()
        if match.end() - start > _LONGEST_LINE:
            raise _wrong(name, found.line(start), f"is longer than {_LONGEST_LINE:,} bytes")
        is_vertex = data[start : start + 1] == b"v"
        words = match[0].split(None, 4)[1:4] if is_vertex else match[0].split()[1:]
        if max(map(len, words), default=0) > _LONGEST_WORD:  # a table of them would fill the memory
            raise _wrong(name, found.line(start), "has a word that is too long for a number")
        if is_vertex:
            found.vertices.append(words)
            found.vertex_starts.append(start)
            if len(found.vertices) > MAX_VERTICES:
                raise _too_many(name, "vertices", len(found.vertices), MAX_VERTICES)
            continue
        if len(words) < 3:
            raise _wrong(name, found.line(start), "is a face of fewer than three corners")
        corners += len(words) - 2
        if corners > MAX_TRIANGLES:
            raise _too_many(name, "triangles", corners, MAX_TRIANGLES)
        found.faces.append([word.partition(b"/")[0] for word in words])
        found.face_starts.append(start)
        found.known.append(len(found.vertices))
    return found


def _too_many(name: str, kind: str, count: int, most: int) -> FluidError:
    message = f'"{name}" has {count:,} {kind} or more; {most:,} is the most.'
    return fail("mesh-broken", message, "Decimate or remesh it first.")


def _points(name: str, found: _Statements) -> NDArray[np.float64]:
    try:
        points = np.array(found.vertices, np.float64) if found.vertices else np.zeros((0, 3))
        if points.shape[1:] == (3,):
            return points
        raise ValueError("all have too few numbers")
    except ValueError:
        for words, start in zip(found.vertices, found.vertex_starts, strict=True):
            try:
                _x, _y, _z = map(float, words)
            except ValueError:
                raise _wrong(name, found.line(start), "is a vertex without three numbers") from None
        raise


def _triangles(name: str, found: _Statements, vertices: int) -> NDArray[np.int64]:
    faces, starts = found.faces, found.face_starts
    sizes = np.array([len(words) for words in faces])
    try:
        corners = np.array([word for words in faces for word in words]).astype(np.int64)
    except (ValueError, OverflowError):
        for words, start in zip(faces, starts, strict=True):
            if not all(word.lstrip(b"+-").isdigit() for word in words):
                raise _wrong(name, found.line(start), "is a face with a corner that is no number") from None
        raise _wrong(name, found.line(starts[0]), "begins faces with numbers beyond all vertices") from None
    above = np.repeat(found.known, sizes)
    numbers = np.where(corners < 0, above + corners, corners - 1)
    bad = (numbers < 0) | (numbers >= vertices)
    if bad.any():
        which = int(np.flatnonzero(bad)[0])
        line = found.line(starts[int(np.searchsorted(np.cumsum(sizes), which, side="right"))])
        raise _wrong(name, line, f"is a face of vertex {int(corners[which])}, which is not there")
    first = np.cumsum(sizes) - sizes
    cut = sizes - 2
    begin = np.repeat(first, cut)
    step = np.arange(int(cut.sum())) - np.repeat(np.cumsum(cut) - cut, cut)
    fan: NDArray[np.int64] = np.stack([numbers[begin], numbers[begin + step + 1], numbers[begin + step + 2]], axis=1)
    return fan
