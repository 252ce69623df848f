# SPDX-License-Identifier: GPL-3.0-or-later
"""What is asked of a run, as plain data that can travel to a worker."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["RunRequest"]

ParameterValue = float | bool | dict[int, float]


@dataclass(frozen=True)
class RunRequest:
    """A script and how to run it.

    Attributes:
        script: path of the Lua file; with `source` it is only the name for messages.
        source: the script's text where it is not that of a file.
        folder: where modules and grid files of the script are looked for; by default the folder of `script`.
        output: folder in which the bake gets a folder of its own.
        parameters: values by name, or samples by frame.
        fit_parameters: move values that do not fit the script's declarations into their range, and say so in a note,
            instead of refusing them.
        first_frame, last_frame: exports before the first are left out, steps after the last are not computed.
        objects: mesh files of the scene's objects by name; a #### in a file's name stands for the frame.
        scene: in Blender, the scene's objects: each name with what it is where that is no mesh, else "".
        capture: folder of the meshes that were captured of them; None in a check.
        texts: further modules by name, for require.
        lua_seconds, lua_memory_mb: limits of the script's own work.
        details: what the bake's manifest is to remember of who asked; must fit into JSON.
        resume: folder of a bake that is to go on from its last checkpoint; None starts a new one.
        accept_changes: go on also where script or parameters are not those of the checkpoint, in a new bake folder.
        checkpoint_seconds: of work between two checkpoints; 0 makes none.
        careful: wait for each kernel by itself, so that a device that is lost names the one that it was lost in.
        memory_mb: limit of a worker's memory as a whole; by default it leaves the machine some room.
        called: what messages call the script; by default `script`.
    """

    script: str
    output: str = "bakes"
    source: str | None = None
    folder: str | None = None
    parameters: dict[str, ParameterValue] = field(default_factory=dict)
    fit_parameters: bool = False
    first_frame: int | None = None
    last_frame: int | None = None
    device: str | None = None
    gpu_count: int | None = None
    objects: dict[str, str] = field(default_factory=dict)
    scene: dict[str, str] | None = None
    capture: str | None = None
    texts: dict[str, str] = field(default_factory=dict)
    lua_seconds: float = 10.0
    lua_memory_mb: int = 512
    details: dict[str, Any] = field(default_factory=dict)
    resume: str | None = None
    accept_changes: bool = False
    checkpoint_seconds: float = 30.0
    careful: bool = False
    memory_mb: int | None = None
    called: str | None = None

    @property
    def script_folder(self) -> Path:
        """Where modules and grid files of the script are looked for."""
        return Path(self.folder).resolve() if self.folder else Path(self.script).resolve().parent

    @property
    def bake_name(self) -> str:
        """What the bake is called: the script's name, or its folder's where every script is called script.lua."""
        path = Path(self.script)
        return path.resolve().parent.name if path.stem == "script" else path.stem

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self))

    @staticmethod
    def from_json(text: str) -> RunRequest:
        """The inverse of `to_json`; frame numbers of samples become integers again."""
        data = json.loads(text)
        data["parameters"] = {
            name: {int(frame): number for frame, number in value.items()} if isinstance(value, dict) else value
            for name, value in data["parameters"].items()
        }
        return RunRequest(**data)
