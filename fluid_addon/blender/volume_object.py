# SPDX-License-Identifier: GPL-3.0-or-later
"""A bake folder becomes Volume objects, one for each sequence of files in it.

The objects are plain Blender data: they play, render and travel without the add-on. A few custom properties let a
running bake, or a later one, find them again.

An imported bake is shown by objects of its own. The bake of a simulation is shown by the simulation: `show_bake` is
called while a run goes on, so it reads the manifest and opens no volume file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import bpy

from ..diagnostics import fail
from ..volumes.bake import Bake
from ..volumes.growing_bake import GrowingBake
from ..volumes.sequences import BakedSequence, sequences
from .material import look_of, smoke_material, viewport_density
from .parts import make_parts, own_volume, parts_of, remember_grids
from .sequence import play_frames, show_still
from .survey import Survey, survey_frame, survey_of_records

__all__ = [
    "BAKE",
    "FILE",
    "fit_material",
    "import_bake",
    "intact_sequences",
    "set_frame_range",
    "show_bake",
    "update_bake",
]

#: Custom property of the object: the bake that it shows, by the name of its folder, which ends in the bake's token.
BAKE = "fluid_bake"
#: Custom property of the object: the file that it names to Blender, as the bake's manifest calls it.
FILE = "fluid_file"

SUFFIX = ".vdb"

#: What was read of bakes that are being filled, by folder: the newest few.
_growing: dict[Path, GrowingBake] = {}
_KEPT = 8


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
            title = f"{title} {_title(sequence)}".strip()
        volume = bpy.data.volumes.new(title)
        volume.velocity_unit = "SECOND"
        shown = bpy.data.objects.new(title, volume)
        _dress(shown, _kinds(sequence), survey)
        _play(shown, bake.folder, sequence, anew=True)
        target.objects.link(shown)
        objects.append(shown)
    return objects


def update_bake(shown: bpy.types.Object) -> int:
    """Let an object of `import_bake` show the frames that its bake has finished since; returns how many it shows now.

    Its material, its place and an offset that the artist no longer animates stay as they are.
    Raises bake-missing, bake-corrupt, bake-empty.
    """
    folder, sequence = _shown_sequence(shown)
    _play(shown, folder, sequence, anew=False)
    return len(sequence.frames)


def show_bake(simulation: bpy.types.Object, folder: str | Path) -> int | None:
    """Let a simulation show what is finished of the bake in `folder`, and what it showed before no more.

    Its own volume shows the sequence that the bake began with, a part of it each further one (see module parts). Only
    a volume without a material gets one. Nothing changes before there is something to see. Called again and again, it
    touches only what is not yet right, also where Undo has brought back what was.

    Returns the number of the newest frame on the timeline, None where there is none yet.
    Raises bake-missing, bake-corrupt.
    """
    bake = _looked_at(folder)
    found = _volumes(bake)
    if not found:
        _say_if_damaged(bake.name, bake.damaged)
        return None
    parts = make_parts(simulation, _distinct(_title(sequence) for sequence in found[1:]))
    for shown, sequence in zip((simulation, *parts), found, strict=True):
        anew = shown.get(BAKE) != bake.folder.name or not shown.data.filepath
        if anew:
            own_volume(shown)
        _play(shown, bake.folder, sequence, anew=anew)
        if anew and not any(slot.material for slot in shown.material_slots):
            _fit(shown, bake.folder, sequence)
    return max((number for sequence in found for number in _numbers(sequence)), default=None)


def fit_material(simulation: bpy.types.Object) -> None:
    """Give a simulation and its parts fresh materials that fit the grids of the bake that they show.

    Raises bake-missing, bake-corrupt, bake-empty, and what reading a frame raises.
    """
    for shown in (simulation, *parts_of(simulation)):
        _fit(shown, *_shown_sequence(shown))


def _fit(shown: bpy.types.Object, folder: Path, sequence: BakedSequence) -> None:
    _dress(shown, _kinds(sequence), _survey(folder, sequence))


def _dress(shown: bpy.types.Object, kinds: dict[str, str], survey: Survey) -> None:
    """Give an object a fitting material, and what the viewport's solid mode needs to show the same."""
    look, volume = look_of(kinds), shown.data
    made = smoke_material(shown.name, look, survey)
    if shown.material_slots:
        shown.material_slots[0].material = made
    else:
        volume.materials.append(made)
    volume.display.density = viewport_density(look, survey)
    if look.outline is not None:  # solid mode shows the active grid; Blender has them in the order of their bytes
        volume.grids.active_index = sorted(kinds, key=str.encode).index(look.outline)


