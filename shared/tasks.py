"""Tasks whose failure somebody reads, work that is not cut off, and work in threads that nobody waits for."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, InvalidStateError
from functools import partial
from typing import Any, TypeVar

logger = logging.getLogger(__name__)

T = TypeVar("T")


def one_line(error: BaseException) -> str:
    """What an error is and says, in one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {' '.join(lines)}" if lines else type(error).__name__


def watched(work: Coroutine[Any, Any, T], failed: str) -> asyncio.Task[T]:
    """A task of which a failure is logged, in one line that begins with `failed`."""
    task = asyncio.ensure_future(work)
    task.add_done_callback(partial(_tell, failed))
    return task


def _tell(failed: str, task: asyncio.Task[Any]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.error("%s (%s)", failed, one_line(error))


async def unbroken(work: Coroutine[Any, Any, T]) -> T:
    """The result of work that goes on to its end although the caller is cancelled meanwhile; that is cancelled then."""
    task, cancelled = asyncio.ensure_future(work), None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as asked:
            cancelled = asked
    if cancelled is None:
        return task.result()
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.error("what had to be ended failed (%s)", one_line(error))
    raise cancelled


async def first_of(*works: Coroutine[Any, Any, None]) -> None:
    """Runs all until one has ended, which cancels the others. Raises what that one did."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def aside(work: Callable[[], T], undo: Callable[[T], object] = lambda result: None) -> T:
    """The result of slow work, done in a thread of its own, which does not keep the program from ending.

    If the caller is cancelled, what the work gives is undone, in a thread too, as soon as it is there.
    """
    done: Future[T] = Future()

    def run() -> None:
        try:
            result = work()
        except BaseException as error:
            _unless_cancelled(done.set_exception, error)
            return
        if not _unless_cancelled(done.set_result, result):
            undo(result)

    threading.Thread(target=run, name="aside", daemon=True).start()
    try:
        return await asyncio.wrap_future(done)
    except asyncio.CancelledError:
        if not done.cancel() and done.exception() is None:  # it was ready, and nobody took it
            threading.Thread(target=undo, args=(done.result(),), name="undo", daemon=True).start()
        raise


def _unless_cancelled(give: Callable[[Any], None], what: object) -> bool:
    """Whether somebody still waited for it."""
    try:
        give(what)
    except InvalidStateError:
        return False
    return True
