"""SVT-AV1's manners: what its threads would do to the rest of the machine."""

from __future__ import annotations

import os
from pathlib import Path

_TASKS = Path("/proc/self/task")


def calm_threads() -> None:
    """Threads of this process go back to the usual scheduling: as root SVT-AV1 makes its own real-time ones, before
    which everything else on the machine waits. To be called when an encoder has been opened."""
    if not hasattr(os, "sched_getscheduler") or not _TASKS.is_dir():
        return
    for task in _TASKS.iterdir():
        try:
            if os.sched_getscheduler(int(task.name)) in (os.SCHED_FIFO, os.SCHED_RR):
                os.sched_setscheduler(int(task.name), os.SCHED_OTHER, os.sched_param(0))
        except (ProcessLookupError, PermissionError):  # it has ended, or is not ours to change
            continue
