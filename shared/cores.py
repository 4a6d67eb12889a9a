"""Who gets which cores: the one place where threads are counted, for everything that a process does.

Threads that wait for each other at every layer lose most where another one is busy on the same core. So there are
never more of those than cores, and what runs beside the drawing gets a core of its own where there are several.
Codecs of small pictures (SVT-AV1, x264, the decoders of PyAV) have one thread each, as where they are opened says.
"""

from __future__ import annotations

import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from math import ceil
from pathlib import Path
from typing import NamedTuple

ENVIRONMENT = {"OMP_WAIT_POLICY": "PASSIVE", "OPENBLAS_NUM_THREADS": "1"}
"""For the libraries that read it as they are loaded, so before PyTorch and NumPy are: threads of two busy processes
that spin while they wait stall each other (20 ms become 400), and products of a few thousand numbers need no second
one."""
DRAWERS = 2
"""Frames of one call drawn at a time: two threads on one frame wait for each other at every layer."""
PATIENT = 5
"""Steps of niceness: a third of the weight."""
_QUOTA = Path("/sys/fs/cgroup/cpu.max")
_UNHURRIED = 4
"""Threads at most for what is in no hurry: a film that is decoded by more holds more frames in memory."""


@dataclass(frozen=True)
class Work:
    """What a process does in its calls."""

    draws: bool = False
    """It receives: frames are drawn, and sources prepared."""
    extracts: bool = False
    """It sends: motion is extracted from every frame, now and then a source is coded, and what the receiver draws
    looked at."""
    calls: int = 1
    """That are drawn at a time."""
    quick: bool = True
    """Whether the networks take some milliseconds a frame and not seconds: then sharing one costs more than it
    brings."""
    on_gpu: bool = False


class Shares(NamedTuple):
    """Threads for each thing."""

    drawers: int
    """Frames that are drawn at a time, of all calls together."""
    drawing: int
    """Threads on each of them, and on a source that is prepared."""
    extracting: int
    """Threads on a frame whose motion is extracted, and on what is looked at."""


ONE_CORE = Shares(DRAWERS, 1, 1)
"""Of whoever has one core."""


def shares(cores: int, work: Work) -> Shares:
    """Threads for each thing that a process does on so many cores, one at least."""
    if work.on_gpu:
        return Shares(1, 1, 1)  # the GPU draws batches, one after the other
    both = work.draws and work.extracts
    if not work.draws:
        return Shares(1, 1, 1 if work.quick else cores)
    # of a two-way call extracting, coding and looking take a core together
    left = max(1, cores - 1) if both else cores
    drawers = min(max(DRAWERS, work.calls), max(DRAWERS, left))
    extracting = 1 if work.quick else max(1, cores // 2)
    return Shares(drawers, max(1, left // drawers), extracting)


def unhurried(cores: int) -> int:
    """Threads for what is in no hurry: a film that is decoded, sources that TensorFlow enlarges."""
    return min(max(1, cores // 2), _UNHURRIED)


def available() -> int:
    """Cores that this process may use: not those that it is kept from, by affinity or by a container's quota."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        return allowed(cores, _QUOTA.read_text())
    except OSError:
        return cores


def allowed(cores: int, quota: str) -> int:
    """How many of the cores a quota leaves, in the words of Linux's cpu.max: microseconds, or max, in a period."""
    most, _, period = quota.strip().partition(" ")
    if not (most.isdecimal() and period.isdecimal() and int(period)):
        return cores
    return min(cores, max(1, ceil(int(most) / int(period))))


def settle(work: Work, cores: int | None = None) -> Shares:
    """What this work has of so many cores, by default of those that are available.

    The thread that calls computes with its share from here on, and OpenCV with one thread: its pictures are small, and
    a pool of its own on every core would wait there spinning.
    """
    import cv2  # here, for what has to come before
    import torch

    given = shares(available() if cores is None else cores, work)
    cv2.setNumThreads(1)
    torch.set_num_threads(given.drawing if work.draws else given.extracting)
    return given


def workers(count: int, name: str, threads: int = 1, *, patient: bool = False) -> ThreadPoolExecutor:
    """So many threads, each of which computes with so many of PyTorch's.

    Who is `patient` gets what the others leave, where the system tells threads apart (Linux): drawing, and what only
    makes pictures better or keeps them, must not take the processor from sound, motion and the link.
    """
    return ThreadPoolExecutor(count, name, initializer=partial(_begin, threads, patient))


def _begin(threads: int, patient: bool) -> None:
    import torch

    if patient and sys.platform == "linux":
        now = os.getpriority(os.PRIO_PROCESS, 0)
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), min(now + PATIENT, 19))
    torch.set_num_threads(threads)  # of this thread, as OpenMP counts them, and of those that begin later
