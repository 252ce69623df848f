# SPDX-License-Identifier: GPL-3.0-or-later
"""The simulations of a scene without a window: run to their end in this thread, so that a render can follow."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence

import bpy

from ..diagnostics import FluidError, Kind, did_you_mean, fail, render
from ..run.interrupt import on_interrupt
from ..run.terminal import Terminal
from . import bakes, live, simulation
from . import trust as trusting

__all__ = ["run_scene"]


def run_scene(
    scene: bpy.types.Scene | None = None,
    *,
    simulations: Sequence[str] | None = None,
    trust: bool = False,
    resume: bool = False,
) -> int:
    """Run the simulations of a scene, one after the other by name, and let the scene show their frames.

    Progress and errors are printed. A simulation that fails does not keep the next one from running.

    Args:
        scene: by default the current one.
        simulations: names of objects; by default all simulations of the scene.
        trust: trust the scripts, though they came with a file and nobody has looked at them on this machine.
        resume: a simulation whose last bake was not finished goes on from its checkpoint; any other one begins anew.

    Returns:
        0 when all came to their end, else the exit code of the first that did not, as on the command line:
        2 usage, 3 the script, 4 no device, 5 the disk, 6 the worker died, 130 stopped by Ctrl-C or a termination.
    """
    code = 0
    try:
        tokens = [found.fluid_addon.token for found in _chosen(scene or bpy.context.scene, simulations)]
    except FluidError as error:
        return _tell(error)
    for token in tokens:
        ended = _run(token, scene or bpy.context.scene, trust, resume)
        code = code or ended
        if ended == Kind.CANCELLED.value:
            return ended
    return code


def _chosen(scene: bpy.types.Scene, names: Sequence[str] | None) -> list[bpy.types.Object]:
    there = {found.name: found for found in simulation.simulations(scene)}
    if not there:
        raise fail("no-simulation", f'The scene "{scene.name}" has no simulation.', "Add a preset, and save the file.")
    for name in names or ():
        if name not in there:
            raise fail("no-simulation", f'There is no simulation "{name}".', did_you_mean(name, there))
    return list(there.values()) if names is None else [there[name] for name in names]


def _run(token: str, scene: bpy.types.Scene, trust: bool, resume: bool) -> int:
    found = simulation.find(token)
    bakes.look_again(found)
    left = bakes.unfinished(found) if resume else None
    print(f'Simulation "{found.name}"' + (f", from frame {left.frame}" if left else ""), flush=True)
    strangers = trusting.untrusted_texts(found.fluid_addon.text) if found.fluid_addon.text else []
    if strangers:
        if not trust:
            named = ", ".join(f'"{text.name}"' for text in strangers)
            message = f'The simulation "{found.name}" runs {named}, which came with a file and is not trusted here.'
            return _tell(
                fail(
                    "untrusted-script",
                    message,
                    "Read it, then call run_scene(trust=True), or add --trust to the command.",
                )
            )
        with contextlib.suppress(FluidError):  # where it cannot be written down, it holds for this run
            trusting.trust_texts(strangers)
    try:
        live.start(found, scene, resume=left is not None)
    except FluidError as error:
        return _tell(error)
    try:
        with on_interrupt(lambda: live.stop(token)):
            return live.wait(token, Terminal(sys.stderr, sys.stdout).show)
    finally:
        if live.RUNS.is_running(token):  # something else than a signal has ended this
            live.RUNS.close()


def _tell(error: FluidError) -> int:
    for problem in error.diagnostics:
        print(render(problem), file=sys.stderr, flush=True)
    return error.kind.value
