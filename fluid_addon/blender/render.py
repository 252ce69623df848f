# SPDX-License-Identifier: GPL-3.0-or-later
"""A picture of a bake, made with Cycles on the processor: the bake as it would lie in a scene, on a stage of its own.

bpy is imported when a picture is asked for, so that the command line can say in its own words that it is missing.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import IO, TYPE_CHECKING

from ..diagnostics import fail
from ..volumes.atomic import atomic_write, disk_problem
from ..volumes.bake import Bake, BakedFrame
from ..volumes.sequences import BakedSequence

if TYPE_CHECKING:
    import bpy

    from .survey import Box

__all__ = ["render_bake"]

#: Enough for the denoiser to make smooth smoke of, and about 15 s for a plume of 64×64×96 voxels on two cores.
SAMPLES = 12
LARGEST_SIDE = 16384  # pixels
#: Voxels of a step through the volume. The smoke is soft: finer steps cost time and show nothing.
STEP = 3.0
#: How many frames of the bake the camera is framed on, so that pictures of different frames fit together.
FRAMED_ON = 5


def render_bake(
    folder: str | Path,
    output_png: str | Path,
    *,
    frame: int | None = None,
    resolution: tuple[int, int] = (640, 640),
    samples: int = SAMPLES,
    view: Sequence[float] | None = None,
) -> int | None:
    """Write a picture of what the bake shows at timeline frame `frame`, by default its last one.

    `view` is the direction from the subject to the camera (Z is up), by default that of the stage.

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
    with tempfile.TemporaryFile() as told, _printing_into(told.fileno()):
        bpy = _blender()
        from .volume_object import intact_sequences

        found = intact_sequences(bake)
        moment, shown = _moment([baked for sequence in found for baked in sequence.frames], frame)
        try:
            output.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise disk_problem(output, error) from error
        before = set(bpy.data.user_map())
        try:
            scene = bpy.data.scenes.new("Fluid picture")
            # Told the scene by its name, the operator would set its frame to that of the scene that is open.
            with bpy.context.temp_override(scene=scene):
                _use_cycles(scene, samples)
                _fill(scene, bake, found, moment, resolution, view)
                with atomic_write(output.absolute()) as part:  # Blender 5.2 writes no path without a folder
                    _write_picture(scene, part, told)
        finally:
            made = [block for block in bpy.data.user_map() if block not in before and block.id_type != "IMAGE"]
            bpy.data.batch_remove(made)
    return shown


def _blender() -> ModuleType:
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
    # Beyond its ends the picture stays as it is, and a frame beyond Blender's timeline cannot be set.
    return min(max(wanted, numbers[0] - 1), numbers[-1]), earlier[-1] if earlier else None


def _fill(
    scene: bpy.types.Scene,
    bake: Bake,
    found: list[BakedSequence],
    moment: int,
    resolution: tuple[int, int],
    view: Sequence[float] | None,
) -> None:
    """Put the bake on a stage, at timeline frame `moment`."""
    from .stage import build_stage
    from .volume_object import import_bake

    scene.frame_set(moment)
    scene.render.resolution_x, scene.render.resolution_y = resolution
    scene.render.resolution_percentage = 100
    build_stage(scene, _visible(bake, found), view)
    import_bake(bake.folder, scene=scene)


def _visible(bake: Bake, found: list[BakedSequence]) -> Box:
    """The box, over a few frames of each sequence, of what can be seen."""
    from .material import look_of
    from .survey import survey_frame

    box: Box | None = None
    for sequence in found:
        last = len(sequence.frames) - 1
        for place in sorted({round(last * step / (FRAMED_ON - 1)) for step in range(FRAMED_ON)}):
            baked = sequence.frames[place]
            survey = survey_frame(bake.folder.joinpath(baked.path), look_of(baked.grids).shapes)
            box = survey.visible.united(box) if survey.visible else box
    if box is None:
        names = sorted({name for sequence in found for baked in sequence.frames for name in baked.grids})
        listed = ", ".join(f'"{name}"' for name in names)
        hint = 'Export a field like "density" or "flame" that is above 0 somewhere.'
        raise fail("bake-empty", f'The bake "{bake.name}" has nothing that can be seen in {listed}.', hint)
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


def _write_picture(scene: bpy.types.Scene, part: Path, told: IO[bytes]) -> None:
    bpy = _blender()
    with contextlib.suppress(TypeError):  # a colour configuration of the studio's own has other looks
        scene.view_settings.look = "AgX - Medium High Contrast"
    scene.render.filepath = str(part)
    scene.render.use_file_extension = False
    image = scene.render.image_settings
    if hasattr(image, "media_type"):  # from Blender 5.0: the formats of video lie behind another one
        image.media_type = "IMAGE"
    image.file_format, image.color_mode, image.color_depth = "PNG", "RGB", "8"
    try:
        result = bpy.ops.render.render(write_still=True)
    except RuntimeError as error:
        raise OSError(f"Blender made no picture: {error}") from error
    if result != {"FINISHED"} or part.stat().st_size == 0:
        told.seek(0)
        said = told.read().decode("utf-8", errors="replace").strip().splitlines()
        raise OSError(f"Blender made no picture: {said[-1] if said else result}")


@contextlib.contextmanager
def _printing_into(target: int) -> Iterator[None]:
    """What Blender itself prints (a line for every few samples) goes to an open file instead of the terminal."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [(number, os.dup(number)) for number in (1, 2)]
    try:
        for number, _ in kept:
            os.dup2(target, number)
        yield
    finally:
        for number, copy in kept:
            os.dup2(copy, number)
            os.close(copy)
