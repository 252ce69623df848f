# SPDX-License-Identifier: GPL-3.0-or-later
"""Presets as a zip, to give away and to take in.

A zip from elsewhere may be anything: only the three files of a preset are read from it, each up to its limit by the
bytes that really come out, and nothing reaches the artist's folder before the whole of it was found good.
"""

from __future__ import annotations

import io
import secrets
import shutil
import stat
import struct
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

from ..diagnostics import FluidError, fail, printable
from ..volumes.atomic import disk_problem, write_bytes_atomically
from ..volumes.export_path import same_file_key
from .presets import (
    ABOUT,
    FILES,
    SCRIPT,
    THUMBNAIL,
    Preset,
    broken,
    checked_name,
    free_name,
    preset_toml,
    read_preset,
    write_folder,
)

__all__ = ["export_presets", "import_presets"]

_MOST_PRESETS = 200
_MOST_ENTRIES = 2000
_MOST_BYTES = 128 * 1024 * 1024
_MOST_DIRECTORY = 1 << 20  # bytes of the list of entries, which zipfile reads as a whole
_PLAIN = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # others could ask for memory before the first byte comes out
_END, _END_BYTES = b"PK\5\6", 22  # the record at a zip's end without its comment
_DATE = (2000, 1, 1, 0, 0, 0)  # the same presets make the same zip


def export_presets(presets: Sequence[Preset], path: Path) -> None:
    """Write presets into a zip. Raises preset-broken, disk-full, disk-error."""
    buffer = io.BytesIO()
    taken: set[str] = set()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for preset in presets:
            if preset.problem is not None:
                raise broken(preset)
            name = _other_name(checked_name(preset.name), taken)
            for file, content in _contents(preset).items():
                entry = zipfile.ZipInfo(f"{name}/{file}", _DATE)
                entry.compress_type = zipfile.ZIP_DEFLATED
                entry.external_attr = 0o644 << 16
                archive.writestr(entry, content)
    write_bytes_atomically(path, buffer.getvalue())


def _contents(preset: Preset) -> dict[str, bytes]:
    about = preset_toml(preset.title, preset.description, preset.tags, preset.values)
    contents = {ABOUT: about.encode(), SCRIPT: preset.source().encode()}
    if preset.thumbnail is not None:
        try:
            contents[THUMBNAIL] = preset.thumbnail.read_bytes()
        except OSError as error:
            message = f'The picture of the preset "{preset.name}" cannot be read: {error.strerror or error}.'
            raise fail("preset-broken", message, f'Look at "{preset.thumbnail}".') from error
    return contents


def _other_name(name: str, taken: set[str]) -> str:
    candidate, number = name, 2
    while same_file_key(candidate) in taken:
        candidate, number = f"{name}_{number}", number + 1
    taken.add(same_file_key(candidate))
    return candidate


def import_presets(path: Path, folder: Path) -> list[str]:
    """Take the presets of a zip into the artist's folder, and return the names they got there.

    All of them or none. They count as coming from elsewhere until their script was looked at.

    Raises:
        FluidError: `preset-broken` with what is wrong with the zip; `disk-full`, `disk-error`.
    """
    found = _read_archive(path)
    part = folder / f".import.{secrets.token_hex(8)}.part"
    placed: list[Path] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        part.mkdir()
        for name, contents in found.items():
            write_folder(part / name, contents)
            preset = read_preset(part / name)
            if preset.problem is not None:
                raise _refused(path, f'its preset "{name}" is broken: {preset.problem}')
            about = preset_toml(preset.title, preset.description, preset.tags, preset.values, imported=True)
            (part / name / ABOUT).write_text(about, "utf-8", newline="\n")
        for name in found:
            target = folder / free_name(folder, name)
            (part / name).rename(target)
            placed.append(target)
    except OSError as error:
        for target in placed:
            shutil.rmtree(target, ignore_errors=True)
        raise disk_problem(folder, error) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return [target.name for target in placed]


