# SPDX-License-Identifier: GPL-3.0-or-later
"""The preset library: one folder each with script.lua, preset.toml and thumbnail.png."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

from ..diagnostics import did_you_mean, fail

__all__ = ["Preset", "find_preset", "list_presets"]

LIBRARY = Path(__file__).resolve().parent.parent.parent / "lua_presets"


@dataclass(frozen=True)
class Preset:
    """A preset of the library. `name` is its folder's name."""

    name: str
    title: str
    description: str
    tags: tuple[str, ...]
    script: Path
    thumbnail: Path


def list_presets(library: Path = LIBRARY) -> list[Preset]:
    """The presets in alphabetical order."""
    presets = []
    for folder in sorted(path.parent for path in library.glob("*/preset.toml")):
        about = tomllib.loads((folder / "preset.toml").read_text("utf-8"))
        presets.append(
            Preset(
                name=folder.name,
                title=str(about["title"]),
                description=str(about["description"]),
                tags=tuple(about.get("tags", ())),
                script=folder / "script.lua",
                thumbnail=folder / "thumbnail.png",
            )
        )
    return presets


def find_preset(name: str) -> Preset:
    """The preset of that name.

    Raises:
        FluidError: `usage`, with the closest names.
    """
    presets = {preset.name: preset for preset in list_presets()}
    if name not in presets:
        raise fail("usage", f'There is no preset "{name}".', did_you_mean(name, presets))
    return presets[name]
