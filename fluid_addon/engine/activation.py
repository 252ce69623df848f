# SPDX-License-Identifier: GPL-3.0-or-later
"""Which leaves of a sparse domain are active next: where the fluid is, and where it is about to flow.

Rules are measured on the device by `shaders/activity.comp`, and decided here. The decision depends on nothing but what
was measured and the decisions before, so that every run makes the same ones, on however many devices.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..diagnostics import fail
from .field import Field
from .formats import Format
from .leaves import LEAF, Indices, LeafBox

__all__ = [
    "ACTIVITY",
    "ACTIVITY_WORDS",
    "PATIENCE",
    "Activation",
    "ActivationRule",
    "Activity",
    "activity_constants",
    "activity_include",
    "checked_rule",
    "unpack_activity",
]

#: Decisions in a row by which a leaf must not be needed until it sleeps.
PATIENCE = 4
#: 32-bit numbers that the kernel gives for a leaf.
ACTIVITY_WORDS = 8
#: What is known of a leaf by one rule. Boxes are in voxels of the domain counted from the leaf's low corner, `high`
#: lies behind the last one, and a box with high 0 is empty. Speeds are in world units per second.
ACTIVITY = np.dtype(
    [
        ("hot_low", np.int32, 3),
        ("hot_high", np.int32, 3),
        ("warm_low", np.int32, 3),
        ("warm_high", np.int32, 3),
        ("slowest", np.float32, 3),
        ("fastest", np.float32, 3),
    ]
)
Activity = npt.NDArray[np.void]

_EDGE, _ABOVE, _BACKGROUND = 11, 12, 14  # specialisation constants
_FAR = 2.0**40  # voxels: further than any domain, and short enough for whole numbers


@dataclass(frozen=True)
class ActivationRule:
    """A leaf wakes where the field differs from its background, or is about to.

    Attributes:
        above: a voxel is hot where a component differs from the background by more; it wakes leaves.
        below: a voxel is warm where one differs by more; it keeps leaves awake. At most `above`.
        margin: leaves that stay awake around hot and warm voxels.
    """

    field: str
    above: float
    below: float
    margin: float = 1.0


def checked_rule(field: str, above: float, below: float | None = None, margin: float = 1.0) -> ActivationRule:
    """A rule of these numbers; `below` is half of `above` where it is not given.

    Raises:
        FluidError: `bad-argument` for a number that is negative or not finite, and for `below` beyond `above`.
    """
    below = above / 2 if below is None else below
    for option, value in (("above", above), ("below", below), ("margin", margin)):
        if not (math.isfinite(value) and value >= 0):
            what = "leaves of 8 voxels" if option == "margin" else f'differences from the background of "{field}"'
            raise fail("bad-argument", f'"{option}" is {value:g}; it is a number from 0 on.', f"It counts {what}.")
    if below > above:
        hint = "Voxels above one number wake leaves, and those above the other keep them awake."
        raise fail("bad-argument", f'"below" is {below:g}, more than "above", which is {above:g}.', hint)
    return ActivationRule(field, float(above), float(below), float(margin))


# ===== The twin of shaders/activity.comp


def activity_include(format_: Format, velocity: Format | None = None) -> str:
    """The text that the kernel includes as "field".

    Args:
        velocity: of the velocity field, which has three components and the domain's resolution; None: there is none.
    """
    lines = [
        f"#define STORED {format_.glsl_stored}",
        f"#define LOADED {format_.glsl}",
        f"#define ALIGNMENT {format_.dtype.itemsize}",
        f"#define COMPONENTS {format_.components}",
        f"#define SCALAR {format_.scalar}",
    ]
    if not format_.is_float:
        lines.append("#define WHOLE")
    if velocity is not None:
        lines += [f"#define VELOCITY {velocity.glsl_stored}", f"#define VELOCITY_ALIGNMENT {velocity.dtype.itemsize}"]
    return "\n".join(lines) + "\n"


def activity_constants(rule: ActivationRule, field: Field, size: tuple[int, int, int]) -> dict[int, int]:
    """The kernel's specialisation constants, by id.

    Args:
        size: voxels of the domain, whatever the field's resolution.
    """
    constants = dict(zip(range(3, 6), size, strict=True))
    constants[_EDGE] = int(LEAF * field.resolution)
    with np.errstate(over="ignore", under="ignore"):
        thresholds = np.array((rule.above, rule.below)).astype(np.float32)
        background = np.array(field.background).astype(field.format.dtype)
    if field.format.is_float:
        background = background.astype(np.float32)
    bits = [*thresholds.view(np.uint32).tolist(), *background.view(np.uint32).tolist()]
    assert _ABOVE + len(thresholds) == _BACKGROUND, "they follow one another"
    return constants | dict(enumerate(bits, _ABOVE))


def unpack_activity(words: npt.NDArray[np.uint32]) -> Activity:
    """What the kernel gave for each leaf as records of type `ACTIVITY`.

    The kernel gives the planes that hot voxels lie in, 8 bits for each axis, x lowest; those of warm voxels; and the
    least and the largest velocity along x, y, z as unsigned integers of the same order. Without hot voxels, both are 0.

    Args:
        words: shape (leaves, 8).
    """
    activity = np.zeros(len(words), ACTIVITY)
    for column, kind in enumerate(("hot", "warm")):
        planes = words[:, column, None] >> np.array((0, 8, 16), np.uint32) & np.uint32(0xFF)
        activity[f"{kind}_low"], activity[f"{kind}_high"] = _FIRST[planes], _BEHIND[planes]
    hot = words[:, 0] > 0
    for column, name in ((2, "slowest"), (5, "fastest")):
        keys = words[hot, column : column + 3]
        positive = keys >> np.uint32(31) > 0
        bits = keys ^ np.where(positive, np.uint32(0x80000000), np.uint32(0xFFFFFFFF))
        activity[name][hot] = bits.view(np.float32)
    return activity


_SET = np.arange(256)[:, None] >> np.arange(LEAF) & 1  # the bits of each byte, the lowest first
_FIRST: npt.NDArray[np.int32] = np.argmax(_SET, axis=1).astype(np.int32)
_BEHIND: npt.NDArray[np.int32] = np.max(_SET * np.arange(1, LEAF + 1), axis=1).astype(np.int32)


# ===== The decision


class Activation:
    """Decides which leaves are active, and remembers for how long each was not needed.

    Attributes:
        calm: (leaf, decisions in a row by which it was not needed), shape (n, 2), sorted by leaf; all that later
            decisions depend on.
    """

    def __init__(self) -> None:
        self.calm: npt.NDArray[np.int32] = np.empty((0, 2), np.int32)

    def wanted(
        self,
        box: LeafBox,
        active: Indices,
        measured: Sequence[tuple[ActivationRule, Activity]],
        travel: float,
        always: Indices,
    ) -> Indices:
        """The leaves to be active next.

        They are those that hot voxels can reach: their box in each leaf, wider by the margin on every side, and
        further the way that they flow. A leaf that is active stays while the box of warm voxels, wider by the margin,
        meets it, and for some decisions longer.

        Args:
            active: linear indices, sorted, of the leaves that are active now, on all devices.
            measured: of each rule, the activity of every active leaf, in that order.
            travel: voxels that a velocity of 1 goes in the coming step: dt / voxel_size.
            always: sorted leaves that stay awake whatever happens in them.

        Returns:
            linear indices, sorted.
        """
        corners = box.coords(active).astype(np.int64) * LEAF
        needed = np.zeros(box.count, np.bool_)
        needed[always] = True
        kept = np.zeros(box.count, np.bool_)
        for rule, activity in measured:
            margin = math.ceil(min(rule.margin * LEAF, _FAR))
            back = _whole(np.floor(_voxels(activity["slowest"], travel).clip(max=0)))
            ahead = _whole(np.ceil(_voxels(activity["fastest"], travel).clip(min=0)))
            needed[_touched(box, corners, activity, "hot", margin - back, margin + ahead)] = True
            kept[_touched(box, corners, activity, "warm", margin, margin)] = True
        # Only active leaves are kept for being warm, and only they can have patience left.
        calm = active[~(needed[active] | kept[active])]
        decisions = self._decisions(calm) + 1
        patient = decisions < PATIENCE
        self.calm = np.stack((calm[patient], decisions[patient]), axis=-1)
        needed[active[kept[active]]] = True
        needed[calm[patient]] = True
        return np.flatnonzero(needed).astype(np.int32)

    def _decisions(self, leaves: Indices) -> npt.NDArray[np.int32]:
        """By how many decisions in a row each of these leaves was not needed."""
        if not len(self.calm):
            return np.zeros(len(leaves), np.int32)
        place = np.searchsorted(self.calm[:, 0], leaves).clip(max=len(self.calm) - 1)
        same = self.calm[place, 0] == leaves
        return np.where(same, self.calm[place, 1], np.int32(0))


def _voxels(speeds: npt.NDArray[np.float32], travel: float) -> npt.NDArray[np.float64]:
    return speeds.astype(np.float64) * travel


def _whole(distances: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    return distances.clip(-_FAR, _FAR).astype(np.int64)


def _touched(
    box: LeafBox,
    corners: npt.NDArray[np.int64],
    activity: Activity,
    kind: str,
    below: npt.NDArray[np.int64] | int,
    beyond: npt.NDArray[np.int64] | int,
) -> Indices:
    """The leaves that the boxes of hot or warm voxels touch, made wider by so many voxels."""
    some = np.flatnonzero(activity[f"{kind}_high"][:, 0])
    low, high = corners + activity[f"{kind}_low"] - below, corners + activity[f"{kind}_high"] + beyond
    return box.touched(low[some], high[some])
