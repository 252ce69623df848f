# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run gives to the engines of its script: where files lie, how it listens, and what it overrides."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from ..diagnostics import FluidError, Place
from ..volumes.bake import Bake
from ..volumes.scene_meshes import MeshSource
from .carrier import Carrier, LocalCarrier
from .journal import Journal

__all__ = ["EngineEnvironment", "NoParameters", "ParameterValues"]


class ParameterValues(Protocol):
    """The parameters of a run as engines see them."""

    def names(self) -> list[tuple[str, bool]]:
        """(name, is a boolean) in order of declaration; it only ever grows at its end."""
        ...

    def value_at(self, name: str, frame: int) -> float | bool:
        """The value at a frame."""
        ...


class NoParameters:
    """For engines that are used without a script."""

    def names(self) -> list[tuple[str, bool]]:
        return []

    def value_at(self, name: str, frame: int) -> float | bool:
        raise KeyError((name, frame))


@dataclass
class EngineEnvironment:
    """Everything that an engine takes from its surroundings. The defaults suit an engine used by hand.

    Attributes:
        folder: where a relative `grid_file` is looked up.
        open_bake: opens the bake folder at the first export, given the device's name; None refuses exports.
        note: told what was degraded or is worth knowing, in one sentence.
        observe: told of progress: ("memory" | "step" | "writing" | "export" …, details).
        place: the script line that is running.
        cancelled: asked while waiting.
        cache: folder for compiled kernels, or None.
        device, gpu_count: override the script's options.
        first_frame, last_frame: exports before the first are left out; steps after the last are not computed.
        objects: the meshes of an object of the scene; None where they are captured only after a check.
        exported: for each file that an engine of the run exports, by `same_file_key`: what waits until it is on disk
            and gives its path, or None where it will not be there.
        problem: in a check, told of each error so that the script goes on; None raises errors.
        carrier: joins this process to others that hold parts of the same domains; by default there are none.
        journal: of all engines of the script; it answers in place of the devices while a run resumes.
        check: nothing is computed and no device is opened.
        careful: devices run a command at a time, so that one that is lost names the kernel.
    """

    folder: Path = field(default_factory=Path.cwd)
    open_bake: Callable[[str], Bake] | None = None
    parameters: ParameterValues = field(default_factory=NoParameters)
    note: Callable[[str], None] = lambda _text: None
    observe: Callable[[str, dict[str, Any]], None] = lambda _kind, _details: None
    place: Callable[[], Place | None] = lambda: None
    cancelled: Callable[[], bool] = lambda: False
    cache: Path | None = None
    device: int | str | None = None
    gpu_count: int | None = None
    first_frame: int | None = None
    last_frame: int | None = None
    objects: Callable[[str], MeshSource | None] = lambda _name: None
    exported: dict[str, Callable[[], Path | None]] = field(default_factory=dict)
    problem: Callable[[FluidError], None] | None = None
    carrier: Carrier = field(default_factory=LocalCarrier)
    journal: Journal = field(default_factory=Journal)
    check: bool = False
    careful: bool = False
