# SPDX-License-Identifier: GPL-3.0-or-later
"""A mesh object of the scene as two fields that follow it: signed distance and velocity."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Mapping

import numpy as np
from numpy.typing import NDArray

from ..diagnostics import fail
from ..volumes.mesh import Mesh, Shells, shells_of
from ..volumes.mesh_distance import BAND, THICKNESS, MeshDistance
from ..volumes.mesh_velocity import MeshVelocity
from ..volumes.scene_meshes import MeshSource
from .domain import Domain
from .environment import EngineEnvironment
from .field import Field, check_name
from .formats import Format
from .simulation import Simulation

__all__ = ["SceneObject", "declare_object"]


def declare_object(
    name: str,
    scene_object: str,
    domain: Domain,
    environment: EngineEnvironment,
    add_field: Callable[..., None],
    fields: Mapping[str, Field],
) -> SceneObject | None:
    """Declare the fields "NAME_distance" and "NAME_velocity" of an object of the scene; far from it the distance is the
    width of the band in which it is right. None in a check, where the meshes are looked at if they are there.

    Raises:
        FluidError: of `add_field`, and `unknown-object`, `mesh-broken`.
    """
    source = environment.objects(scene_object)
    environment.observe("object", {"name": scene_object})
    check_name(name, "field")
    distance, velocity = f"{name}_distance", f"{name}_velocity"
    add_field(distance, Format.R32F, BAND * domain.voxel_size)
    add_field(velocity, Format.R32G32B32F, (0.0, 0.0, 0.0))
    fields[distance].grid_class = "level set"
    if environment.check:
        if source is not None:
            source.mesh(1)
        return None
    if source is None:
        hint = "Write `scene` into the script itself, or into a module that it requires by name."
        raise fail("unknown-object", f'The object "{scene_object}" was not captured before the run.', hint)
    return SceneObject(scene_object, source, domain, fields[distance], fields[velocity], environment.note)


class SceneObject:
    """Keeps the fields of one object up to date.

    Within a frame its points travel in straight lines from where they were in the frame before; its velocity is that
    of this way. Where the topology changes between two frames, points have no way: the object jumps and stands still.

    Args:
        name: of the object in the scene, for notes.
        note: told what cannot be as the artist may expect, once each.
    """

    def __init__(
        self,
        name: str,
        source: MeshSource,
        domain: Domain,
        distance: Field,
        velocity: Field,
        note: Callable[[str], None],
    ) -> None:
        self.name, self._source, self._domain = name, source, domain
        self._noted: tuple[Hashable, str] | None = None
        self._read: dict[Hashable, Mesh] = {}
        self._distance, self._velocity = distance, velocity
        self._tell = note
        self._told: set[str] = set()
        self._shown: Hashable = None
        self._moving = False  # whether the velocity field holds anything but zeros
        self._topology: tuple[Mesh, Shells] | None = None
        # As velocities are everywhere: along the domain's axes, which a grid file may have turned.
        self._to_voxels = np.linalg.inv(domain.transform)

    def follow(self, simulation: Simulation, frame: int, part: float, seconds: float) -> None:
        """Show the object at a moment of a frame.

        Args:
            part: of the frame that has passed by then, above 0, at most 1.
            seconds: that the frame lasts.

        Raises:
            FluidError: `mesh-broken`.
        """
        now, before = self._source.key(frame), self._source.key(frame - 1)
        state = (now,) if now == before else (now, before, part, seconds)
        if state == self._shown:
            return
        mesh = self._in_voxels(self._mesh(frame))
        earlier = None if now == before else self._in_voxels(self._mesh(frame - 1))
        way = None
        if earlier is not None:
            if mesh.same_topology(earlier):
                way = mesh.points - earlier.points
                mesh = Mesh(mesh.points - (1.0 - part) * way, mesh.triangles)
            else:
                self._say(f'The object "{self.name}" changes its topology over the frames: it has no velocity then.')
        self._show(simulation, mesh, way, frame, seconds)
        self._shown = state

    def digest(self, frame: int) -> str:
        """Of the mesh in a frame: equal meshes have equal ones. Raises FluidError `mesh-broken`."""
        key = self._source.key(frame)
        if self._noted is None or self._noted[0] != key:
            mesh = self._mesh(frame)
            content = hashlib.blake2b(mesh.points.tobytes(), digest_size=8)
            content.update(mesh.triangles.tobytes())
            self._noted = key, content.hexdigest()
        return self._noted[1]

    def _mesh(self, frame: int) -> Mesh:
        """The mesh in a frame; that one and the one before it are kept."""
        key = self._source.key(frame)
        if key not in self._read:
            self._read[key] = self._source.mesh(frame)
            for old in list(self._read)[:-2]:
                del self._read[old]
        return self._read[key]

    def forget(self) -> None:
        """What the fields hold is not known any more; the next `follow` writes them."""
        self._shown, self._moving = None, True

    def _show(
        self, simulation: Simulation, mesh: Mesh, way: NDArray[np.float64] | None, frame: int, seconds: float
    ) -> None:
        shells = self._shells(mesh)
        size, voxel = self._domain.size, self._domain.voxel_size
        shape = MeshDistance(mesh, shells, size)
        leaves = None if simulation.leaves is None else shape.touched(inside=True)
        distance = shape.box((0, 0, 0), size) if leaves is None else shape.leaves(leaves)
        self._look_at(mesh, shells, distance, frame)
        moving = way is not None and bool(way.any())
        velocity = None
        if moving and way is not None:
            motion = MeshVelocity(mesh, way * (voxel / seconds), size, BAND)
            velocity = motion.dense() if leaves is None else motion.leaves(leaves)
            velocity[distance >= BAND] = 0.0
        # All of it is worked out before the first upload, which waits for the steps that are under way.
        self._put(simulation, self._distance, leaves, distance * np.float32(voxel))
        if velocity is not None:
            self._put(simulation, self._velocity, leaves, velocity)
        elif self._moving:
            simulation.fill(self._velocity, (0.0, 0.0, 0.0))
        self._moving = moving

    def _put(
        self, simulation: Simulation, field: Field, leaves: NDArray[np.int32] | None, values: NDArray[np.float32]
    ) -> None:
        if leaves is None or simulation.leaves is None:
            simulation.write(field, values)
            return
        simulation.leaves.keep(self._distance.name, simulation.leaves.box.index(leaves))
        simulation.write_leaves(field, leaves, values, field.background)

    def _in_voxels(self, mesh: Mesh) -> Mesh:
        turned = mesh.points @ self._to_voxels[:3, :3].T + self._to_voxels[:3, 3]
        return Mesh(turned - np.array(self._domain.low), mesh.triangles)

    def _shells(self, mesh: Mesh) -> Shells:
        if self._topology is None or not self._topology[0].same_topology(mesh):
            self._topology = mesh, shells_of(mesh)
        return self._topology[1]

    def _look_at(self, mesh: Mesh, shells: Shells, distance: NDArray[np.float32], frame: int) -> None:
        if not len(mesh.triangles):
            self._say(f'The object "{self.name}" has no faces in frame {frame}.')
            return
        if not shells.closed:
            filled = bool((distance < -2 * THICKNESS).any())
            what = "a body whose small holes are filled" if filled else "a thin sheet, without an inside"
            self._say(f'The object "{self.name}" is not closed: it counts as {what}.')
        low, high = mesh.points.min(axis=0), mesh.points.max(axis=0)
        if (high < -0.5).any() or (low > np.array(self._domain.size) - 0.5).any():
            self._say(f'The object "{self.name}" lies outside the domain in frame {frame}.')

    def _say(self, text: str) -> None:
        kind = text.partition(" in frame ")[0]
        if kind not in self._told:
            self._told.add(kind)
            self._tell(text)
