# SPDX-License-Identifier: GPL-3.0-or-later
"""What every reader of grid files needs: how a bad file is reported, and reads that stay inside the file."""

from __future__ import annotations

import stat
import zlib
from collections.abc import Collection
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..diagnostics import FluidError, did_you_mean, fail, printable

__all__ = [
    "LONGEST_TEXT",
    "MAX_FILE_BYTES",
    "MAX_GRIDS",
    "MAX_TILES",
    "MAX_VOXELS",
    "Bytes",
    "GridFile",
    "file_text",
    "usable_transform",
]

#: The most voxels in leaves that are read from one file: 1024³, 4 GiB of floats.
MAX_VOXELS = 1 << 30
#: The most tiles that are read from one file: as many as there are leaves in 1024³ voxels.
MAX_TILES = 1 << 21
#: The most grids of one file.
MAX_GRIDS = 2_000
#: The largest block of bytes that is read or decompressed at once.
MAX_FILE_BYTES = 8 << 30
#: The longest text of a file, in bytes and as it is shown.
LONGEST_TEXT = 1024

_FARTHEST = 1e15  # in scene units, and one over it the smallest edge of a voxel
_FLATTEST = 1e-9  # volume of a voxel by that of a box with its edges
_ZIP_RATIO = 1032  # to one: more is not in zlib's format
_PIECE = 1 << 20  # bytes that are decompressed at a time


def file_text(raw: bytes) -> str:
    """A text of a file as names and messages may have it: cut, and with nothing in it that hides or steers."""
    return printable(raw[:LONGEST_TEXT].decode("utf-8", "replace"))[:LONGEST_TEXT]


def usable_transform(transform: NDArray[np.float64]) -> bool:
    """Whether a 4x4 matrix maps voxels of any sensible size and shape to the world and can be inverted."""
    if not (np.abs(transform) <= _FARTHEST).all() or (transform[3] != (0, 0, 0, 1)).any():
        return False
    edges = np.linalg.norm(transform[:3, :3], axis=0)
    if not ((edges > 1 / _FARTHEST) & (edges < _FARTHEST)).all():
        return False
    return bool(abs(np.linalg.det(transform[:3, :3] / edges)) > _FLATTEST)


