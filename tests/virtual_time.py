"""Time that passes at once: for tests of what waits, without sockets or processes."""

from __future__ import annotations

import asyncio
import functools
import selectors
import time
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec

import pytest

P = ParamSpec("P")


class _Selector(selectors.DefaultSelector):
    """Where a loop would wait for something to happen, its clock goes on instead."""

    def __init__(self) -> None:
        super().__init__()
        self.now, self.threads = 1000.0, 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        found = super().select(0)
        if found or timeout == 0:
            return found
        if self.threads:  # which take real time
            return super().select(None)
        assert timeout is not None, "nothing will ever happen"
        self.now += timeout
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop with a clock of its own, on which nothing takes any time but waiting."""

    def __init__(self) -> None:
        self._clock = _Selector()
        super().__init__(self._clock)

    def time(self) -> float:
        """Seconds."""
        return self._clock.now

    def run_in_executor(self, *work: Any) -> asyncio.Future[Any]:  # type: ignore[override]
        """See `asyncio.loop.run_in_executor`."""
        self._clock.threads += 1
        done = super().run_in_executor(*work)
        done.add_done_callback(self._thread_done)
        return done

    def _thread_done(self, _: object) -> None:
        self._clock.threads -= 1


def in_virtual_time(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Runs a test in a `VirtualLoop`, whose clock `time.monotonic` shows, too."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        loop = VirtualLoop()
        with pytest.MonkeyPatch.context() as patch, asyncio.Runner(loop_factory=lambda: loop) as runner:
            patch.setattr(time, "monotonic", loop.time)
            runner.run(test(*args, **kwargs))

    return run
