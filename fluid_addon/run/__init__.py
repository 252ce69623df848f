# SPDX-License-Identifier: GPL-3.0-or-later
"""One run of a script: in this process or in a worker, with events, progress and cancel."""

from .request import RunRequest
from .session import check_script, run_script
from .supervisor import WorkerRun

__all__ = ["RunRequest", "WorkerRun", "check_script", "run_script"]
