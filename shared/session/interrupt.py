"""An end that is polite on Ctrl-C."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Coroutine
from typing import TypeVar

T = TypeVar("T")


async def interruptible(work: Coroutine[None, None, T]) -> T | None:
    """The result of `work`; None if Ctrl-C or SIGTERM cancelled it, after it has tidied up."""
    task = asyncio.ensure_future(work)
    for name in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):  # Windows: asyncio.run cancels on Ctrl-C by itself
            asyncio.get_running_loop().add_signal_handler(name, task.cancel)
    try:
        return await task
    except asyncio.CancelledError:
        return None
