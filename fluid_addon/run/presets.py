# SPDX-License-Identifier: GPL-3.0-or-later
"""Presets: a folder each with script.lua, preset.toml and thumbnail.png, in the library or among the artist's own.

A preset that cannot be used is listed all the same, with its problem: one that vanished could not be mended.
"""

from __future__ import annotations

import contextlib
import math
import re
import secrets
import shutil
import tomllib
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..diagnostics import FluidError, did_you_mean, fail
from ..script.sources import printable, read_source
from ..volumes.atomic import disk_problem
from ..volumes.export_path import same_file_key

__all__ = [
    "ABOUT",
    "FILES",
    "LIBRARY",
    "SCRIPT",
    "THUMBNAIL",
    "Preset",
    "checked_name",
    "find_preset",
    "list_presets",
    "name_from_title",
    "preset_toml",
    "read_preset",
    "remove_preset",
    "save_preset",
]

LIBRARY = Path(__file__).resolve().parent.parent.parent / "lua_presets"

ABOUT, SCRIPT, THUMBNAIL = "preset.toml", "script.lua", "thumbnail.png"
#: The files of a preset, and the most bytes that each may have.
FILES = {ABOUT: 64 * 1024, SCRIPT: 4 * 1024 * 1024, THUMBNAIL: 4 * 1024 * 1024}

Value = float | bool

_PNG = b"\x89PNG\r\n\x1a\n"
_LONGEST_NAME = 60
_NAME = re.compile(r"\w[\w -]*")
_PARAMETER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
_DEVICE = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]) *", re.IGNORECASE)


@dataclass(frozen=True)
class Preset:
    """A preset. `name` is its folder's name.

    Attributes:
        title: for people; the name where the preset does not say one.
        thumbnail: None where there is none, or it is no PNG; the preset can be used all the same.
        origin: "library", "user" for one that was saved here, "imported" for one that came from elsewhere.
        values: of parameters, by name; the others have the script's defaults.
        problem: why it cannot be used, in one sentence; None for a good one.
    """

    name: str
    title: str
    description: str
    tags: tuple[str, ...]
    script: Path
    thumbnail: Path | None
    origin: str = "library"
    values: Mapping[str, Value] = field(default_factory=dict)
    problem: str | None = None

    @property
    def key(self) -> str:
        """Tells an own preset from one of the library that has the same name."""
        return self.name if self.origin == "library" else f"user/{self.name}"

    @property
    def is_own(self) -> bool:
        return self.origin != "library"

    @property
    def extra_files(self) -> tuple[Path, ...]:
        """What a preset of the library has besides its three files: grids and meshes that its script reads."""
        if self.is_own:
            return ()
        files = sorted(path for path in self.script.parent.iterdir() if path.is_file() and path.name not in FILES)
        return tuple(path for path in files if not path.name.startswith("."))

    def source(self) -> str:
        """The text of the script. Raises preset-broken."""
        if self.problem is not None:
            raise broken(self)
        try:
            return read_source(self.script, f"{self.name}/{SCRIPT}").text
        except FluidError as error:
            message = f'The preset "{self.name}" is broken: {error}'
            raise fail("preset-broken", message, f'Mend the files in "{self.script.parent}".') from error


def broken(preset: Preset) -> FluidError:
    message = f'The preset "{preset.name}" is broken: {preset.problem}'
    return fail("preset-broken", message, f'Mend the files in "{preset.script.parent}".')


def list_presets(*folders: Path) -> list[Preset]:
    """The presets of these folders, by default of the library, each folder's in alphabetical order. Never raises."""
    presets = []
    for folder in folders or (LIBRARY,):
        try:
            found = [path for path in folder.iterdir() if path.is_dir() and not path.name.startswith((".", "__"))]
        except OSError:
            continue  # there is no such folder yet
        presets += [read_preset(path) for path in sorted(found, key=lambda path: same_file_key(path.name))]
    return presets


def find_preset(name: str, *folders: Path) -> Preset:
    """The preset of that name or key; where two share a name, that of the folder named first.

    Raises:
        FluidError: `usage`, with the closest names; `preset-broken`.
    """
    presets = list_presets(*folders)
    for preset in sorted(presets, key=lambda preset: preset.key != name):
        if name in (preset.key, preset.name):
            if preset.problem is not None:
                raise broken(preset)
            return preset
    raise fail("usage", f'There is no preset "{name}".', did_you_mean(name, {preset.name for preset in presets}))


