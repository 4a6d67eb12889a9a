"""An end of what an event loop runs that is polite when a signal asks for it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import TypeVar

from shared.signals import Ending

T = TypeVar("T")


async def interruptible(work: Coroutine[None, None, T]) -> T | None:
    """The result of `work`; None if Ctrl-C, SIGTERM or SIGHUP cancelled it, after it has tidied up.

    The second one ends the process at once.
    """
    task, loop = asyncio.ensure_future(work), asyncio.get_running_loop()
    # no handler of the loop's own: that one would wait for the loop, which may be busy or stuck
    with Ending(lambda: loop.call_soon_threadsafe(task.cancel)):
        try:
            return await task
        except asyncio.CancelledError:
            return None
