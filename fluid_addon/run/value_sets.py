# SPDX-License-Identifier: GPL-3.0-or-later
"""Named sets of parameter values on an artist's shelf: one JSON file each, in one folder per script.

    <shelf>/smoke_plume/Thick Smoke.json    {"format": 1, "script": "smoke_plume", "values": {"buoyancy": 8.0, …}}

The names come from artists and from texts of files of others, so they are names and never paths: what could leave the
folder, or is no name of a file on every system, is refused (sets) or rewritten (scripts).
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..diagnostics import fail
from ..volumes.atomic import disk_problem, write_bytes_atomically

__all__ = ["ValueSet", "list_value_sets", "load_values", "remove_values", "save_values", "script_folder"]

FORMAT = 1
LARGEST = 1 << 20  # bytes of a file that is read at all

_SUFFIX = ".json"
_NAME = re.compile(r'(?! )[^\x00-\x1f\x7f/\\:*?"<>|]{1,63}(?<![ .])')
# Windows takes these for devices, with any suffix.
_DEVICES = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(\..*)?", re.IGNORECASE)


@dataclass(frozen=True)
class ValueSet:
    """A set as it lies on the shelf. Where its file is broken, `problem` is a sentence on it and nothing is in it."""

    name: str
    values: Mapping[str, float | bool] = field(default_factory=dict)
    problem: str = ""


def script_folder(shelf: Path, script: str) -> Path:
    """Where the sets of a script lie. "smoke.lua" and its copies "smoke.lua.001" share one folder."""
    title = re.sub(r"\.\d{3}$", "", script).removesuffix(".lua")
    if _is_name(title):
        return shelf / title
    plain = re.sub(r"[^\w -]+", "_", title)[:40].strip(" .") or "script"
    return shelf / f"{plain}-{hashlib.sha256(title.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"


def list_value_sets(shelf: Path, script: str) -> list[ValueSet]:
    """The sets of a script by name, broken ones too. A shelf that is not there, or cannot be read, is empty."""
    try:
        files = [path for path in script_folder(shelf, script).iterdir() if path.suffix == _SUFFIX]
    except OSError:
        return []
    named = [path for path in files if _is_name(path.stem) and not path.stem.startswith(".")]
    return [_read(path) for path in sorted(named, key=lambda path: (path.stem.casefold(), path.stem))]


def load_values(shelf: Path, script: str, name: str) -> dict[str, float | bool]:
    """The values of one set.

    Raises:
        FluidError: `usage` where there is none of that name, `preset-broken`.
    """
    path = _path(shelf, script, name)
    if not path.is_file():
        raise fail("usage", f'There are no values "{name}" of this script.', "Save them first.")
    found = _read(path)
    if found.problem:
        raise fail("preset-broken", f'The values "{name}" cannot be used: {found.problem}', f'The file is "{path}".')
    return dict(found.values)


def save_values(shelf: Path, script: str, name: str, values: Mapping[str, float | bool]) -> Path:
    """Write a set, over one of the same name.

    Raises:
        FluidError: `usage` for what is no name, `disk-full`, `disk-error`.
    """
    path = _path(shelf, script, name)
    content = {"format": FORMAT, "script": script_folder(shelf, script).name, "values": dict(values)}
    data = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise disk_problem(path, error) from error
    write_bytes_atomically(path, data.encode())
    return path


def remove_values(shelf: Path, script: str, name: str) -> None:
    """Delete a set; none of that name is no error.

    Raises:
        FluidError: `usage`, `disk-error`.
    """
    path = _path(shelf, script, name)
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        message = f'"{path}" cannot be removed: {error.strerror or error}.'
        raise fail("disk-error", message, "Look whether another program holds the file.") from error


def _is_name(name: str) -> bool:
    return _NAME.fullmatch(name) is not None and not name.startswith(".") and _DEVICES.fullmatch(name) is None


def _path(shelf: Path, script: str, name: str) -> Path:
    if not _is_name(name):
        hint = 'Use at most 63 characters, none of / \\ : * ? " < > |, and no dot or space at its ends.'
        raise fail("usage", f"{json.dumps(name[:80], ensure_ascii=False)} is no name for values.", hint)
    return script_folder(shelf, script) / (name + _SUFFIX)


def _read(path: Path) -> ValueSet:
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
        if len(data) > LARGEST:
            return ValueSet(path.stem, problem="the file is too large.")
        content = json.loads(data.decode())
    except OSError as error:
        return ValueSet(path.stem, problem=f"the file cannot be read ({error.strerror or error}).")
    except (ValueError, RecursionError):
        return ValueSet(path.stem, problem="the file is no JSON.")
    return _checked(path.stem, content)


def _checked(name: str, content: object) -> ValueSet:
    if not isinstance(content, dict) or not isinstance(content.get("values"), dict):
        return ValueSet(name, problem="the file has no values.")
    version = content.get("format")
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        return ValueSet(name, problem="the file says no format.")
    if version > FORMAT:
        return ValueSet(name, problem="a newer Fluid Script saved it.")
    for key, value in content["values"].items():
        if not isinstance(value, (int, float)) or not _is_finite(value):
            return ValueSet(name, problem=f'"{key[:63]}" is neither a number nor true or false.')
    return ValueSet(name, content["values"])


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer of hundreds of digits
        return False
