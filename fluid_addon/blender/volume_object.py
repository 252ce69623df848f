# SPDX-License-Identifier: GPL-3.0-or-later
"""A bake folder becomes Volume objects, one for each sequence of files in it.

The objects are plain Blender data: they play, render and travel without the add-on. Two custom properties let a
running bake, or a later one, find them again.
"""

from __future__ import annotations

from pathlib import Path

import bpy

from ..diagnostics import fail
from ..volumes.bake import Bake
from ..volumes.sequences import BakedSequence, sequences
from .material import look_of, smoke_material
from .sequence import play_frames
from .survey import survey_frame

__all__ = ["BAKE", "FILE", "import_bake", "intact_sequences", "set_frame_range", "update_bake"]

#: Custom property of the object: the bake that it shows, by the name of its folder, which ends in the bake's token.
BAKE = "fluid_bake"
#: Custom property of the object: the file that it names to Blender, as the bake's manifest calls it.
FILE = "fluid_file"

SUFFIX = ".vdb"


def import_bake(
    folder: str | Path,
    *,
    scene: bpy.types.Scene | None = None,
    collection: bpy.types.Collection | None = None,
    name: str | None = None,
) -> list[bpy.types.Object]:
    """Make a Volume object with a material for each sequence of the bake in `folder`, and link it.

    It goes into `collection`, or the scene's own one; `scene` is by default the current one. `name` is by default that
    of the bake. Timeline frame N shows the file whose name ends in N, or the nearest earlier one. Files that are
    missing or incomplete are left out.

    Raises bake-missing, bake-corrupt, bake-empty, and what reading a frame raises.
    """
    bake = Bake.open(Path(folder))
    found = intact_sequences(bake)
    newest = [sequence.frames[-1] for sequence in found]
    surveys = [survey_frame(bake.folder.joinpath(frame.path), look_of(frame.grids).shapes) for frame in newest]
    target = collection or (scene or bpy.context.scene).collection
    objects = []
    for sequence, survey in zip(found, surveys, strict=True):
        title = name or bake.name
        if len(found) > 1:
            title = f"{title} {sequence.prefix.strip(' _.-') or sequence.folder}".strip()
        volume = bpy.data.volumes.new(title)
        volume.velocity_unit = "SECOND"
        volume.materials.append(smoke_material(title, look_of(_kinds(sequence)), survey))
        shown = bpy.data.objects.new(title, volume)
        shown[BAKE] = bake.folder.resolve().name
        _play(shown, bake, sequence, anew=True)
        target.objects.link(shown)
        objects.append(shown)
    return objects


def update_bake(shown: bpy.types.Object) -> int:
    """Let an object of `import_bake` show the frames that its bake has finished since; returns how many it shows now.

    Its material, its place and an offset that the artist no longer animates stay as they are.
    Raises bake-missing, bake-corrupt, bake-empty.
    """
    named = shown.get(FILE)
    if shown.type != "VOLUME" or named is None:
        raise fail("bake-missing", f'The object "{shown.name}" shows no bake.', "Import the bake again.")
    # Blender keeps the path of the volume right when either file is moved; a copy of the folder's path would go stale.
    folder = Path(bpy.path.abspath(shown.data.filepath)).parents[named.count("/")]
    bake = Bake.open(folder)
    for sequence in intact_sequences(bake):
        if any(frame.path == named for frame in sequence.frames):
            _play(shown, bake, sequence, anew=False)
            return len(sequence.frames)
    raise fail("bake-missing", f'The bake in "{folder}" has no intact file "{named}".', "Import the bake again.")


def _play(shown: bpy.types.Object, bake: Bake, sequence: BakedSequence, *, anew: bool) -> None:
    if shown.get(FILE) != sequence.first_path:
        shown[FILE] = sequence.first_path
        shown.data.filepath = _path_for_blender(bake.folder.joinpath(sequence.first_path))
    if sequence.digits:
        play_frames(shown.data, _numbers(sequence), anew=anew)


def set_frame_range(scene: bpy.types.Scene, folder: str | Path) -> None:
    """Let the frame range of `scene` be that of a bake's frames. Leaves it alone where no frame has a number."""
    numbers = [number for sequence in intact_sequences(Bake.open(Path(folder))) for number in _numbers(sequence)]
    if numbers:
        scene.frame_start, scene.frame_end = min(numbers), max(numbers)


def intact_sequences(bake: Bake) -> list[BakedSequence]:
    """The sequences that Blender can show, without the files that are missing or have another size than was written.

    Raises bake-empty or bake-corrupt where nothing is left.
    """
    volumes = [frame for frame in bake.frames if frame.path.lower().endswith(SUFFIX)]
    if not volumes:
        if bake.frames:
            hint = 'Let the script export "smoke_####.vdb": Blender shows no other files.'
            raise fail("bake-empty", f'The bake "{bake.name}" has no frame that ends in "{SUFFIX}".', hint)
        hint = "Wait for the first frame, or let the script export one."
        raise fail("bake-empty", f'The bake "{bake.name}" has no finished frame yet.', hint)
    damaged = {frame.path: why for frame, why in bake.damaged()}
    intact = [frame for frame in volumes if frame.path not in damaged]
    if not intact:
        path = volumes[0].path
        message = f'All frames of the bake "{bake.name}" are damaged; "{path}" for one: {damaged[path]}.'
        raise fail("bake-corrupt", message, "Run the simulation again.")
    return sequences(intact)


def _kinds(sequence: BakedSequence) -> dict[str, str]:
    return {name: kind for frame in sequence.frames for name, kind in frame.grids.items()}


def _numbers(sequence: BakedSequence) -> list[int]:
    return [frame.frame for frame in sequence.frames if frame.frame is not None]


def _path_for_blender(file: Path) -> str:
    """Relative to the .blend file, if there is one and the artist wants that, so that both can be moved together."""
    absolute = str(file.resolve())
    if bpy.data.is_saved and bpy.context.preferences.filepaths.use_relative_paths:
        try:
            return bpy.path.relpath(absolute)
        except ValueError:  # on another drive
            return absolute
    return absolute
