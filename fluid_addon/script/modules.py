# SPDX-License-Identifier: GPL-3.0-or-later
"""Where `require` finds modules: the library of the add-on, the texts of a Blender file, files beside the script."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from pathlib import Path

from ..diagnostics import did_you_mean, fail
from .sources import SourceText, read_source, source_from_text

__all__ = ["LIBRARY", "Modules", "text_names"]

#: The modules that scripts require as `fluid.*`.
LIBRARY = Path(__file__).resolve().parent / "lua" / "library"

_NAME = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*")
_LIBRARY_PREFIX = "fluid."


def text_names(name: str) -> tuple[str, ...]:
    """What a text may be called that is the module `name`, best first."""
    return (name.replace(".", "/") + ".lua", f"{name}.lua", name)


class Modules:
    """Finds the text of a module by its dotted name.

    Args:
        root: the script's folder, or None for a script that is no file.
        texts: further modules by name, such as "helpers.lua" or "helpers"; they go before files.
        library: the folder behind `fluid.*`.
    """

    def __init__(
        self, root: Path | None = None, texts: Mapping[str, str] | None = None, library: Path = LIBRARY
    ) -> None:
        self._root = root
        self._texts = dict(texts or {})
        self._library = library

    def find(self, name: str) -> SourceText:
        """The text of a module.

        Raises:
            FluidError: `bad-name`, `module-missing`, and those of `read_source`.
        """
        hint: str | None
        if len(name) > 200 or not _NAME.fullmatch(name):
            hint = 'A module is named by words with dots between them: require("my.module").'
            raise fail("bad-name", f'"{name[:200]}" is no name of a module.', hint)
        if name.startswith(_LIBRARY_PREFIX):
            return self._in_library(name)
        relative = name.replace(".", "/") + ".lua"
        for text_name in text_names(name):
            if text_name in self._texts:
                return source_from_text(text_name, self._texts[text_name], chunk=text_name)
        if self._root is not None and _is_inside(self._root, self._root / relative):
            return read_source(self._root / relative, chunk=relative)
        looked = [f'a text "{name}.lua"'] if self._texts else []
        looked += [f'the file "{self._root / relative}"'] if self._root is not None else []
        where = " and ".join(looked) or "nothing: this script lies in no folder, and there are no other texts"
        hint = did_you_mean(name, self._near(name, relative))
        raise fail("module-missing", f'There is no module "{name}"; looked for {where}.', hint)

    def _in_library(self, name: str) -> SourceText:
        relative = name.removeprefix(_LIBRARY_PREFIX).replace(".", "/") + ".lua"
        path = self._library / relative
        if not _is_inside(self._library, path):
            hint = did_you_mean(name, self.library_names())
            hint = hint or 'Names that begin with "fluid." belong to the add-on.'
            raise fail("module-missing", f'There is no module "{name}" in the add-on\'s library.', hint)
        return read_source(path, f"fluid/{relative}", library=True, chunk=f"fluid/{relative}")

    def library_names(self) -> list[str]:
        """Every `fluid.*` module, sorted."""
        found = (path.relative_to(self._library).with_suffix("") for path in self._library.rglob("*.lua"))
        return sorted(_LIBRARY_PREFIX + ".".join(path.parts) for path in found)

    def _near(self, name: str, relative: str) -> list[str]:
        """Modules that might have been meant: the texts, and the files of the folder in which this one was sought."""
        folder = name.rpartition(".")[0]
        beside: list[Path] = []
        if self._root is not None and _leads_into(self._root, sought := (self._root / relative).parent):
            beside = sorted(sought.glob("*.lua"))[:200]
        names = [f"{folder}.{file.stem}" if folder else file.stem for file in beside]
        names += [text.removesuffix(".lua").replace("/", ".") for text in self._texts]
        return difflib.get_close_matches(name, names)


def _leads_into(folder: Path, path: Path) -> bool:
    """Whether a path lies in the folder once links are followed."""
    try:
        return path.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError):  # links in a circle
        return False


def _is_inside(folder: Path, path: Path) -> bool:
    """Whether there is such a file, spelled just so, and it lies in the folder once links are followed."""
    try:
        if not path.is_file() or not _leads_into(folder, path):
            return False
        # Some file systems find "Helpers.lua" as "helpers.lua"; a script that relies on it runs on no other.
        parts = [path, *path.parents[: len(path.relative_to(folder).parts) - 1]]
        return all(any(found.name == part.name for found in part.parent.iterdir()) for part in parts)
    except OSError:
        return False
