# SPDX-License-Identifier: GPL-3.0-or-later
"""`blender --command fluid_addon VERB …`: the command line, where Blender is the only Python that there is.

The verbs are those of `python -m fluid_addon`. One thing is added: `run SCENE.blend` runs the simulations of a file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpy

from ..cli import Parser, exit_code_of, main
from ..diagnostics import Kind, fail
from .headless import run_scene

__all__: list[str] = []

COMMAND = "fluid_addon"
PROG = f"blender --command {COMMAND}"
SUFFIX = ".blend"
ABOUT_SCENES = "run SCENE.blend [--trust] [--resume] [--save] runs the simulations of a Blender file."

_handle: Any = None


def _execute(arguments: list[str]) -> int:
    try:
        if arguments[:1] == ["run"] and any(word.lower().endswith(SUFFIX) for word in arguments[1:]):
            return exit_code_of(lambda: _run_file(arguments[1:]))
        return main(arguments, prog=PROG, epilog=ABOUT_SCENES)
    except SystemExit as end:  # argparse ends so after --help
        return int(end.code or 0)


def _run_file(arguments: list[str]) -> int:
    parser = Parser(prog=f"{PROG} run", description="Run the simulations of a Blender file, one after the other.")
    parser.add_argument("file", metavar="SCENE.blend")
    parser.add_argument("--trust", action="store_true", help="run its scripts though nobody has read them here")
    parser.add_argument(
        "--resume", action="store_true", help="go on from the last checkpoint where a run was not finished"
    )
    parser.add_argument("--save", action="store_true", help="save the file afterwards: it shows the new frames then")
    chosen = parser.parse_args(arguments)
    path = Path(chosen.file).resolve()
    if not path.is_file():
        raise fail("usage", f'There is no file "{path}".', "Name a .blend file.")
    try:
        bpy.ops.wm.open_mainfile(filepath=str(path), load_ui=False, use_scripts=False)
    except RuntimeError as error:
        raise fail("usage", f'Blender cannot open "{path}".', _said(error)) from None
    code = run_scene(trust=chosen.trust, resume=chosen.resume)
    if chosen.save and code != Kind.USAGE.value:
        try:
            bpy.ops.wm.save_mainfile()
        except RuntimeError as error:
            raise fail("disk-error", f'"{path}" cannot be saved.', _said(error)) from None
    return code


def _said(error: RuntimeError) -> str:
    """What an operator of Blender reported, without what it puts before each line."""
    return " ".join(line.removeprefix("Error: ") for line in str(error).strip().splitlines())


def register() -> None:
    global _handle
    _handle = bpy.utils.register_cli_command(COMMAND, _execute)


def unregister() -> None:
    global _handle
    if _handle is not None:
        bpy.utils.unregister_cli_command(_handle)
        _handle = None
