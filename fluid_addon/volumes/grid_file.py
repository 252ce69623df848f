# SPDX-License-Identifier: GPL-3.0-or-later
"""What every reader of grid files needs: how a bad file is reported, and reads that stay inside the file."""

from __future__ import annotations

import stat
import zlib
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..diagnostics import FluidError, did_you_mean, fail

__all__ = ["MAX_FILE_BYTES", "MAX_VOXELS", "Bytes", "GridFile"]

#: The most voxels in leaves that are read from one file: 1024³, 4 GiB of floats.
MAX_VOXELS = 1 << 30
#: The largest block of bytes that is read or decompressed at once.
MAX_FILE_BYTES = 8 << 30


class GridFile:
    """A grid file that is being read: its name for messages, and how many voxels it has yielded so far."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.voxels = 0
        self.names: list[str] = []  # of all grids that the file has
        self.unread: dict[str, str] = {}  # names and types of grids that no field can hold

    def size(self) -> int:
        """The length of the file in bytes. Raises grid-file-missing where it is no readable file."""
        try:
            status = self.path.stat()
        except (OSError, ValueError) as error:
            raise self.missing(error) from error
        if not stat.S_ISREG(status.st_mode):
            raise fail("grid-file-missing", f'"{self.path}" is not a file.', "Name a .nvdb or .vdb file.")
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
        if isinstance(error, FileNotFoundError | NotADirectoryError):
            message = f'There is no grid file "{self.path}".'
        else:
            message = f'The grid file "{self.path}" cannot be read: {getattr(error, "strerror", None) or error}.'
        return fail("grid-file-missing", message, "A relative path counts from the folder of the script.")

    def corrupt(self, why: str) -> FluidError:
        return fail(
            "grid-file-corrupt",
            f'The grid file "{self.path.name}" is damaged: {why}.',
            "Copy the file again, or write it again with the program that made it.",
        )

    def unreadable(self, why: str, hint: str) -> FluidError:
        return fail("grid-file-kind", f'The grid file "{self.path.name}" cannot be used: {why}.', hint)

    def too_large(self, why: str) -> FluidError:
        return self.unreadable(why, "Save fewer or smaller grids to the file, or crop them.")

    def unzipped(self, packed: memoryview, size: int, what: str) -> bytes:
        """`size` bytes out of zlib's format: no more, no matter what the data would like to become, and no fewer."""
        unzip = zlib.decompressobj()
        try:
            data = unzip.decompress(packed, size) if size else b""
            rest = b"" if unzip.eof else unzip.decompress(unzip.unconsumed_tail or (b"" if size else packed), 1)
        except zlib.error as error:
            raise self.corrupt(f"{what} cannot be decompressed ({error})") from error
        if rest or not unzip.eof or len(data) != size:
            raise self.corrupt(f"{what} does not decompress to the {size:,} bytes that the file claims")
        return data

    def count_voxels(self, voxels: int) -> None:
        """Call before reading `voxels` more voxels: raises grid-file-kind where the file holds too many."""
        self.voxels += voxels
        if self.voxels > MAX_VOXELS:
            raise self.too_large(f"it stores {self.voxels:,} voxels, and {MAX_VOXELS:,} is the most that is read")

    def wanted(self, name: str, only: Collection[str] | None) -> bool:
        """Whether to read the grid `name`, which has been met in the file."""
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
            hint = did_you_mean(name, self.names) or "The file holds no grids."
            raise self.unreadable(f'it has no grid "{name}"', hint)
        if self.unread and not found:
            kinds = ", ".join(f'"{name}" is {type_name}' for name, type_name in list(self.unread.items())[:8])
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
