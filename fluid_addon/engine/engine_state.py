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
    """
    now = _described(simulation.domain, fields, simulation.leaves is not None)
    differences = [f"{key} is {now[key]}, and it was {state.get(key)}" for key in now if state.get(key) != now[key]]
    if differences:
        raise mismatch(differences)
    simulation.realize()
    if simulation.leaves is not None:
        _restore_leaves(simulation.leaves, state["leaves"], prefix, found)
    for name, field in fields.items():
        values = found.array(f"{prefix}{name}")
        if simulation.leaves is None:
            simulation.write(field, values)
        else:
            active, outside = simulation.leaves.active, tuple(state["outside"][name])
            simulation.write_leaves(field, simulation.leaves.box.coords(active), values, outside)
    for name, solved in state["solved"].items():
        simulation.solvers.recall(name, Solved(**solved))


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
    leaves.rules = [ActivationRule(**rule) for rule in state["rules"]]
    leaves.defaults = {rule["field"]: ActivationRule(**rule) for rule in state["defaults"]}
    indices = {name: found.array(f"{prefix}/{name}").astype(np.int32) for name in state["indices"]}
    leaves.recall(LeafMemory(indices, bool(state["settled"])))
