# SPDX-License-Identifier: GPL-3.0-or-later
"""The box in which a simulation lives, and where it lies in the world."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from ..diagnostics import did_you_mean, fail
from .address import Boundary, DenseAddress

__all__ = ["Domain", "parse_boundary", "voxel_box"]

MAX_VOXELS = 2**31 - 1  # a voxel's index is a 32-bit integer in kernels
DEFAULT_VOXEL_SIZE = 0.1
VOXEL_SIZE_CONSTANT = 10  # the id of a specialisation constant; those before it are the address'


def parse_boundary(given: str | Sequence[str] | None) -> tuple[Boundary, Boundary, Boundary]:
    """One rule or one per axis, by name.

    Raises:
        FluidError: `bad-argument` for an unknown rule or a number of rules other than 1 or 3.
    """
    names = ["open"] if given is None else [given] if isinstance(given, str) else list(given)
    if len(names) not in (1, 3):
        raise fail("bad-argument", f'"boundary" takes one rule or three, got {len(names)}.')
    known = {b.name.lower(): b for b in Boundary}
    for name in names:
        if name not in known:
            raise fail("bad-argument", f'There is no boundary "{name}".', did_you_mean(str(name), known))
    x, y, z = (known[name] for name in (names * 3)[:3])
    return x, y, z


@dataclass(frozen=True)
class Domain:
    """A box of voxels.

    Attributes:
        size: voxels along x, y, z.
        low: index coordinates of the low voxel in the space of `transform` (zero unless a grid file places it).
        transform: 4x4, column vectors: index coordinates of a voxel's centre to world units.
        boundary: rule of each axis.
    """

    size: tuple[int, int, int]
    low: tuple[int, int, int]
    transform: npt.NDArray[np.float64]
    boundary: tuple[Boundary, Boundary, Boundary]

    @staticmethod
    def box(
        size: Sequence[int],
        voxel_size: float | None,
        origin: Sequence[float] | None,
        boundary: tuple[Boundary, Boundary, Boundary],
    ) -> Domain:
        """An axis-aligned box.

        Args:
            size: voxels along x, y, z, each at least 1.
            voxel_size: world units, above 0; default 0.1.
            origin: world position of the low corner of the low voxel; default zero.

        Raises:
            FluidError: `bad-extent` for sizes that are not positive or too many voxels.
        """
        step = DEFAULT_VOXEL_SIZE if voxel_size is None else float(voxel_size)
        if not (step > 0 and np.isfinite(step)):
            raise fail("bad-extent", f'"voxel_size" is {voxel_size:g}; it has to be above 0.')
        corner = np.zeros(3) if origin is None else np.asarray(origin, dtype=np.float64)
        transform = np.diag([step, step, step, 1.0])
        transform[:3, 3] = corner + 0.5 * step
        return Domain(check_size(size), (0, 0, 0), transform, boundary)

    @property
    def voxel_size(self) -> float:
        """Edge of a voxel in world units; of the first axis where a file's voxels are not cubes."""
        return float(np.linalg.norm(self.transform[:3, 0]))

    @property
    def origin(self) -> tuple[float, float, float]:
        """World position of the low corner of the low voxel."""
        corner = self.transform @ np.array([*(np.array(self.low) - 0.5), 1.0])
        return float(corner[0]), float(corner[1]), float(corner[2])

    @property
    def world_box(self) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
        """Low and high corner of the box along the world's axes that holds the domain."""
        low = np.array(self.low) - 0.5
        ends = np.stack([low, low + self.size])
        picked = np.indices((2, 2, 2)).reshape(3, 8)
        corners = ends[picked, np.arange(3)[:, None]].T @ self.transform[:3, :3].T + self.transform[:3, 3]
        (x, y, z), (far_x, far_y, far_z) = corners.min(axis=0).tolist(), corners.max(axis=0).tolist()
        return (x, y, z), (far_x, far_y, far_z)

    @property
    def address(self) -> DenseAddress:
        return DenseAddress(self.size)

    def constants(self) -> dict[int, int]:
        """Specialisation constants of `shaders/include/address.glsl`, by id."""
        with np.errstate(over="ignore", under="ignore"):
            bits = int(np.float32(self.voxel_size).view(np.uint32))
        return self.address.constants(self.boundary) | {VOXEL_SIZE_CONSTANT: bits}

    def at(self, resolution: Fraction) -> Domain:
        """The box in `resolution` times the voxels along each axis, rounded up. The low corner stays where it is."""
        if resolution == 1:
            return self
        x, y, z = (math.ceil(n * resolution) for n in self.size)
        low_x, low_y, low_z = (math.floor(n * resolution) for n in self.low)
        edge = 1 / float(resolution)
        to_ours = np.diag([edge, edge, edge, 1.0])  # from index coordinates there to those here
        to_ours[:3, 3] = np.array(self.low) - 0.5 - (np.array([low_x, low_y, low_z]) - 0.5) * edge
        return Domain((x, y, z), (low_x, low_y, low_z), self.transform @ to_ours, self.boundary)

    def check_resolution(self, resolution: Fraction) -> None:
        """Hold the box in other voxels against what can be.

        Raises:
            FluidError: `bad-extent` for too many voxels, or a periodic axis that would get a longer period.
        """
        finer = self.at(resolution).address
        if finer.voxels > MAX_VOXELS:
            message = f'"resolution" {resolution} makes {finer.voxels:,} voxels; {MAX_VOXELS:,} is the most.'
            raise fail("bad-extent", message, "Make the domain smaller.")
        for axis, (n, rule) in enumerate(zip(self.size, self.boundary, strict=True)):
            if rule is Boundary.PERIODIC and (n * resolution).denominator != 1:
                message = f'"resolution" {resolution} makes no whole period of the {n} voxels along {"xyz"[axis]}.'
                hint = f"Make a periodic side of domain_size a multiple of {resolution.denominator}."
                raise fail("bad-extent", message, hint)


