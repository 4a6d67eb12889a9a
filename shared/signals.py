"""Signals: Ctrl-C, SIGTERM and SIGHUP end a program; the first one in order, the second one at once.

A program that is ended so has the exit status 130. Until it listens, `shared.loading` ends it.
"""

from __future__ import annotations

import asyncio
import functools
import os
import signal
import stat
import sys
import threading
import time
from collections.abc import Callable, Coroutine
from types import FrameType
from typing import Any, NoReturn, ParamSpec, TypeVar

from shared.loading import INTERRUPTED, NAMES

P = ParamSpec("P")
NUMBERS = tuple(getattr(signal, name) for name in NAMES if hasattr(signal, name))
"""Of the signals that ask for an end, as far as the system has them."""
SAME_SECONDS = 0.1
"""Signals that are closer together are one: a program that started this one may pass on what the terminal sent both."""
Handler = Callable[[int, FrameType | None], None]
T = TypeVar("T")


def listen(handler: Handler) -> dict[signal.Signals, Any]:
    """Has a handler called for every signal that asks for an end; what was there before comes back, for `restore`.

    Nothing is done outside of the main thread. Python leaves SIGINT ignored where a shell starts a program in the
    background; it is taken all the same. SIGHUP stays ignored where it was: that is what nohup is for.
    """
    if threading.current_thread() is not threading.main_thread():
        return {}
    hangup = getattr(signal, "SIGHUP", None)
    kept = {hangup} if hangup is not None and signal.getsignal(hangup) is signal.SIG_IGN else set()
    return {number: signal.signal(number, handler) for number in NUMBERS if number not in kept}


def restore(before: dict[signal.Signals, Any]) -> None:
    """Puts handlers back that `listen` took the place of."""
    for number, handler in before.items():
        signal.signal(number, signal.SIG_DFL if handler is None else handler)


class Ending:
    """A block of which the first signal calls `act`, in the main thread; the second one ends the process at once.

    Another SIGHUP does not: of a terminal that is closed both the system and its shell send one.
    """

    def __init__(
        self,
        act: Callable[[], object],
        again: Callable[[], object] = lambda: os._exit(INTERRUPTED),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`again` is called in the place of ending the process."""
        self._act, self._again, self._clock, self._process = act, again, clock, os.getpid()
        self._asked = False
        self._pressed: float | None = None
        """When Ctrl-C or SIGTERM came, here or in a block within this one."""
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Ending:
        self._before = listen(self._signalled)
        return self

    def __exit__(self, *_: object) -> None:
        before, self._before = self._before, {}
        restore(before)
        outer = getattr(before.get(signal.SIGINT), "__self__", None)
        if isinstance(outer, Ending):
            outer._asked |= self._asked
            outer._pressed = outer._pressed if self._pressed is None else self._pressed

    def _signalled(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._process:  # a child that was forked has nothing to tidy up
            os._exit(INTERRUPTED)
        if number == getattr(signal, "SIGHUP", None):
            _leave_terminal()
        else:
            now = self._clock()
            if self._pressed is not None and now - self._pressed >= SAME_SECONDS:
                self._again()
            self._pressed = now if self._pressed is None else self._pressed
        if not self._asked:
            self._asked = True
            self._act()


def interrupt() -> NoReturn:
    """Does as Ctrl-C does in a program that does not listen for it."""
    raise KeyboardInterrupt


def interrupting() -> Ending:
    """A block that every signal interrupts as Ctrl-C does: with a KeyboardInterrupt."""
    return Ending(interrupt)


def ended_by_signals(program: str, said: str = "interrupted") -> Callable[[Callable[P, int | None]], Callable[P, int]]:
    """Makes a function the main one of `python -m program`: its exit status comes back, 0 for None.

    A signal gives 130 and one line on stderr: what the KeyboardInterrupt carries, or `said`.
    """

    def decorate(function: Callable[P, int | None]) -> Callable[P, int]:
        @functools.wraps(function)
        def main(*args: P.args, **kwargs: P.kwargs) -> int:
            try:
                with interrupting():
                    return function(*args, **kwargs) or 0
            except KeyboardInterrupt as stop:
                print(f"\npython -m {program}: {str(stop) or said}", file=sys.stderr)
                return INTERRUPTED

        return main

    return decorate


def _leave_terminal() -> None:
    """Streams that led to a terminal which is gone lead nowhere: to write to it would fail, and end what tidies up."""
    for stream in (0, 1, 2):
        try:
            if stat.S_ISCHR(os.fstat(stream).st_mode) and not os.isatty(stream):
                nowhere = os.open(os.devnull, os.O_RDWR)
                os.dup2(nowhere, stream)
                os.close(nowhere)
        except OSError:
            continue


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
