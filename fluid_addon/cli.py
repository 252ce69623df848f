# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line: the same verbs as in Blender, without Blender.

Scripts run in workers, and Blender imports this, too. So what needs Lua or a graphics driver in this very process is
imported in the verb that does.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from . import VERSION
from .diagnostics import FluidError, Kind, did_you_mean, fail, human_bytes, render
from .run import RunRequest, WorkerRun
from .run.device_list import DeviceList
from .run.interrupt import on_interrupt
from .run.mpi_launch import is_first_rank, launched_by_mpi
from .run.presets import find_preset, list_presets
from .run.terminal import Terminal

__all__ = ["Parser", "exit_code_of", "main"]


def _usage(message: str, hint: str | None = None) -> FluidError:
    return fail("usage", message, hint)


def _frames(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+)(?:-(\d+))?", text)
    if not match:
        raise _usage(f'"--frames {text}" is not a range.', "Write --frames 1-120.")
    first, last = int(match[1]), int(match[2] or match[1])
    if last < first or last < 1:
        raise _usage(f'"--frames {text}" ends before it begins.', "Write --frames 1-120.")
    return first, last


def _parameter(text: str) -> tuple[str, float | bool]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise _usage(f'"--param {text}" is not a parameter.', "Write --param buoyancy=2.")
    if value.lower() in ("true", "false"):
        return name, value.lower() == "true"
    try:
        return name, float(value) if re.search(r"[.eEn]", value) else int(value)
    except ValueError:
        raise _usage(f'"{value}" is not a value for "{name}".', "Write a number, true or false.") from None


def _object(text: str) -> tuple[str, str]:
    name, equals, file = text.partition("=")
    if not equals or not name or not file:
        raise _usage(f'"--object {text}" is not an object and its file.', "Write --object Ball=ball.obj.")
    return name, str(Path(file).absolute())


class Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        words = re.findall(r"invalid choice: '([^']*)'", message)
        hint = did_you_mean(words[0], _VERBS) if words else f'See "{self.prog} --help".'
        raise _usage(f"{message[:1].upper()}{message[1:]}.", hint)


def _build_parser(prog: str, epilog: str | None) -> argparse.ArgumentParser:
    parser = Parser(prog=prog, description="Fluid simulations written in Lua, computed on Vulkan.", epilog=epilog)
    parser.add_argument("--version", action="version", version=VERSION)
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    run = verbs.add_parser("run", help="run a script; frames go into a bake folder of their own", epilog=epilog)
    run.add_argument("script", metavar="SCRIPT.lua")
    run.add_argument("-o", "--output", metavar="DIR", default="bakes", help="where bake folders are made (bakes)")
    run.add_argument("--frames", metavar="A-B", help="export frames A to B only, and stop after B")
    _add_device_options(run)
    _add_object_option(run)
    run.add_argument("--resume", action="store_true", help="go on with the script's last bake in DIR")
    about = "with --resume: go on in a copy of the bake also where script or parameters were changed"
    run.add_argument("--accept-changes", action="store_true", help=about)
    about = "work between two checkpoints (30); 0 makes none"
    run.add_argument("--checkpoint-seconds", metavar="S", type=float, default=30.0, help=about)
    run.add_argument("--in-process", action="store_true", help="run here, not in a worker process")
    run.add_argument("--json", action="store_true", help="one event a line instead of a progress bar")
    run.add_argument("--lua-seconds", metavar="S", type=float, default=10.0, help="limit of Lua between engine calls")
    run.add_argument("--lua-memory", metavar="MB", type=int, default=512, help="limit of the script's memory")
    run.add_argument("--memory", metavar="MB", type=int, help="limit of a worker process (what leaves room to others)")
    check = verbs.add_parser("check", help="every problem of a script, nothing run")
    check.add_argument("script", metavar="SCRIPT.lua")
    _add_object_option(check)
    check.add_argument("--json", action="store_true")
    devices = verbs.add_parser("devices", help="Vulkan devices, and which one a run would take")
    devices.add_argument("--plan", metavar="SCRIPT.lua", help="what a script would take of them; nothing is computed")
    _add_device_options(devices)
    _add_object_option(devices)
    devices.add_argument("--json", action="store_true", help="one JSON object instead of text")
    presets = verbs.add_parser("presets", help="list the presets, or write one to a file")
    presets.add_argument("name", nargs="?")
    presets.add_argument("file", nargs="?")
    picture = verbs.add_parser("render", help="render a bake with Cycles (needs bpy)")
    picture.add_argument("bake", metavar="DIR")
    picture.add_argument("-o", "--output", metavar="PNG", required=True)
    picture.add_argument("--frame", type=int, help="timeline frame (the last)")
    verbs.add_parser("report", help="versions, devices and the last log: one paste for a bug report")
    return parser


