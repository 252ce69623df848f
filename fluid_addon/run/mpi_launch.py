# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether an MPI launcher has started this process, from what it tells it. Nothing of MPI is loaded for that."""

from __future__ import annotations

import os
from collections.abc import Mapping

__all__ = ["is_first_rank", "launched_by_mpi"]

# What Open MPI, MPICH and Intel MPI, and everything that speaks PMIx tell the processes that they start.
_SIZES = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE")
_RANKS = ("OMPI_COMM_WORLD_RANK", "PMI_RANK", "PMIX_RANK")


def launched_by_mpi(variables: Mapping[str, str] = os.environ) -> bool:
    """Whether this process is one of several that an MPI launcher has started."""
    sizes = [variables[name] for name in _SIZES if name in variables]
    return any(size != "1" for size in sizes) if sizes else "PMIX_RANK" in variables


def is_first_rank(variables: Mapping[str, str] = os.environ) -> bool:
    """Whether this process is to speak for all of them, as far as can be told before MPI has started."""
    return all(variables.get(name, "0") == "0" for name in _RANKS)
