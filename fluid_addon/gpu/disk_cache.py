# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that only save time: compiled shaders and pipelines. Each carries its checksum; a damaged one is made anew."""

from __future__ import annotations

import hashlib
import os
import sys
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

__all__ = ["default_cache_folder", "read_cached", "write_cached"]

_DIGEST = 32


def default_cache_folder() -> Path:
    """The user's cache folder for compiled kernels; never beside the code."""
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData/Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library/Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "fluid_script"


def _digest(name: str, content: bytes) -> bytes:
    """The name belongs to it: a file of another name is none of this one."""
    return hashlib.sha256(name.encode() + b"\0" + content).digest()


def read_cached(folder: Path | None, name: str, damaged: Callable[[], object] = lambda: None) -> bytes | None:
    """The cached bytes, or None where there are none or they are damaged, which is told."""
    if folder is None:
        return None
    try:
        stored = (folder / name).read_bytes()
    except OSError:
        return None
    digest, content = stored[:_DIGEST], stored[_DIGEST:]
    if _digest(name, content) == digest:
        return content
    damaged()
    return None


def write_cached(folder: Path | None, name: str, content: bytes) -> None:
    """Store bytes; a cache that cannot be written costs time, never the run."""
    if folder is None:
        return
    part = folder / f".{name}.{uuid.uuid4().hex}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        part.write_bytes(_digest(name, content) + content)
        part.replace(folder / name)
    except OSError:
        with suppress(OSError):  # where nothing can be written, nothing can be removed either
            part.unlink()