# ===== Reading


def read_preset(folder: Path) -> Preset:
    """The preset in a folder, whatever its state. Never raises."""
    about, problem = _read_about(folder / ABOUT)
    texts = {key: _line(about[key]) for key in ("title", "description") if isinstance(about.get(key), str)}
    tags, values = about.get("tags", []), about.get("values", {})
    if problem is None:
        problem = next(filter(None, (_about_problem(texts, tags, values), _script_problem(folder / SCRIPT))), None)
    in_library = folder.parent == LIBRARY
    return Preset(
        name=folder.name,
        title=texts.get("title") or printable(folder.name),
        description=texts.get("description", ""),
        tags=tuple(_line(tag) for tag in tags if isinstance(tag, str)) if isinstance(tags, list) else (),
        script=folder / SCRIPT,
        thumbnail=folder / THUMBNAIL if is_png(folder / THUMBNAIL) else None,
        origin="library" if in_library else "imported" if about.get("imported") is True else "user",
        values=values if problem is None else {},
        problem=problem,
    )


def _line(text: str) -> str:
    return printable(" ".join(text.split()))


def _read_about(path: Path) -> tuple[dict[str, Any], str | None]:
    """What preset.toml says, and what is wrong with it."""
    try:
        with path.open("rb") as file:
            content = file.read(FILES[ABOUT] + 1)
        if len(content) > FILES[ABOUT]:
            return {}, f'"{ABOUT}" is larger than {FILES[ABOUT] // 1024} KB.'
        return tomllib.loads(content.decode("utf-8").replace("\r\n", "\n")), None
    except FileNotFoundError:
        return {}, f'"{ABOUT}" is missing.'
    except OSError as error:
        return {}, f'"{ABOUT}" cannot be read: {error.strerror or error}.'
    except UnicodeDecodeError:
        return {}, f'"{ABOUT}" is not UTF-8 text.'
    except (ValueError, RecursionError) as error:  # tomllib's own error is a ValueError
        return {}, f'"{ABOUT}" cannot be understood: {printable(str(error)) or "too deep"}.'


def _about_problem(texts: Mapping[str, str], tags: object, values: object) -> str | None:
    for key in ("title", "description"):
        if not texts.get(key):
            return f'"{ABOUT}" has no {key}.'
    if not isinstance(tags, list) or not all(isinstance(tag, str) and tag.strip() for tag in tags):
        return f'The tags in "{ABOUT}" must be a list of words.'
    if not isinstance(values, dict):
        return f'[values] in "{ABOUT}" must be a table.'
    for name, value in values.items():
        if not _PARAMETER.fullmatch(name):
            return f'No parameter can be called "{printable(name[:80])}", as [values] in "{ABOUT}" has it.'
        if not _is_value(value):
            return f'The value of "{printable(name)}" in "{ABOUT}" must be a finite number, true or false.'
    return None


def _is_value(value: object) -> bool:
    """Whether a parameter can have it: true, false, or a number that a float can hold."""
    try:
        return isinstance(value, bool | int | float) and math.isfinite(float(value))
    except OverflowError:
        return False


def _script_problem(path: Path) -> str | None:
    if not path.is_file():
        return f'"{SCRIPT}" is missing.'
    try:
        read_source(path, SCRIPT)
    except FluidError as error:
        return error.diagnostics[0].message
    return None


def is_png(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(_PNG)) == _PNG and path.stat().st_size <= FILES[THUMBNAIL]
    except OSError:
        return False


# ===== Saving


def name_from_title(title: str) -> str:
    """A folder's name for a title: "Big Smoke!" is kept in big_smoke."""
    words = re.findall(r"\w+", unicodedata.normalize("NFC", title).lower())
    name = re.sub("_+", "_", "_".join(words)).strip("_")
    name = name[:_LONGEST_NAME].encode()[: 2 * _LONGEST_NAME].decode(errors="ignore").rstrip("_")
    return f"{name}_preset" if _DEVICE.fullmatch(name) else name or "preset"


