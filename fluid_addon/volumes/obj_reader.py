# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the geometry of Wavefront OBJ files (.obj): vertices and faces. Materials, normals, lines and curves are passed
over, and all objects and groups of a file are one mesh. Coordinates are taken as they stand, so Z is up where the
scene's Z is: exporters have to be told so.

Format: Wavefront Technologies, "Advanced Visualizer Manual", appendix B1.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..diagnostics import FluidError, fail
from .mesh import MAX_TRIANGLES, MAX_VERTICES, Mesh, checked_mesh

__all__ = ["read_obj"]

MAX_BYTES = 1 << 30


def read_obj(path: str | Path) -> Mesh:
    """The mesh of a file. Faces of more than three corners are cut into triangles from their first corner, which is
    right for convex ones.

    Raises:
        FluidError: `mesh-broken`, with the line of the file where there is one.
    """
    path = Path(path)
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise fail("mesh-broken", f'"{path.name}" has {size:,} bytes; {MAX_BYTES:,} is the most.', "Decimate it.")
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise fail("mesh-broken", f'The mesh "{path.name}" cannot be read: {error.strerror or error}.') from error
    vertices, faces, face_lines, known = _statements(path.name, lines)
    if not faces:
        raise fail("mesh-broken", f'"{path.name}" has no faces.', "Export a mesh, not curves or points.")
    points = _points(path.name, lines, vertices)
    return checked_mesh(f'"{path.name}"', points, _triangles(path.name, faces, face_lines, known, len(points)))


def _wrong(name: str, line: int, what: str) -> FluidError:
    return fail("mesh-broken", f'Line {line} of "{name}" {what}.', "Export the mesh anew, as Wavefront OBJ.")


def _statements(name: str, lines: list[bytes]) -> tuple[list[int], list[list[bytes]], list[int], list[int]]:
    """The lines (from 0) of the vertices; the corners of each face, its line, and how many vertices stand above it."""
    vertices: list[int] = []
    faces: list[list[bytes]] = []
    face_lines: list[int] = []
    known: list[int] = []
    corners = 0
    for number, line in enumerate(lines):
        start = line[:2]
        if start in (b"v ", b"v\t"):
            vertices.append(number)
        elif start in (b"f ", b"f\t"):
            words = line.split()[1:]
            if len(words) < 3:
                raise _wrong(name, number + 1, "is a face of fewer than three corners")
            corners += len(words) - 2
            faces.append(words)
            face_lines.append(number + 1)
            known.append(len(vertices))
    for kind, count, most in (("vertices", len(vertices), MAX_VERTICES), ("triangles", corners, MAX_TRIANGLES)):
        if count > most:
            message = f'"{name}" has {count:,} {kind}; {most:,} is the most.'
            raise fail("mesh-broken", message, "Decimate or remesh it first.")
    return vertices, faces, face_lines, known


def _points(name: str, lines: list[bytes], vertices: list[int]) -> NDArray[np.float64]:
    try:
        return np.array([lines[number].split()[1:4] for number in vertices], np.float64).reshape(-1, 3)
    except ValueError:
        for number in vertices:
            try:
                _x, _y, _z = map(float, lines[number].split()[1:4])
            except ValueError:
                raise _wrong(name, number + 1, "is a vertex without three numbers") from None
        raise


def _triangles(
    name: str, faces: list[list[bytes]], face_lines: list[int], known: list[int], vertices: int
) -> NDArray[np.int64]:
    sizes = np.array([len(words) for words in faces])
    try:
        corners = np.array([word.partition(b"/")[0] for words in faces for word in words]).astype(np.int64)
    except (ValueError, OverflowError):
        for words, line in zip(faces, face_lines, strict=True):
            if not all(word.partition(b"/")[0].lstrip(b"+-").isdigit() for word in words):
                raise _wrong(name, line, "is a face with a corner that is no number") from None
        raise _wrong(name, face_lines[0], "begins faces with numbers beyond all vertices") from None
    above = np.repeat(known, sizes)
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