def voxel_box(
    domain: Domain, low: Sequence[float], high: Sequence[float]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The voxels, counted from the domain's low corner, that a box touches: first ones and those behind.

    Args:
        low, high: corners: the domain's origin and world units along its axes, so places of the world unless a grid
            file has turned the domain.

    Returns:
        two arrays (1, 3).

    Raises:
        FluidError: `bad-argument`, `not-finite`.
    """
    ends = np.array([low, high], np.float64)
    if ends.shape != (2, 3):
        raise fail("bad-argument", '"low" and "high" are points: {x, y, z}.')
    if not np.isfinite(ends).all():
        raise fail("not-finite", '"low" or "high" is not finite.')
    if (ends[0] > ends[1]).any():
        raise fail("bad-argument", '"low" lies above "high".', "Write the lower corner as low.")
    bound = 2.0**40
    with np.errstate(over="ignore", under="ignore"):
        voxels = ((ends - np.array(domain.origin)) / domain.voxel_size).clip(-bound, bound)
    first, behind = np.floor(voxels[0]).astype(np.int64), np.floor(voxels[1]).astype(np.int64) + 1
    return first[None], behind[None]


def check_size(size: Sequence[int]) -> tuple[int, int, int]:
    """Three positive whole numbers whose product a kernel can count.

    Raises:
        FluidError: `bad-extent`.
    """
    if len(size) != 3 or any(int(n) != n or n < 1 for n in size):
        given = ", ".join(f"{n:g}" for n in size)
        raise fail("bad-extent", f'"domain_size" is {{{given}}}; it takes three whole numbers of at least 1.')
    x, y, z = (int(n) for n in size)
    if x * y * z > MAX_VOXELS:
        raise fail(
            "bad-extent",
            f'"domain_size" {{{x}, {y}, {z}}} has {x * y * z:,} voxels; {MAX_VOXELS:,} is the most.',
            "Make the domain smaller.",
        )
    return x, y, z
