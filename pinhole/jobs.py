"""Futures of slow work: in an executor where the caller gave one, else done at once."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import TypeVar

Result = TypeVar("Result")


def submitted(executor: Executor | None, work: Callable[[], Result]) -> Future[Result]:
    """The future of what `work` gives, or raises; without an executor it is done."""
    if executor is not None:
        return executor.submit(work)
    future: Future[Result] = Future()
    try:
        future.set_result(work())
    except Exception as error:
        future.set_exception(error)
    return future
