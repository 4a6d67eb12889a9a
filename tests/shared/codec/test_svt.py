from __future__ import annotations

import os
import threading
from pathlib import Path

import numpy as np
import pytest

from shared.codec import av1
from shared.codec import av1 as svt
from shared.codec.base_video import BaseEncoder

LINUX = pytest.mark.skipif(not hasattr(os, "sched_getscheduler"), reason="this system has no such scheduling")


def policies() -> set[int]:
    return {os.sched_getscheduler(int(task.name)) for task in Path("/proc/self/task").iterdir()}


@LINUX
def test_an_encoder_leaves_no_real_time_threads() -> None:
    encoder = BaseEncoder(64, 60)
    encoder.encode(np.zeros((64, 64, 3), np.uint8))
    assert policies() <= {os.SCHED_OTHER, os.SCHED_BATCH, os.SCHED_IDLE}
    encoder.close()
    av1.encode(np.zeros((64, 64, 3), np.uint8), 40)
    assert policies() <= {os.SCHED_OTHER, os.SCHED_BATCH, os.SCHED_IDLE}


@LINUX
def test_real_time_threads_are_calmed() -> None:
    release, ready = threading.Event(), threading.Event()

    def urgent() -> None:
        try:
            os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
        except PermissionError:
            ids.append(None)
        else:
            ids.append(threading.get_native_id())
        ready.set()
        release.wait(10)

    ids: list[int | None] = []
    thread = threading.Thread(target=urgent)
    thread.start()
    assert ready.wait(10)
    svt.calm_threads()
    after = None if ids[0] is None else os.sched_getscheduler(ids[0])
    release.set()
    thread.join()
    if after is None:
        pytest.skip("only root may have real-time threads")
    assert after == os.SCHED_OTHER