def _add_device_options(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--device", metavar="D", help="index or part of the name of a Vulkan device")
    verb.add_argument("--gpu-count", metavar="N", type=int)
    verb.add_argument("--param", metavar="K=V", action="append", default=[], help="set a parameter of the script")


def _add_object_option(verb: argparse.ArgumentParser) -> None:
    about = "mesh file of an object that the script asks for; ball_####.obj for one file a frame"
    verb.add_argument("--object", metavar="NAME=FILE.obj", action="append", default=[], help=about)


def _run(arguments: argparse.Namespace) -> int:
    first, last = _frames(arguments.frames) if arguments.frames else (None, None)
    if arguments.lua_seconds <= 0 or arguments.lua_memory <= 0:
        raise _usage("The limits of Lua have to be above 0.")
    if arguments.memory is not None and arguments.memory <= 0:
        raise _usage("The limit of memory has to be above 0.")
    if not arguments.checkpoint_seconds >= 0:
        raise _usage("The seconds between checkpoints cannot be below 0.")
    if arguments.accept_changes and not arguments.resume:
        raise _usage("--accept-changes says how to go on, and needs --resume.")
    request = RunRequest(
        script=arguments.script,
        output=arguments.output,
        parameters=dict(_parameter(text) for text in arguments.param),
        objects=dict(_object(text) for text in arguments.object),
        first_frame=first,
        last_frame=last,
        device=arguments.device,
        gpu_count=arguments.gpu_count,
        lua_seconds=arguments.lua_seconds,
        lua_memory_mb=arguments.lua_memory,
        memory_mb=arguments.memory,
        accept_changes=arguments.accept_changes,
        checkpoint_seconds=arguments.checkpoint_seconds,
    )
    if arguments.resume:
        from .run.checkpoints import bake_to_resume

        request = replace(request, resume=str(bake_to_resume(Path(arguments.output), request.bake_name)))
    show: Callable[[dict[str, Any]], None] = _print_json if arguments.json else Terminal(sys.stderr, sys.stdout).show
    if launched_by_mpi():
        return _run_on_ranks(request, show)
    if arguments.in_process:
        from .run.session import run_script

        cancel = threading.Event()
        with on_interrupt(cancel.set):
            return run_script(request, show, cancel)
    return _show_all(WorkerRun(request), show)


def _show_all(worker: WorkerRun, show: Callable[[dict[str, Any]], None]) -> int:
    """Show what a worker tells until its end. Returns the exit code."""
    code = Kind.WORKER.value
    with on_interrupt(worker.cancel):
        try:
            for event in worker.events():
                show(event)
                code = event.get("exit_code", code)
        finally:
            worker.close()
    return code


def _run_on_ranks(request: RunRequest, show: Callable[[dict[str, Any]], None]) -> int:
    """This process's part of a run that an MPI launcher has started in several."""
    from .engine.mpi_carrier import MpiCarrier
    from .run.isolation import forget_language
    from .run.ranks import Leader, follow
    from .run.session import run_script

    cancel = threading.Event()
    with on_interrupt(cancel.set):
        carrier = MpiCarrier(cancel.is_set)
        if carrier.rank:
            return follow(request, carrier, cancel.is_set)
        forget_language()
        code = 1
        try:
            code = run_script(request, show, cancel, Leader(carrier))
        finally:
            carrier.end(code)
        return code


def _print_json(event: dict[str, Any]) -> None:
    print(json.dumps(event) + "\n", end="", flush=True)  # in one piece: frames are told by a thread of their own


def _check(arguments: argparse.Namespace) -> int:
    objects = dict(_object(text) for text in arguments.object)
    count = 0

    def show(event: dict[str, Any]) -> None:
        nonlocal count
        if event["event"] == "error":
            count += len(event["diagnostics"])
            _show_problems(event, arguments.json)

    code = _show_all(WorkerRun(RunRequest(script=arguments.script, objects=objects), verb="check"), show)
    if not arguments.json and code != Kind.CANCELLED.value:
        print(f"{count} problem{'s' if count != 1 else ''}." if count else "No problem found.")
    return code


def _show_problems(event: dict[str, Any], as_json: bool) -> None:
    if as_json:
        _print_json(event)
    else:
        print("\n".join(item["text"] for item in event["diagnostics"]))


def _plan(arguments: argparse.Namespace) -> int:
    request = RunRequest(
        script=arguments.plan,
        parameters=dict(_parameter(text) for text in arguments.param),
        objects=dict(_object(text) for text in arguments.object),
        device=arguments.device,
        gpu_count=arguments.gpu_count,
    )
    plans: list[str] = []

    def show(event: dict[str, Any]) -> None:
        if event["event"] == "error":
            _show_problems(event, arguments.json)
        elif event["event"] == "plan":
            plans.append(event["json" if arguments.json else "text"])

    code = _show_all(WorkerRun(request, verb="plan"), show)
    if plans:
        print("\n\n".join(plans))
    return code


def _devices(arguments: argparse.Namespace) -> int:
    if arguments.plan is not None:
        return _plan(arguments)
    if arguments.json:
        found = DeviceList.ask()
        print(found.to_json())
        return found.exit_code
    from .gpu.device import choose, list_devices

    devices = list_devices()
    taken = choose(devices, None)
    for device in devices:
        mark = "*" if device == taken else " "
        api = ".".join(map(str, device.api))
        print(f'{mark} {device.index}  "{device.name}", {device.kind}, Vulkan {api}, driver {device.driver}')
        sizes = f"{human_bytes(device.memory)} memory, {human_bytes(device.max_allocation)} in one piece"
        half = "yes" if device.half_storage else "no"
        print(f"     {sizes}, 16-bit fields: {half}" + (f"; unusable: {device.why_not}" if device.why_not else ""))
    print("* is what a run takes.")
    return 0


def _presets(arguments: argparse.Namespace) -> int:
    if arguments.name is None:
        for preset in list_presets():
            print(f"{preset.name:<20} {f'broken: {preset.problem}' if preset.problem else preset.description}")
        return 0
    preset = find_preset(arguments.name)
    if arguments.file is None:
        raise _usage("A file to write to is missing.", f"Write: presets {arguments.name} FILE.lua")
    target = Path(arguments.file)
    if target.exists():
        raise _usage(f'"{target}" exists already.', "Choose another name.")
    copies = {target.parent / file.name: file.read_bytes() for file in preset.extra_files}
    for path, content in copies.items():
        if path.exists() and path.read_bytes() != content:
            raise _usage(
                f'"{path}", which the preset reads, exists already with other content.', "Choose another folder."
            )
    target.write_text(preset.source(), "utf-8")
    print(f"Wrote {target}")
    for path, content in copies.items():
        path.write_bytes(content)
        print(f"Wrote {path}")
    return 0


def _render(arguments: argparse.Namespace) -> int:
    from .blender.render import render_bake

    output = Path(arguments.output)
    render_bake(Path(arguments.bake), output, frame=arguments.frame)
    print(f"Picture: {output}")
    return 0


def _report(_arguments: argparse.Namespace) -> int:
    from .run.report import report

    print(report())
    return 0


_VERBS: dict[str, Callable[[argparse.Namespace], int]] = {
    "run": _run,
    "check": _check,
    "devices": _devices,
    "presets": _presets,
    "render": _render,
    "report": _report,
}


def main(
    arguments: Sequence[str] | None = None, *, prog: str = "python -m fluid_addon", epilog: str | None = None
) -> int:
    """Run a verb; returns the exit code: 0 done, 2 usage, 3 script, 4 device, 5 disk, 6 worker, 130 cancelled.

    `prog` is what the user typed before the verb, `epilog` the last line of the help.
    """

    def verb() -> int:
        parsed = _build_parser(prog, epilog).parse_args(arguments)
        return _VERBS[parsed.verb](parsed)

    return exit_code_of(verb)


def exit_code_of(work: Callable[[], int]) -> int:
    """What `work` returns; an error that it raises is printed, and its exit code returned."""
    try:
        return work()
    except FluidError as error:
        for diagnostic in error.diagnostics if is_first_rank() else ():
            print(render(diagnostic), file=sys.stderr)
        return error.kind.value
    except OSError as error:
        print(render(fail("disk-error", f"The system refused: {error}.").diagnostics[0]), file=sys.stderr)
        return Kind.DISK.value
