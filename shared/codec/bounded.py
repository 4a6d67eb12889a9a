"""Encoders that may hang: each works in a thread of its own, and is left behind in it if it does.

SVT-AV1 once never came back from an encode call, on a machine with more to do than it could. Nothing can end such a
thread; a daemon one at least does not keep the program from ending.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")

_Job = tuple[Callable[[], Any], "Future[Any]"]


class EncoderStuck(RuntimeError):
    """An encoder did not come back in time: it is not to be used any more, and another one may do."""


class Bounded:
    """Does one thing after the other in a thread, and waits for each only so long."""

    def __init__(self, name: str, seconds: float) -> None:
        """`name`: of what works there, for errors."""
        self._name, self._seconds = name, seconds
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=_work, args=(self._jobs,), name=name, daemon=True)
        self._thread.start()
        self.stuck = False
        """Whether something did not come back: nothing more can be done here."""

    def __call__(self, work: Callable[[], T]) -> T:
        """The result of some work. Raises EncoderStuck, and what the work does."""
        if threading.current_thread() is self._thread:  # what the collector of garbage ends may end here
            return work()
        done: Future[T] = Future()
        if not self.stuck:
            self._jobs.put((work, done))
            try:
                return done.result(self._seconds)
            except TimeoutError:
                if done.done():  # it is the work's own
                    raise
        self.stuck = True
        raise EncoderStuck(f"{self._name} did not come back within {self._seconds:g} s")

    def end(self) -> None:
        """Ends the thread once its work is done."""
        self._jobs.put(None)


def _work(jobs: queue.SimpleQueue[_Job | None]) -> None:
    while True:
        job = jobs.get()
        if job is None:
            return
        _do(*job)
        del job  # it would hold a picture until the next comes


def _do(work: Callable[[], Any], done: Future[Any]) -> None:
    try:
        done.set_result(work())
    except BaseException as error:
        done.set_exception(error)
