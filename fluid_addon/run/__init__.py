# SPDX-License-Identifier: GPL-3.0-or-later
"""One run of a script: in this process or in a worker, with events, progress and cancel."""

from .request import RunRequest
from .run_queue import RunQueue
from .session import check_script, run_script
from .state import RunState, Stage
from .supervisor import WorkerRun

__all__ = ["RunQueue", "RunRequest", "RunState", "Stage", "WorkerRun", "check_script", "run_script"]
