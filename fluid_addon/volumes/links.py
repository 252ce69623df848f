# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that are the same in two bakes: one on the disk where the file system lets it have two names."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

from .atomic import atomic_write, disk_problem, flush_folder

__all__ = ["link_or_copy"]


def link_or_copy(sources: Iterable[Path], targets: Sequence[Path]) -> None:
    """Give files further names, or copy them where the file system refuses that. Raises disk-full and disk-error."""
    for source, target in zip(sources, targets, strict=True):
        try:
            os.link(source, target)
        except OSError:
            with atomic_write(target) as part:
                shutil.copyfile(source, part)
    for folder in {target.parent for target in targets}:
        try:
            flush_folder(folder)
        except OSError as error:
            raise disk_problem(folder, error) from error
