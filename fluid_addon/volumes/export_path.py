# SPDX-License-Identifier: GPL-3.0-or-later
"""What a script may call an exported file: a path inside the bake's folder that every system can store.

A path that is fine on one system and not on another is refused everywhere, so that a scene can move between machines.
"""

from __future__ import annotations

import contextlib
import re
import stat
import unicodedata
from pathlib import Path, PurePosixPath

from ..diagnostics import FluidError, fail
from .atomic import disk_point, flush_folder

__all__ = [
    "LAST_FRAME",
    "MANIFEST",
    "checked_export_path",
    "inside",
    "same_file_key",
    "timeline_frame",
    "trailing_number",
]

#: The file in a bake's folder that says what the bake holds; no export may take its name.
MANIFEST = "manifest.json"
#: The last frame of Blender's timeline.
LAST_FRAME = 1_048_574

_LONGEST_PATH = 400  # characters
_LONGEST_NAME = 180  # bytes of UTF-8; a name of 255 is the limit of most disks, and part files need some of it
_DEEPEST = 16
_FORBIDDEN = '<>:"|?*\\'
_DEVICE = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³]) *(\.|$)", re.IGNORECASE)
_JUNCTION = 0xA0000003  # IO_REPARSE_TAG_MOUNT_POINT
_NUMBER = re.compile(r"[0-9]+\Z")
_PLAIN = re.compile(r"(?!con|prn|aux|nul|com|lpt|manifest)[a-z0-9_-]{1,80}(\.[a-z0-9_-]{1,16}){0,3}\Z", re.I | re.ASCII)
#: Letters that show nothing, beside the categories of characters that never do.
_BLANK = "\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0"


def checked_export_path(relative: str) -> tuple[str, ...]:
    """The parts of a relative path that a script names, folders first. Raises export-path, saying what is wrong."""
    if _PLAIN.match(relative):  # most are: a long bake has many
        return (relative,)
    if not relative:
        raise _refused(relative, "is empty")
    if len(relative) > _LONGEST_PATH:
        raise _refused(relative, f"is longer than {_LONGEST_PATH} characters")
    for character in relative:
        if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp") or character in _BLANK:
            raise _refused(relative, f"has the invisible character U+{ord(character):04X}")
        if character in _FORBIDDEN:
            hint = 'Part folders with "/".' if character == "\\" else None
            raise _refused(relative, f"has the character {character!r}, which not every system can store", hint)
    if relative.startswith("/"):
        raise _refused(relative, "is absolute")
    parts = tuple(relative.split("/"))
    if len(parts) > _DEEPEST:
        raise _refused(relative, f"is deeper than {_DEEPEST} folders")
    for part in parts:
        if part in ("", ".", ".."):
            raise _refused(relative, f'has the part "{part}"')
        if part.startswith("."):
            raise _refused(relative, f'has the hidden part "{part}"')
        if part[-1] in ". ":
            raise _refused(relative, f'has the part "{part}", which ends with a dot or a space')
        if _DEVICE.match(part):
            raise _refused(relative, f'has the part "{part}", which is a device on Windows')
        if len(part.encode()) > _LONGEST_NAME:
            raise _refused(relative, f"has a part of more than {_LONGEST_NAME} bytes")
    if same_file_key(relative) == MANIFEST:
        raise _refused(relative, "is the name of the bake's own list of files")
    return parts


def inside(folder: Path, parts: tuple[str, ...], make_folders: bool = False) -> Path:
    """The file at `parts` inside `folder`, reached without following a link. Raises export-path where a part of the way
    is a link or no folder, or where the file exists and is none; OSError if a folder cannot be made."""
    path = folder
    for depth in range(len(parts) + 1):
        last = depth == len(parts)
        try:
            mode = _mode(path)
        except FileNotFoundError:
            if last or not make_folders:
                return folder.joinpath(*parts)
            disk_point("disk.make", path)
            path.mkdir(exist_ok=True)
            with contextlib.suppress(OSError):  # then it lasts a little later
                flush_folder(path.parent)
            mode = _mode(path)
        if not (stat.S_ISREG(mode) if last else stat.S_ISDIR(mode)):
            what = "a link" if stat.S_ISLNK(mode) else "a file" if stat.S_ISREG(mode) else "not a file"
            raise _refused("/".join(parts), f'leads over "{path}", which is {what}')
        if not last:
            path = path / parts[depth]
    return path


def _mode(path: Path) -> int:
    """Of a file itself. What Windows calls a junction is a link to a folder, and does not say so in its mode."""
    status = path.lstat()
    return stat.S_IFLNK if getattr(status, "st_reparse_tag", 0) == _JUNCTION else status.st_mode


def same_file_key(relative: str) -> str:
    """Equal for paths that some system takes for one and the same file."""
    if relative.isascii():
        return relative.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", relative).casefold())


def trailing_number(stem: str) -> tuple[str, str]:
    """A name without its suffix, split before the digits at its end: ("frame_", "0010"); the digits may be ""."""
    digits = _NUMBER.search(stem)
    return (stem[: digits.start()], digits.group()) if digits else (stem, "")


def timeline_frame(relative: str) -> int | None:
    """The number at the end of the file's name, or None where there is none that Blender's timeline can show."""
    digits = trailing_number(PurePosixPath(relative).stem)[1]
    if not digits or len(digits.lstrip("0")) > len(str(LAST_FRAME)):
        return None
    return int(digits) if int(digits) <= LAST_FRAME else None


def _refused(relative: str, why: str, hint: str | None = None) -> FluidError:
    shown = relative if len(relative) <= 80 else relative[:80] + "…"
    return fail(
        "export-path",
        f"The export path {_quoted(shown)} {why}.",
        hint or 'Name a file inside the bake\'s folder, like "smoke_0001.vdb" or "water/frame_1.vdb".',
    )


def _quoted(text: str) -> str:
    """In double quotes, characters that cannot be shown written as escapes."""
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return f'"{shown}"'
