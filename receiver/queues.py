"""Work that is done by a worker in order, beside the event loop: never more of it waits than is said here.

What must not be lost holds up whoever brings more of it; of what is only for the eye the newest counts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from shared.cores import workers

Job = Callable[[], object]


class Lasting:
    """Everything is done. Whoever brings a job while too many wait, waits too."""

    def __init__(self, name: str, most: int) -> None:
        """`most` jobs wait, the one that is being done included."""
        self._room, self._worker = asyncio.Semaphore(most), workers(1, name, patient=True)
        self._failed: BaseException | None = None
        self._broken = False

    async def put(self, job: Job) -> None:
        """Has a job done after those before it; after one that failed none is. Raises what that one raised, once."""
        await self._room.acquire()
        try:
            self.check()
        except BaseException:
            self._room.release()
            raise
        asyncio.get_running_loop().run_in_executor(self._worker, self._do, job).add_done_callback(self._done)

    async def last(self, job: Job) -> None:
        """Does a job after all others, whether they failed or not; raises what it does."""
        await asyncio.get_running_loop().run_in_executor(self._worker, job)

    def check(self) -> None:
        """Raises what a job raised that nobody has been told of."""
        failed, self._failed = self._failed, None
        if failed is not None:
            raise failed

    def end(self) -> None:
        """Gives the worker back, once nothing waits."""
        self._worker.shutdown()

    def _do(self, job: Job) -> None:
        """In the worker."""
        if not self._broken:
            self._broken = True
            job()
            self._broken = False

    def _done(self, job: asyncio.Future[None]) -> None:
        self._room.release()
        if not job.cancelled() and job.exception() is not None and self._failed is None:
            self._failed = job.exception()


class Newest:
    """One job is being done and one waits: a newer one takes its place."""

    def __init__(self, name: str) -> None:
        self._worker = workers(1, name)
        self._doing: asyncio.Future[object] | None = None
        self._next: Job | None = None
        self._failed: BaseException | None = None

    def put(self, job: Job) -> None:
        """Has a job done, unless a newer one comes before its turn. Raises what an earlier one raised, once."""
        failed, self._failed = self._failed, None
        if failed is not None:
            raise failed
        self._next = job
        self._go_on()

    async def last(self, job: Job) -> None:
        """Does a job after what is being done and what waits; raises what any of them does."""
        while self._doing is not None:
            await asyncio.wait([self._doing])
            await asyncio.sleep(0)  # for what is called when it is done
        await asyncio.get_running_loop().run_in_executor(self._worker, job)
        failed, self._failed = self._failed, None
        if failed is not None:
            raise failed

    def end(self) -> None:
        """Gives the worker back."""
        self._worker.shutdown()

    def _go_on(self) -> None:
        if self._doing is None and self._next is not None:
            job, self._next = self._next, None
            self._doing = asyncio.get_running_loop().run_in_executor(self._worker, job)
            self._doing.add_done_callback(self._done)

    def _done(self, job: asyncio.Future[object]) -> None:
        self._doing = None
        if not job.cancelled() and job.exception() is not None and self._failed is None:
            self._failed = job.exception()
        self._go_on()
