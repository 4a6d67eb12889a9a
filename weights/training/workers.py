"""Work spread over processes."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import cv2

T = TypeVar("T")
R = TypeVar("R")
Spread = Callable[[Callable[[Any], Any], Iterable[Any]], Iterator[Any]]
"""Results of a function of each item, in their order."""


@contextmanager
def workers(jobs: int | None = None) -> Iterator[Spread]:
    """Spreads work over so many processes (None: one a core); with 1 it is done here."""
    if jobs == 1:
        yield map
        return
    # spawned, not forked: a process that has started threads cannot be copied safely
    with multiprocessing.get_context("spawn").Pool(jobs or os.cpu_count(), cv2.setNumThreads, (1,)) as pool:
        yield pool.imap
