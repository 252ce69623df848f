# SPDX-License-Identifier: GPL-3.0-or-later
"""Which scripts an artist trusts on this computer: the hashes of their contents, in a file of the artist's own.

A name or a place would be trusted whatever stands there tomorrow; a hash is trusted for one content only.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from pathlib import Path

from ..diagnostics import fail
from ..volumes.atomic import disk_problem, write_bytes_atomically

__all__ = ["MOST", "TrustStore", "content_hash"]

#: Rises when an older add-on would misread the file.
VERSION = 1
#: Hashes that are kept; of more, the oldest are forgotten.
MOST = 5000

_LARGEST_FILE = 8 * 1024 * 1024
_HASH = re.compile(r"[0-9a-f]{64}")


def content_hash(content: str) -> str:
    """What a script is known by: it differs as soon as one character does."""
    return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()


class TrustStore:
    """The hashes in one file. What is not read from it, or added here, is not trusted.

    A file that is missing, damaged or unreadable trusts nothing; looking something up never raises and never reads.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._hashes: dict[str, None] = {}  # oldest first
        self.look_again()

    def __contains__(self, digest: str) -> bool:
        return digest in self._hashes

    def __len__(self) -> int:
        return len(self._hashes)

    def look_again(self) -> None:
        """Take in what another Blender has added meanwhile."""
        try:
            content = self._content()
        except OSError:
            return
        read = _hashes(content)
        self._hashes = read | {digest: None for digest in self._hashes if digest not in read}

    def add(self, digests: Iterable[str]) -> None:
        """Trust contents from now on, also where that cannot be written down: it then ends with this Blender.

        Raises newer-file, disk-full, disk-error.
        """
        new = [digest for digest in digests if digest not in self._hashes]
        if not new:
            return
        self._hashes.update(dict.fromkeys(new))
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            content = self._content()
        except OSError as error:
            raise disk_problem(self._path, error) from error
        if _version(content) > VERSION:
            message = f'"{self._path}" was written by a newer Fluid Script, so what you trust now is not written down.'
            raise fail("newer-file", message, "Update Fluid Script. Until then, you are asked again in each session.")
        self.look_again()
        kept = list(self._hashes)[-MOST:]
        self._hashes = dict.fromkeys(kept)
        data = json.dumps({"version": VERSION, "trusted": kept}, indent=0)
        write_bytes_atomically(self._path, data.encode("ascii"))

    def _content(self) -> object:
        """What the file holds as JSON, or None where it holds none. Raises OSError."""
        try:
            with self._path.open("rb") as file:
                return json.loads(file.read(_LARGEST_FILE))
        except (FileNotFoundError, ValueError, RecursionError):
            return None


def _version(content: object) -> int:
    version = content.get("version") if isinstance(content, dict) else None
    return version if type(version) is int else 0


def _hashes(content: object) -> dict[str, None]:
    trusted = content.get("trusted") if isinstance(content, dict) and _version(content) == VERSION else None
    listed = trusted if isinstance(trusted, list) else []
    return dict.fromkeys(entry for entry in listed[-MOST:] if isinstance(entry, str) and _HASH.fullmatch(entry))
