# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds the OpenVDB module that Blender brings along; it is not on any package index.

Inside Blender it is simply importable. Outside, it lies inside the `bpy` wheel; it is loaded from there without loading
bpy, and without a look at the other packages that lie beside it (Blender's own numpy among them).
"""

from __future__ import annotations

import importlib
import importlib.machinery
import importlib.util
import os
import sys
import threading
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType

from ..diagnostics import fail

__all__ = ["openvdb"]

_NAMES = ("openvdb", "pyopenvdb")  # the newer and the older name


_loading = threading.Lock()


def openvdb() -> ModuleType:
    """The OpenVDB module. Raises package-missing where there is none, or where it cannot be loaded."""
    with _loading:  # a thread that met a module half loaded by another one crashed the process
        return _found()


@cache
def _found() -> ModuleType:
    problem: ImportError | None = None
    for name in _NAMES:
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError:
            continue
        except ImportError as error:  # it is there, but does not fit this Python
            problem = error
    for folder in _bundled_folders():
        for name in _NAMES:
            spec = importlib.machinery.PathFinder.find_spec(name, [str(folder)])
            if spec is not None and spec.loader is not None:
                try:
                    return _loaded(name, spec, folder)
                except ImportError as error:
                    problem = error
    why = f": {problem}" if problem else ""
    raise fail(
        "package-missing",
        f"VDB files need the OpenVDB module that comes with Blender, and it was not found{why}.",
        'Run this inside Blender, or install Blender as a module: pip install "bpy".',
    )


def _loaded(name: str, spec: importlib.machinery.ModuleSpec, folder: Path) -> ModuleType:
    if sys.platform == "win32":  # its libraries lie at the root of the wheel
        for place in (folder, *folder.parents):
            if place.name == "bpy":
                os.add_dll_directory(str(place))
    module = importlib.util.module_from_spec(spec)
    assert spec.loader is not None
    sys.modules[name] = module  # as an import would; whoever imports it later gets the same one
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    module.setLoggingLevel("error")  # warnings would go to the standard error stream
    return module


def _bundled_folders() -> Iterator[Path]:
    """The site-packages folders inside the bpy wheel: bpy/4.5/python/lib/python3.11/site-packages, or lib/site-packages
    on Windows. Every place that Python searches is looked at: a process that has imported bpy puts a folder in front
    whose own bpy is another one."""
    for root in dict.fromkeys(Path(place, "bpy") for place in sys.path):
        for pattern in ("*/python/lib/python3*/site-packages", "*/python/lib/site-packages"):
            yield from sorted(root.glob(pattern))
