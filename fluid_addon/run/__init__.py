# SPDX-License-Identifier: GPL-3.0-or-later
"""One run of a script: in a worker, with events, progress and cancel; or in this process, see `session`."""

from .request import RunRequest
from .run_queue import RunQueue
from .state import RunState, Stage
from .supervisor import WorkerRun

__all__ = ["RunQueue", "RunRequest", "RunState", "Stage", "WorkerRun"]