def _survey(folder: Path, sequence: BakedSequence) -> Survey:
    records = [frame.measured for frame in sequence.frames if frame.measured is not None]
    if records:
        return survey_of_records(records)
    newest = sequence.frames[-1]  # an older version of the add-on has made the bake
    return survey_frame(folder.joinpath(newest.path), look_of(newest.grids).shapes)


def _shown_sequence(shown: bpy.types.Object) -> tuple[Path, BakedSequence]:
    """Folder and sequence of the bake that an object shows. Raises bake-missing, bake-corrupt, bake-empty."""
    named = shown.get(FILE)
    if shown.type != "VOLUME" or named is None:
        raise fail("bake-missing", f'The object "{shown.name}" shows no bake.', "Import the bake again.")
    # Blender keeps the path of the volume right when either file is moved; a copy of the folder's path would go stale.
    folder = Path(bpy.path.abspath(shown.data.filepath)).parents[named.count("/")]
    for sequence in intact_sequences(Bake.open(folder)):
        if any(frame.path == named for frame in sequence.frames):
            return folder, sequence
    raise fail("bake-missing", f'The bake in "{folder}" has no intact file "{named}".', "Import the bake again.")


def _play(shown: bpy.types.Object, folder: Path, sequence: BakedSequence, *, anew: bool) -> None:
    folder = folder.resolve()
    volume, file = shown.data, folder.joinpath(sequence.first_path)
    for key, value in ((BAKE, folder.name), (FILE, sequence.first_path)):
        if shown.get(key) != value:
            shown[key] = value
    if not volume.filepath or Path(bpy.path.abspath(volume.filepath)).resolve() != file:
        volume.filepath = _path_for_blender(file)
    if sequence.digits:
        play_frames(volume, _numbers(sequence), anew=anew)
    else:
        show_still(volume)
    remember_grids(volume, _kinds(sequence))


def set_frame_range(scene: bpy.types.Scene, folder: str | Path) -> None:
    """Let the frame range of `scene` be that of a bake's frames. Leaves it alone where no frame has a number.

    Raises bake-missing, bake-corrupt.
    """
    numbers = [number for sequence in _volumes(_looked_at(folder)) for number in _numbers(sequence)]
    if numbers:
        scene.frame_start, scene.frame_end = min(numbers), max(numbers)


def _volumes(bake: GrowingBake) -> list[BakedSequence]:
    return [sequence for sequence in bake.sequences if sequence.suffix.lower() == SUFFIX]


def _looked_at(named: str | Path) -> GrowingBake:
    folder = Path(named).resolve()
    bake = _growing.pop(folder, None) or GrowingBake(folder)
    bake.look()
    _growing[folder] = bake
    for oldest in list(_growing)[:-_KEPT]:
        del _growing[oldest]
    return bake


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
        _say_if_damaged(bake.name, damaged)
    return sequences(intact)


def _say_if_damaged(name: str, damaged: dict[str, str]) -> None:
    volumes = [path for path in damaged if path.lower().endswith(SUFFIX)]
    if volumes:
        message = f'All frames of the bake "{name}" are damaged; "{volumes[0]}" for one: {damaged[volumes[0]]}.'
        raise fail("bake-corrupt", message, "Run the simulation again.")


def _title(sequence: BakedSequence) -> str:
    """What tells a sequence from the others of its bake, for people."""
    return sequence.prefix.strip(" _.-") or sequence.folder


def _distinct(titles: Iterable[str]) -> list[str]:
    """Titles that are the same get numbers, as `low/a_1.vdb` and `high/a_1.vdb` have the same one."""
    met: Counter[str] = Counter()
    distinct = []
    for title in titles:
        met[title] += 1
        distinct.append(title if met[title] == 1 else f"{title} {met[title]}")
    return distinct


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