def checked_name(name: str) -> str:
    """The name of a preset: one that is a plain folder on every system. Raises preset-broken."""
    why = None
    if not _NAME.fullmatch(name):
        why = "may have only letters, digits, spaces, - and _, and begins with a letter or digit"
    elif name.endswith(" ") or len(name) > _LONGEST_NAME or len(name.encode()) > 2 * _LONGEST_NAME:
        why = f"must end with a letter or digit and have at most {_LONGEST_NAME} characters"
    elif _DEVICE.fullmatch(name):
        why = "is a device on Windows"
    if why:
        shown = printable(name[:_LONGEST_NAME])
        raise fail("preset-broken", f'The preset\'s name "{shown}" {why}.', "Give it another name.")
    return name


def free_name(folder: Path, name: str) -> str:
    """The name, with a number at its end where the folder has a preset of that name in any spelling."""
    taken = {same_file_key(path.name) for path in folder.iterdir()} if folder.is_dir() else set()
    candidate, number = name, 2
    while same_file_key(candidate) in taken:
        ending = f"_{number}"
        candidate, number = name[: _LONGEST_NAME - len(ending)].rstrip(" _") + ending, number + 1
    return candidate


def save_preset(
    folder: Path,
    name: str,
    title: str,
    description: str,
    tags: Sequence[str],
    script: str,
    values: Mapping[str, Value],
    thumbnail: bytes | None,
    replace: bool = False,
) -> Preset:
    """Write a preset into the artist's folder, whole or not at all.

    Raises:
        FluidError: `preset-broken` for a wrong name, a missing title, a script too large; `usage` where there is one
            of that name that may not be replaced; `disk-full`, `disk-error`.
    """
    target = folder / checked_name(name)
    contents = {
        ABOUT: preset_toml(title, description, tags, values).encode(),
        SCRIPT: script.encode("utf-8", "surrogatepass"),
    }
    if thumbnail is not None:
        contents[THUMBNAIL] = thumbnail
    part = folder / f".{name}.{secrets.token_hex(8)}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        present = next((path for path in folder.iterdir() if same_file_key(path.name) == same_file_key(name)), None)
        if present is not None and not replace:
            raise fail("usage", f'There is a preset "{name}" already.', "Choose another title, or replace it.")
        write_folder(part, contents)
        made = read_preset(part)
        if made.problem is not None:
            raise fail("preset-broken", f'The preset "{name}" cannot be saved: {made.problem}', "Change that first.")
        _put_in_place(part, target, present)
    except OSError as error:
        raise disk_problem(target, error) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return read_preset(target)


def write_folder(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Make a folder with these files. Raises OSError."""
    folder.mkdir()
    for file, content in contents.items():
        (folder / file).write_bytes(content)


def _put_in_place(part: Path, target: Path, present: Path | None) -> None:
    """Rename a finished folder; one that is replaced comes back if that fails."""
    if present is None:
        part.rename(target)
        return
    old = target.parent / f".{target.name}.{secrets.token_hex(8)}.old"
    present.rename(old)
    try:
        part.rename(target)
    except OSError:
        old.rename(present)
        raise
    shutil.rmtree(old, ignore_errors=True)


def remove_preset(preset: Preset) -> None:
    """Delete an own preset: its three files, and its folder if that is empty then.

    Raises:
        FluidError: `usage` for one of the library; `disk-error`.
    """
    folder = preset.script.parent
    if not preset.is_own:
        raise fail("usage", f'"{preset.title}" belongs to the library.', "Only your own presets can be removed.")
    try:
        for file in FILES:
            (folder / file).unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            folder.rmdir()
    except OSError as error:
        raise disk_problem(folder, error) from error


def preset_toml(
    title: str, description: str, tags: Sequence[str], values: Mapping[str, Value], imported: bool = False
) -> str:
    """The text of a preset.toml. Raises preset-broken for a text that no file can hold."""
    lines = [f"title = {_quoted(title)}", f"description = {_quoted(description)}"]
    lines.append(f"tags = [{', '.join(map(_quoted, tags))}]")
    if imported:
        lines.append("imported = true # its script is shown before it runs")
    if values:
        lines += ["", "[values]", *(f"{_quoted(name)} = {_literal(value)}" for name, value in values.items())]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    """A basic string of TOML."""
    if any(unicodedata.category(character) == "Cs" for character in text):
        raise fail("preset-broken", "The preset's text has half a character in it.", "Type it anew.")
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c >= " " and c != "\x7f" else f"\\u{ord(c):04x}" for c in escaped) + '"'


def _literal(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else repr(value)
