"""Slow work, one job after the other: in an executor where the caller gave one, else at once."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Generic, TypeVar

Job = TypeVar("Job")
Result = TypeVar("Result")


class Worker(Generic[Job, Result]):
    """Has at most one job done at a time; used by one thread."""

    def __init__(self, executor: Executor | None, work: Callable[[Job], Result]) -> None:
        """`work` does a job; without an executor within `run`."""
        self._executor, self._work = executor, work
        self._working: tuple[Job, Future[Result]] | None = None

    def run(self, next_job: Callable[[], Job | None], take: Callable[[Job, Future[Result]], object]) -> None:
        """Begins what `next_job` gives, and hands over what is done, until a job is not or there is none."""
        while True:
            if self._working is None:
                job = next_job()
                if job is None:
                    return
                self._working = job, self._submitted(job)
            job, result = self._working
            if not result.done():
                return
            self._working = None
            take(job, result)

    def _submitted(self, job: Job) -> Future[Result]:
        """The future of what the work gives, or raises."""
        if self._executor is not None:
            return self._executor.submit(self._work, job)
        future: Future[Result] = Future()
        try:
            future.set_result(self._work(job))
        except Exception as error:
            future.set_exception(error)
        return future
