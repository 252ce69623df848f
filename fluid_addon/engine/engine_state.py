# SPDX-License-Identifier: GPL-3.0-or-later
"""The state of an engine for a checkpoint: what its fields hold, which leaves are active, and its clock.

Everything else of an engine follows from the script, which is run again from its top. The state does not say how many
devices there were: fields are those of the whole domain.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from .activation import ActivationRule
from .active_leaves import ActiveLeaves, LeafMemory
from .domain import Domain
from .field import Field
from .journal import mismatch
from .leaves import LeafBox
from .places import leaf_edge
from .simulation import Simulation
from .solver import Solved

__all__ = ["ArraySink", "ArraySource", "restore_state", "save_state"]


class ArraySink(Protocol):
    """Takes arrays by name."""

    def put(self, name: str, values: npt.NDArray[Any]) -> None: ...


class ArraySource(Protocol):
    """Gives them back."""

    def __contains__(self, name: str) -> bool: ...

    def array(self, name: str) -> npt.NDArray[Any]: ...


def _described(domain: Domain, fields: Mapping[str, Field], sparse: bool) -> dict[str, Any]:
    """What has to be the same in a run that goes on."""
    return {
        "domain_size": list(domain.size),
        "sparse": sparse,
        "fields": {
            name: {"format": field.format.name, "resolution": str(field.resolution)} for name, field in fields.items()
        },
    }


def save_state(simulation: Simulation, fields: Mapping[str, Field], prefix: str, into: ArraySink) -> dict[str, Any]:
    """Hand the arrays of a simulation to a checkpoint, one after the other, and return what fits into JSON.

    Args:
        prefix: of the arrays' names.

    Raises:
        FluidError: `not-a-number`, `cancelled`, `device-lost`, `device-memory`.
    """
    simulation.realize()
    state = _described(simulation.domain, fields, simulation.leaves is not None)
    state["solved"] = {name: asdict(solved) for name, solved in simulation.solvers.every_solved().items()}
    if simulation.leaves is None:
        for name, field in fields.items():
            into.put(f"{prefix}{name}", simulation.array(field))
        return state
    state["leaves"] = _save_leaves(simulation.leaves, prefix, into)
    state["outside"] = {}
    for name, field in fields.items():
        into.put(f"{prefix}{name}", np.concatenate([part.own_leaves(field) for part in simulation.parts]))
        state["outside"][name] = [value.item() for value in simulation.parts[0].outside(field)]
    return state


def restore_state(
    simulation: Simulation, fields: Mapping[str, Field], state: Mapping[str, Any], prefix: str, found: ArraySource
) -> None:
    """Let a simulation be as `save_state` has found it.

    Raises:
        FluidError: `checkpoint-mismatch` where domain or fields are others, `checkpoint-corrupt`, `domain-too-large`.
        KeyError, TypeError, ValueError: something is missing, or not as `save_state` would have left it.
    """
    now = _described(simulation.domain, fields, simulation.leaves is not None)
    differences = [f"{key} is {now[key]}, and it was {state.get(key)}" for key in now if state.get(key) != now[key]]
    if differences:
        raise mismatch(differences)
    simulation.realize()
    if simulation.leaves is not None:
        _restore_leaves(simulation.leaves, state["leaves"], prefix, found)
    for name, field in fields.items():
        values, components = found.array(f"{prefix}{name}"), field.format.components
        if simulation.leaves is None:
            _check_array(name, values, simulation.domain.at(field.resolution).address.shape(components), field)
            simulation.write(field, values)
        else:
            active, outside = simulation.leaves.active, tuple(state["outside"][name])
            cube = (leaf_edge(field.resolution),) * 3
            _check_array(name, values, (len(active), *cube, *((components,) if components > 1 else ())), field)
            if len(outside) != components:
                raise ValueError(f'"{name}" has {len(outside)} numbers outside')
            simulation.write_leaves(field, simulation.leaves.box.coords(active), values, outside)
    for name, solved in state["solved"].items():
        simulation.solvers.recall(name, Solved(**solved))


def _check_array(name: str, values: npt.NDArray[Any], shape: tuple[int, ...], field: Field) -> None:
    """Nothing behind this looks at lengths: what does not fit would be written over other memory of the device."""
    if values.shape != shape or values.dtype != field.format.dtype:
        raise ValueError(f'"{name}" has the shape {values.shape} and the type {values.dtype}')


def _check_leaves(name: str, values: npt.NDArray[Any], box: LeafBox) -> None:
    counted = name == "calm"  # each leaf with a number behind it
    if values.dtype != np.int32 or values.shape != (len(values), *((2,) if counted else ())):
        raise ValueError(f'"{name}" has the shape {values.shape} and the type {values.dtype}')
    leaves = values[:, 0] if counted else values
    if not np.all((leaves >= 0) & (leaves < box.count)) or not np.all(leaves[1:] > leaves[:-1]):
        raise ValueError(f'"{name}" has other leaves than the domain, or in another order')


def _save_leaves(leaves: ActiveLeaves, prefix: str, into: ArraySink) -> dict[str, Any]:
    memory = leaves.memory()
    for name, indices in memory.indices.items():
        into.put(f"{prefix}/{name}", indices)
    return {
        "indices": list(memory.indices),
        "rules": [asdict(rule) for rule in leaves.rules],
        "defaults": [asdict(rule) for rule in leaves.defaults.values()],
        "settled": memory.settled,
    }


def _restore_leaves(leaves: ActiveLeaves, state: Mapping[str, Any], prefix: str, found: ArraySource) -> None:
    indices = {name: found.array(f"{prefix}/{name}") for name in state["indices"]}
    for name, values in indices.items():
        _check_leaves(name, values, leaves.box)
    leaves.rules = [ActivationRule(**rule) for rule in state["rules"]]
    leaves.defaults = {rule["field"]: ActivationRule(**rule) for rule in state["defaults"]}
    leaves.recall(LeafMemory(indices, bool(state["settled"])))
