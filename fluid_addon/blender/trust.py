# SPDX-License-Identifier: GPL-3.0-or-later
"""Which texts of the open file may run: those that the artist made here, and those whose content the artist trusts.

A text that came in with a file and is not known is a stranger. It stays one until the file is opened again, so that
each change of it is asked about; a copy of it is as strange. Texts are known by their `session_uid`, which undo and
renaming keep.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import bpy
from bpy.app.handlers import persistent

from ..diagnostics import FluidError
from ..run.presets import LIBRARY
from ..run.trust_store import TrustStore, content_hash
from ..script.modules import text_names
from ..script.required import required_names
from . import simulation
from .package import user_folder

__all__ = ["Origin", "came_from", "modules", "origin", "remember", "trust_texts", "untrusted_texts"]


@dataclass(frozen=True)
class Origin:
    """Where a stranger came from.

    Attributes:
        file: path of a .blend file or of a preset; empty for Blender's startup file.
        changed: it was trusted since the file was opened, and is not what it was then.
    """

    file: str = ""
    changed: bool = False


class _Strangers:
    """What is known of the texts that came with files, since the open file was opened."""

    def __init__(self) -> None:
        self.files: dict[int, str] = {}  # by session_uid
        self.contents: dict[str, str] = {}  # file by hash: a copy of a stranger is known by its content
        self.trusted: set[int] = set()  # strangers that were trusted in this session
        self.compared: set[int] = set()  # texts that were compared with them when they were new
        self.before_import: set[int] = set()

    def meet(self, text: bpy.types.Text, file: str, digest: str) -> None:
        self.files[text.session_uid] = file
        self.contents[digest] = file


_strangers = _Strangers()
_looked = False  # whether the open file was looked at; it is not when the add-on is enabled


def untrusted_texts(text: bpy.types.Text) -> list[bpy.types.Text]:
    """The texts that the artist must trust before `text` may run: itself, and those that it could require.

    Reads no file, so that panels may ask while they draw.
    """
    _look_once()
    if not _strangers.files and text.library is None and not bpy.data.libraries:
        return []
    return [found for found in _reachable(text) if _is_untrusted(found)]


def trust_texts(texts: list[bpy.types.Text]) -> None:
    """The artist has seen these texts and trusts their contents, now and in later sessions.

    Raises disk-full, disk-error, newer-file where that could not be written down; it then holds for this session.
    """
    _look_once()
    _strangers.trusted.update(text.session_uid for text in texts)
    _store().add([_digest(text) for text in texts])


def remember(text: bpy.types.Text) -> None:
    """Know the artist's own text again when the file is opened next time. Does nothing for a text that is not trusted.

    Where the disk cannot, the artist is asked then; that is no reason to stop what is done now.
    """
    _look_once()
    if not _is_untrusted(text):
        with contextlib.suppress(FluidError):
            _store().add([_digest(text)])


def came_from(text: bpy.types.Text, file: str) -> None:
    """A text was made here of what came from elsewhere, such as an imported preset: a stranger, unless it is known."""
    _look_once()
    _meet([text], {text.session_uid: file})


def origin(text: bpy.types.Text) -> Origin:
    """Where a text that is not trusted came from."""
    file = _strangers.files.get(text.session_uid, "")
    return Origin(_library_path(text) or file, text.session_uid in _strangers.trusted)


def modules(text: bpy.types.Text) -> dict[str, str]:
    """The other Lua texts that may travel with a run of `text`, by name. Those that are not trusted stay here."""
    return {name: found.as_string() for name, found in _lua_texts(text).items() if not _is_untrusted(found)}


# ===== What may run


def _is_untrusted(text: bpy.types.Text) -> bool:
    digest = _digest(text)
    if digest in _store() or digest in _shipped():
        return False
    if text.library is not None and text.session_uid not in _strangers.files:
        _strangers.meet(text, _library_path(text), digest)  # reloading a library makes new texts without a word
    if text.session_uid not in _strangers.files and digest in _strangers.contents:
        _strangers.meet(text, _strangers.contents[digest], digest)  # a copy
    if text.session_uid not in _strangers.files:
        return False
    _strangers.contents[digest] = _strangers.files[text.session_uid]
    return True


def _reachable(text: bpy.types.Text) -> list[bpy.types.Text]:
    """A text and all that it could require, and what these could, in the order in which they are met."""
    named = _lua_texts(text)
    reached = {text.session_uid: text}
    waiting = [text]
    while waiting:
        names = required_names(waiting.pop(0).as_string())
        found = named.values() if names is None else [hit for name in sorted(names) if (hit := _module(name, named))]
        for module in found:
            if module.session_uid not in reached:
                reached[module.session_uid] = module
                waiting.append(module)
    return list(reached.values())


def _module(name: str, named: dict[str, bpy.types.Text]) -> bpy.types.Text | None:
    return next((named[text_name] for text_name in text_names(name) if text_name in named), None)


def _lua_texts(text: bpy.types.Text) -> dict[str, bpy.types.Text]:
    """The other Lua texts by name. Of two with one name, that of the same file as `text` counts, then the local one."""
    others = [other for other in bpy.data.texts if other.name.endswith(".lua") and other != text]
    others.sort(key=lambda other: (other.library != text.library, other.library is not None))
    named: dict[str, bpy.types.Text] = {}
    for other in others:
        named.setdefault(other.name, other)
    return named


def _digest(text: bpy.types.Text) -> str:
    return content_hash(text.as_string())


def _library_path(text: bpy.types.Text) -> str:
    return bpy.path.abspath(text.library.filepath) if text.library is not None else ""


@cache
def _store() -> TrustStore:
    try:
        folder = user_folder("trust")
    except OSError:  # nothing can be written there: adding to the store says so
        folder = Path(bpy.utils.user_resource("EXTENSIONS") or bpy.app.tempdir) / "trust"
    return TrustStore(folder / "trusted.json")


@cache
def _shipped() -> frozenset[str]:
    """What ships with the add-on."""
    files = [*LIBRARY.glob("*/script.lua"), Path(__file__).with_name("template.lua")]
    return frozenset(content_hash(file.read_text("utf-8")) for file in files if file.is_file())


# ===== How texts come in


def _look_once() -> None:
    """Texts of a saved file that was open before the add-on was enabled are met now."""
    if not _looked:
        _meet_open_file(is_new=not bpy.data.filepath)


def _meet_open_file(is_new: bool) -> None:
    global _strangers, _looked
    _strangers, _looked = _Strangers(), True
    if not is_new:
        _meet(bpy.data.texts, {})


def _meet(texts: Iterable[bpy.types.Text], files: dict[int, str]) -> None:
    """Note those of these texts that nobody knows. `files` says by session_uid where they came from."""
    for text in texts:
        digest = _digest(text)
        if text.library is not None or (digest not in _store() and digest not in _shipped()):
            file = _library_path(text) or files.get(text.session_uid, bpy.data.filepath)
            _strangers.meet(text, file, digest)


@persistent
def _after_loading(*_: object) -> None:
    _store().look_again()
    _meet_open_file(is_new=False)


@persistent
def _before_import(_importing: bpy.types.BlendImportContext) -> None:
    _look_once()
    _strangers.before_import = {text.session_uid for text in bpy.data.texts}


@persistent
def _after_import(importing: bpy.types.BlendImportContext) -> None:
    """Append, link, paste, drag and drop. What equals a text that the artist has here anyway is no stranger."""
    own = {_digest(text) for text in bpy.data.texts if _is_own_before_import(text)}
    came = [text for text in bpy.data.texts if text.session_uid not in _strangers.before_import]
    files = {
        item.id.session_uid: bpy.path.abspath(item.source_library.filepath)
        for item in importing.import_items
        if item.id_type == "TEXT" and item.id is not None and item.source_library is not None
    }
    _meet([text for text in came if text.library is not None or _digest(text) not in own], files)


def _is_own_before_import(text: bpy.types.Text) -> bool:
    return text.session_uid in _strangers.before_import and not _is_untrusted(text)


@persistent
def _after_change(*_: object) -> None:
    """Look at texts that are new, such as a copy that was made local, before the artist goes on writing in them."""
    if not _strangers.files:
        return
    for text in bpy.data.texts:
        if text.session_uid not in _strangers.compared:
            _strangers.compared.add(text.session_uid)
            _is_untrusted(text)


@persistent
def _before_saving(*_: object) -> None:
    """What the artist writes and saves is known when the file is opened again, whether it was run or not."""
    _look_once()
    scripts = {found.fluid_addon.text for found in bpy.data.objects if simulation.is_simulation(found)} - {None}
    for text in bpy.data.texts:
        if text.name.endswith(".lua") or text in scripts:
            remember(text)


_HANDLERS = {
    "load_post": _after_loading,
    "blend_import_pre": _before_import,
    "blend_import_post": _after_import,
    "depsgraph_update_post": _after_change,
    "save_pre": _before_saving,
}


def register() -> None:
    for name, handler in _HANDLERS.items():
        getattr(bpy.app.handlers, name).append(handler)
    # Enabled by hand, the open file is looked at as soon as Blender shows it; without a window, when it is needed.
    if not bpy.app.background:
        bpy.app.timers.register(_look_once, first_interval=0.0)


def unregister() -> None:
    global _strangers, _looked
    if bpy.app.timers.is_registered(_look_once):
        bpy.app.timers.unregister(_look_once)
    for name, handler in _HANDLERS.items():
        getattr(bpy.app.handlers, name).remove(handler)
    _strangers, _looked = _Strangers(), False
    _store.cache_clear()
    _shipped.cache_clear()