class GridFile:
    """A grid file that is being read: its name for messages, and how much it has yielded so far.

    Args:
        limited: whether it may hold too much; not so a file that this program has just written.
    """

    def __init__(self, path: Path, *, limited: bool = True) -> None:
        self.path = path
        self.limited = limited
        self.voxels = 0
        self.tiles = 0
        self.names: list[str] = []  # of all grids that the file has
        self.unread: dict[str, str] = {}  # names and types of grids that no field can hold

    @property
    def _shown(self) -> str:
        return printable(self.path.name)

    def size(self) -> int:
        """The length of the file in bytes. Raises grid-file-missing where it is no readable file."""
        try:
            status = self.path.stat()
        except (OSError, ValueError) as error:
            raise self.missing(error) from error
        if not stat.S_ISREG(status.st_mode):
            message = f'"{printable(str(self.path))}" is not a file.'
            raise fail("grid-file-missing", message, "Name a .nvdb or .vdb file.")
        return status.st_size

    def read(self) -> memoryview:
        """All bytes of the file."""
        if self.size() > MAX_FILE_BYTES:
            raise self.too_large(f"it has more than {MAX_FILE_BYTES >> 30} GiB")
        try:
            return memoryview(self.path.read_bytes())
        except OSError as error:
            raise self.missing(error) from error

    def missing(self, error: OSError | ValueError) -> FluidError:
        path = printable(str(self.path))
        if isinstance(error, FileNotFoundError | NotADirectoryError):
            message = f'There is no grid file "{path}".'
        else:
            message = f'The grid file "{path}" cannot be read: {getattr(error, "strerror", None) or error}.'
        return fail("grid-file-missing", message, "A relative path counts from the folder of the script.")

    def corrupt(self, why: str) -> FluidError:
        return fail(
            "grid-file-corrupt",
            f'The grid file "{self._shown}" is damaged: {why}.',
            "Copy the file again, or write it again with the program that made it.",
        )

    def unreadable(self, why: str, hint: str) -> FluidError:
        return fail("grid-file-kind", f'The grid file "{self._shown}" cannot be used: {why}.', hint)

    def too_large(self, why: str) -> FluidError:
        return self.unreadable(why, "Save fewer or smaller grids to the file, or crop them.")

    def unzipped(self, packed: memoryview, size: int, what: str) -> bytearray:
        """`size` bytes out of zlib's format: no more, no matter what the data would like to become, and no fewer.

        Memory is taken for them only where there is enough data to fill it."""
        wrong = f"{what} does not decompress to the {size:,} bytes that the file claims"
        if size > _ZIP_RATIO * (len(packed) + 1):
            raise self.corrupt(wrong)
        data = bytearray(size)
        unzip, filled = zlib.decompressobj(), 0
        try:
            for start in range(0, len(packed), _PIECE):
                rest: bytes | memoryview = packed[start : start + _PIECE]
                while not unzip.eof and (piece := unzip.decompress(rest, min(_PIECE, max(1, size - filled)))):
                    if filled == size:
                        raise self.corrupt(wrong)
                    data[filled : filled + len(piece)] = piece
                    filled, rest = filled + len(piece), unzip.unconsumed_tail
        except zlib.error as error:
            raise self.corrupt(f"{what} cannot be decompressed ({error})") from error
        if not unzip.eof or filled != size:
            raise self.corrupt(wrong)
        return data

    def count_voxels(self, voxels: int) -> None:
        """Call before reading `voxels` more voxels: raises grid-file-kind where the file holds too many."""
        self.voxels += voxels
        if self.limited and self.voxels > MAX_VOXELS:
            raise self.too_large(f"it stores {self.voxels:,} voxels, and {MAX_VOXELS:,} is the most that is read")

    def count_tiles(self, tiles: int) -> None:
        """Call before reading `tiles` more tiles: raises grid-file-kind where the file holds too many."""
        self.tiles += tiles
        if self.limited and self.tiles > MAX_TILES:
            raise self.too_large(f"it stores {self.tiles:,} tiles or more, and {MAX_TILES:,} is the most that is read")

    def wanted(self, name: str, only: Collection[str] | None) -> bool:
        """Whether to read the grid `name`, which has been met in the file. Raises grid-file-kind after too many."""
        if len(self.names) == MAX_GRIDS:
            raise self.too_large(f"it has more than {MAX_GRIDS:,} grids")
        self.names.append(name)
        return only is None or name in only

    def check_found(self, found: Collection[str], only: Collection[str] | None) -> None:
        """Raise grid-file-kind where a grid that was asked for, or the whole file, holds nothing that can be read."""
        convert = "Convert it to float, vec3f or int32."
        for name in only or ():
            if name in found:
                continue
            if name in self.unread:
                raise self.unreadable(f'its grid "{name}" is of the type {self.unread[name]}', convert)
            hint = did_you_mean(name, [known[:64] for known in self.names[:100]]) or "The file holds no grids."
            raise self.unreadable(f'it has no grid "{name}"', hint)
        if self.unread and not found:
            some = islice(self.unread.items(), 8)
            kinds = ", ".join(f'"{name[:64]}" is {type_name}' for name, type_name in some)
            raise self.unreadable(f"none of its grids holds numbers that a field can take ({kinds})", convert)


class Bytes:
    """A stretch of a file. Every read is checked against the bytes that are there."""

    def __init__(self, data: memoryview, source: GridFile) -> None:
        self.data = data
        self.source = source

    def __len__(self) -> int:
        return len(self.data)

    def part(self, offset: int, size: int, what: str) -> memoryview:
        self._check(offset, size, what)
        return self.data[offset : offset + size]

    def record(self, form: np.dtype[Any], offset: int, what: str) -> Any:
        """One structure of the type `form`."""
        return self.records(form, offset, 1, what)[0]

    def records(self, form: np.dtype[Any], offset: int, count: int, what: str) -> NDArray[Any]:
        """A view of `count` structures that lie next to each other."""
        self._check(offset, count * form.itemsize, what)
        return np.frombuffer(self.data, form, count, offset) if count else np.zeros(0, form)  # numpy refuses none

    def _check(self, offset: int, size: int, what: str) -> None:
        if offset < 0 or size < 0 or offset + size > len(self.data):
            raise self.source.corrupt(
                f"{what} would need bytes {offset:,} to {offset + size:,}, but there are {len(self.data):,}"
            )
