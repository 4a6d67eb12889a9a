"""What the two commands have in common: options, and an end that is polite on Ctrl-C."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
from collections.abc import Coroutine
from typing import TypeVar

from shared.models.registry import ENGINES
from shared.session.report import report_path

T = TypeVar("T")


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options that both sides of a call take."""
    parser.add_argument("--engine", choices=ENGINES, default="compact", help="must be the same on both sides")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="where the networks run")
    parser.add_argument("--stun", metavar="URL", help="STUN server, stun:HOST:PORT")
    parser.add_argument("--turn", metavar="URL", help="TURN server, turn:USER:PASSWORD@HOST:PORT")
    parser.add_argument("--report", type=report_path, metavar="FILE", help="write the figures of the call as JSON")


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