def _read_archive(path: Path) -> dict[str, dict[str, bytes]]:
    """The files of each preset in a zip."""
    found: dict[str, dict[str, bytes]] = {}
    total = 0
    try:
        if not path.is_file() and path.exists():
            raise _refused(path, "it cannot be read (it is not a file)")
        if _directory_bytes(path) > _MOST_DIRECTORY:
            raise _refused(path, f"it has more than {_MOST_ENTRIES} entries")
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            if len(entries) > _MOST_ENTRIES:
                raise _refused(path, f"it has more than {_MOST_ENTRIES} entries")
            for entry in entries:
                place = _place(path, entry)
                if place is None:
                    continue
                name, file = place
                if file in found.setdefault(name, {}):
                    raise _refused(path, f'it has "{name}/{file}" twice')
                with archive.open(entry) as stream:
                    content = stream.read(FILES[file] + 1)
                total += len(content)
                if len(content) > FILES[file]:
                    raise _refused(path, f'"{name}/{file}" is larger than {FILES[file] // 1024} KB')
                if total > _MOST_BYTES or len(found) > _MOST_PRESETS:
                    raise _refused(path, f"it has more than {_MOST_PRESETS} presets or {_MOST_BYTES >> 20} MB")
                found[name][file] = content
    except FileNotFoundError as error:
        raise _refused(path, "there is no such file") from error
    except (zipfile.BadZipFile, zlib.error, struct.error, EOFError, IndexError, RuntimeError, ValueError) as error:
        raise _refused(path, f"it is no zip, or a damaged one ({printable(str(error))})") from error
    except OSError as error:
        raise _refused(path, f"it cannot be read ({error.strerror or error})") from error
    if not found:
        raise _refused(path, "it has no preset in it")
    if len({same_file_key(name) for name in found}) < len(found):
        raise _refused(path, "two of its folders differ only in upper and lower case")
    return found


def _directory_bytes(path: Path) -> int:
    """How long the list of entries claims to be at the file's end; -1 where there is none, which zipfile then says."""
    with path.open("rb") as file:
        size = file.seek(0, io.SEEK_END)
        file.seek(max(0, size - _END_BYTES - 65535))
        end = file.read()
    at = len(end) - _END_BYTES  # zipfile looks for a comment only where the end is not this
    if at < 0 or end[at : at + 4] != _END or end[-2:] != b"\0\0":
        at = end.rfind(_END)
    if at < 0 or len(end) - at < _END_BYTES:
        return -1
    if end[max(0, at - 20) : at].startswith(b"PK\x06\x07"):  # a longer one, for more than any preset has
        return _MOST_DIRECTORY + 1
    return int.from_bytes(end[at + 12 : at + 16], "little")


def _place(path: Path, entry: zipfile.ZipInfo) -> tuple[str, str] | None:
    """The preset and the file that an entry is; None for a folder, and for what macOS adds to every zip."""
    shown = printable(entry.filename[:80])[:80]
    parts = entry.filename.split("/")
    if parts[0] == "__MACOSX" or parts[-1] == ".DS_Store":
        return None
    mode = entry.external_attr >> 16
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise _refused(path, f'"{shown}" is a link or a device')
    if entry.compress_type not in _PLAIN:
        raise _refused(path, f'"{shown}" is packed in a way that is not read')
    if entry.flag_bits & 1:
        raise _refused(path, f'"{shown}" is locked with a password')
    if len(parts) != 2 or (parts[1] and parts[1] not in FILES):
        files = ", ".join(f'"{file}"' for file in FILES)
        raise _refused(path, f'"{shown}" does not belong there: each preset is a folder with {files}')
    try:
        checked_name(parts[0])
    except FluidError as error:
        raise _refused(path, error.diagnostics[0].message) from error
    return (parts[0], parts[1]) if parts[1] else None


def _refused(path: Path, why: str) -> FluidError:
    hint = "Nothing was imported. Ask whoever made the file for another, or export it again."
    return fail("preset-broken", f'"{path.name}" is not taken in: {why.rstrip(".")}.', hint)
