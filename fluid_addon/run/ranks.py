# SPDX-License-Identifier: GPL-3.0-or-later
"""A run in several processes: the first one runs the script, and the others follow the calls of its engines.

A script that ran in all of them would have to find the same everywhere to take every turn alike: values of voxels, of
which each process has a part, and files of machines that are not the same.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import wraps
from typing import Any, NoReturn, cast

from ..engine import EngineEnvironment, FluidEngine
from ..engine.carrier import Carrier
from ..engine.environment import ParameterValues
from ..engine.mpi_carrier import EngineCall, MpiCarrier
from ..gpu.disk_cache import default_cache_folder
from ..volumes.mesh import Mesh
from ..volumes.scene_meshes import MeshSource
from .request import RunRequest

__all__ = ["FOLLOWED", "Leader", "follow"]

#: The calls of an engine that all ranks make; the first one answers the others by itself.
FOLLOWED = frozenset(
    [
        *("add_field", "add_object", "add_stencil", "add_solver", "set_enabled", "activate"),
        *("step", "run_stencil", "run", "finish", "close"),
        *("reduce", "read", "fill", "load", "array", "export_vdb", "export_nvdb"),
    ]
)


class Leader:
    """Makes the engines of the first rank.

    Args:
        carrier: to the ranks that follow.
    """

    def __init__(self, carrier: MpiCarrier) -> None:
        self._carrier = carrier
        self._engines = 0

    def make_engine(self, environment: EngineEnvironment, **options: Any) -> FluidEngine:
        """An engine on all ranks. Raises as `FluidEngine`."""
        carrier, number = self._carrier, self._engines
        environment.carrier = carrier
        environment.parameters = _SharedParameters(carrier, environment.parameters)
        environment.objects = _shared_meshes(carrier, environment.objects)
        self._engines += 1
        with carrier.leading(EngineCall(number, "new", (), options)):
            engine = FluidEngine(**options, environment=environment)
        return cast(FluidEngine, _Led(carrier, number, engine))


class _Led:
    """An engine of the first rank, whose calls the others follow; those that it makes itself are theirs as well."""

    def __init__(self, carrier: MpiCarrier, number: int, engine: FluidEngine) -> None:
        self._carrier, self._number, self._engine = carrier, number, engine

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._engine, name)
        if name not in FOLLOWED:
            return found

        @wraps(found)
        def call(*arguments: Any, **options: Any) -> Any:
            with self._carrier.leading(EngineCall(self._number, name, arguments, options)):
                return found(*arguments, **options)

        return call

    def close(self) -> None:
        """Release the engine on all ranks, or here alone where they have come apart. Raises nothing then."""
        if self._carrier.together:
            with self._carrier.leading(EngineCall(self._number, "close", (), {})):
                self._engine.close()
        else:
            self._engine.close()


def follow(request: RunRequest, carrier: MpiCarrier, cancelled: Callable[[], bool]) -> int:
    """Make the calls of the first rank's engines, on any other one, until it ends. Returns its exit code.

    Raises:
        FluidError: `cancelled`.
    """
    environment = EngineEnvironment(
        folder=request.script_folder,
        open_bake=_first_rank_alone,
        parameters=_SharedParameters(carrier, None),
        objects=_shared_meshes(carrier, None),
        cancelled=cancelled,
        cache=default_cache_folder(),
        device=request.device,
        gpu_count=request.gpu_count,
        first_frame=request.first_frame,
        last_frame=request.last_frame,
        carrier=carrier,
    )
    engines: dict[int, FluidEngine] = {}
    try:
        while isinstance(call := carrier.next_call(), EngineCall):
            with carrier.following():
                if call.method == "new":
                    engines[call.engine] = FluidEngine(**call.options, environment=environment)
                else:
                    getattr(engines[call.engine], call.method)(*call.arguments, **call.options)
        return call
    finally:
        for engine in engines.values():
            engine.close()


def _first_rank_alone(_device: str) -> NoReturn:
    raise AssertionError("frames are written by the first rank")


class _SharedParameters:
    """The first rank's parameters on every rank, as they are at the moment of use.

    Args:
        parameters: None on the other ranks.
    """

    def __init__(self, carrier: Carrier, parameters: ParameterValues | None) -> None:
        self._carrier, self._parameters = carrier, parameters

    @property
    def _here(self) -> ParameterValues:
        assert self._parameters is not None, "the first rank is asked"
        return self._parameters

    def names(self) -> list[tuple[str, bool]]:
        return self._carrier.broadcast(lambda: self._here.names())

    def value_at(self, name: str, frame: int) -> float | bool:
        return self._carrier.broadcast(lambda: self._here.value_at(name, frame))


class _SharedMeshes:
    """The meshes of an object on every rank, as the first one has them.

    Args:
        source: None on the other ranks.
    """

    def __init__(self, carrier: Carrier, source: MeshSource | None) -> None:
        self._carrier, self._source = carrier, source

    @property
    def _here(self) -> MeshSource:
        assert self._source is not None, "the first rank is asked"
        return self._source

    def key(self, frame: int) -> Hashable:
        return self._carrier.broadcast(lambda: self._here.key(frame))

    def mesh(self, frame: int) -> Mesh:
        return self._carrier.broadcast(lambda: self._here.mesh(frame))


def _shared_meshes(
    carrier: Carrier, source: Callable[[str], MeshSource | None] | None
) -> Callable[[str], MeshSource | None]:
    """What finds objects, on every rank. The first one finds them by `source`, which is None on the others."""

    def shared(name: str) -> MeshSource | None:
        found: list[MeshSource | None] = []

        def ask() -> bool:
            assert source is not None, "the first rank is asked"
            found.append(source(name))
            return found[0] is not None

        there = carrier.broadcast(ask)
        return _SharedMeshes(carrier, next(iter(found), None)) if there else None

    return shared
