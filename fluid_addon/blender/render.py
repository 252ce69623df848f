# SPDX-License-Identifier: GPL-3.0-or-later
"""A picture of a bake, made with Cycles on the processor: the bake as it would lie in a scene, on a stage of its own.

bpy is imported when a picture is asked for, so that the command line can say in its own words that it is missing.
"""

from __future__ import annotations

import contextlib
import math
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ..diagnostics import fail
from ..volumes.atomic import atomic_write
from ..volumes.bake import Bake, BakedFrame

if TYPE_CHECKING:
    import bpy

    from .survey import Box

__all__ = ["render_bake"]

#: Enough for the denoiser to make smooth smoke of, and about 15 s for a plume of 64×64×96 voxels on two cores.
SAMPLES = 12
LARGEST_SIDE = 16384  # pixels
#: Voxels of a step through the volume. The smoke is soft: finer steps cost time and show nothing.
STEP = 2.0
#: How many frames of the bake the camera is framed on, so that pictures of different frames fit together.
FRAMED_ON = 5


def render_bake(
    folder: str | Path,
    output_png: str | Path,
    *,
    frame: int | None = None,
    resolution: tuple[int, int] = (640, 640),
    samples: int = SAMPLES,
) -> int | None:
    """Write a picture of what the bake shows at timeline frame `frame`, by default its last one.

    Returns the number of the frame that is shown: `frame` or the nearest earlier one that the bake has; None for a
    bake whose files have no numbers. The picture's folder is made. The scene that Blender has open stays as it is.

    Raises usage, package-missing, bake-missing, bake-corrupt, bake-empty, grid-file-corrupt, disk-full, disk-error.
    """
    output = Path(output_png)
    if output.suffix.lower() != ".png":
        raise fail("usage", f'The picture "{output}" is no PNG by its name.', 'Write for example "-o smoke.png".')
    if not all(1 <= side <= LARGEST_SIDE for side in resolution) or samples < 1:
        raise fail("usage", f"A picture of {resolution[0]}×{resolution[1]} pixels, {samples} samples, cannot be made.")
    bake = Bake.open(Path(folder))
    bpy = _blender()
    from .stage import build_stage
    from .volume_object import import_bake, intact_sequences

    frames = [found for sequence in intact_sequences(bake) for found in sequence.frames]
    moment, shown = _moment(frames, frame)
    box = _visible(bake, frames)

    before = set(bpy.data.user_map())
    scene = bpy.data.scenes.new("Fluid picture")
    try:
        scene.frame_set(moment)
        import_bake(bake.folder, scene=scene)
        scene.render.resolution_x, scene.render.resolution_y = resolution
        scene.render.resolution_percentage = 100
        build_stage(scene, box)
        _use_cycles(scene, samples)
        output.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(output) as part:
            _render(scene, part)
    finally:
        made = [block for block in bpy.data.user_map() if block not in before and block.id_type != "IMAGE"]
        bpy.data.batch_remove(made)
    return shown


def _blender() -> bpy:
    try:
        import bpy
    except ModuleNotFoundError as error:
        versions = "3.11 or 3.13"
        raise fail(
            "package-missing",
            'A picture is made by Blender, and its module "bpy" is not installed.',
            f'Install it into a Python {versions}: pip install "bpy", or import the bake in Blender itself.',
        ) from error
    return bpy


def _moment(frames: list[BakedFrame], wanted: int | None) -> tuple[int, int | None]:
    """The timeline frame to render, and the number of the file that is shown then."""
    numbers = sorted(found.frame for found in frames if found.frame is not None)
    if not numbers:
        return 1, None
    if wanted is None:
        return numbers[-1], numbers[-1]
    earlier = [number for number in numbers if number <= wanted]
    if not earlier and all(found.frame is not None for found in frames):
        message = f"The bake shows nothing at frame {wanted}: its first frame is {numbers[0]}."
        raise fail("usage", message, f"Choose a frame from {numbers[0]} to {numbers[-1]}.")
    return wanted, earlier[-1] if earlier else None


def _visible(bake: Bake, frames: list[BakedFrame]) -> Box:
    """The box, over a few frames of the whole bake, of what can be seen."""
    from .material import look_of
    from .survey import survey_frame

    ordered = sorted(frames, key=lambda found: found.frame or 0)
    last = len(ordered) - 1
    chosen = sorted({round(last * step / (FRAMED_ON - 1)) for step in range(FRAMED_ON)})
    box: Box | None = None
    names: set[str] = set()
    for found in (ordered[place] for place in chosen):
        names.update(found.grids)
        survey = survey_frame(bake.folder.joinpath(found.path), look_of(found.grids).shapes)
        if survey.visible:
            box = survey.visible.united(box)
    if box is None:
        listed = ", ".join(f'"{name}"' for name in sorted(names))
        hint = 'Export a field like "density" or "flame" that is above 0 somewhere.'
        raise fail("bake-empty", f'The bake "{bake.name}" has nothing that can be seen; its grids: {listed}.', hint)
    return box


def _use_cycles(scene: bpy.types.Scene, samples: int) -> None:
    if not hasattr(scene, "cycles"):
        import addon_utils

        if addon_utils.enable("cycles") is None:
            hint = "Choose a Blender that was built with Cycles."
            raise fail("package-missing", "This Blender has no Cycles to make a picture with.", hint)
    scene.render.engine = "CYCLES"
    scene.render.film_transparent = False
    scene.render.use_compositing = scene.render.use_sequencer = False
    cycles = scene.cycles
    cycles.device = "CPU"
    cycles.samples = samples
    cycles.use_adaptive_sampling = True
    cycles.adaptive_threshold = 0.03
    cycles.max_bounces, cycles.volume_bounces = 4, 2
    cycles.use_light_tree = False  # three suns: choosing among them costs more than it saves
    cycles.volume_step_rate = STEP
    if hasattr(cycles, "volume_biased"):  # from Blender 5.0: without it a sample takes three times as long
        cycles.volume_biased = True
    try:
        cycles.use_denoising, cycles.denoiser = True, "OPENIMAGEDENOISE"
    except TypeError:  # a build without it
        cycles.use_denoising = False
        cycles.samples = samples * 4


def _render(scene: bpy.types.Scene, part: Path) -> None:
    bpy = _blender()
    scene.render.filepath = str(part)
    scene.render.use_file_extension = False
    image = scene.render.image_settings
    if hasattr(image, "media_type"):  # from Blender 5.0: the formats of video lie behind another one
        image.media_type = "IMAGE"
    image.file_format, image.color_mode, image.color_depth = "PNG", "RGB", "8"
    with _told_to_a_file() as told:
        result = bpy.ops.render.render(write_still=True, scene=scene.name)
    if result != {"FINISHED"} or part.stat().st_size == 0:
        said = told.read_text("utf-8", errors="replace").strip().splitlines() if told.exists() else []
        raise OSError(f"Blender made no picture ({said[-1] if said else result})")


@contextlib.contextmanager
def _told_to_a_file() -> Iterator[Path]:
    """What Blender itself prints (a line for every sample) goes to a file, not to the terminal."""
    with tempfile.TemporaryDirectory() as folder:
        told = Path(folder, "blender.log")
        sys.stdout.flush()
        sys.stderr.flush()
        kept = [(number, os.dup(number)) for number in (1, 2)]
        log = os.open(told, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        try:
            for number, _ in kept:
                os.dup2(log, number)
            yield told
        finally:
            for number, copy in kept:
                os.dup2(copy, number)
                os.close(copy)
            os.close(log)
