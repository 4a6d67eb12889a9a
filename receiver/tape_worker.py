"""A tape that is written by a worker: a disk that is slow to answer must not hold up the call."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from threading import Lock

from receiver.recording import CallRecording
from shared.cores import workers
from shared.link.base import Channel

MOST_BYTES = 16 << 20
"""That wait for the disk: hours of a call, or some minutes of the most that a peer may send."""
_EACH = 64
"""Bytes that a record takes in memory beside its message, about."""


class TapeWorker:
    """A `receiver.tape.Tape` that hands everything on to a recording, in order. Made and told by one thread."""

    def __init__(self, recording: CallRecording, most: int = MOST_BYTES) -> None:
        """`most` bytes wait; a disk that is further behind ends the recording, not the call."""
        self._recording, self._most = recording, most
        self._worker = workers(1, "tape")
        self._waiting, self._lock = 0, Lock()
        self._over = False

    def message(self, channel: Channel, data: bytes, now: float) -> None:
        """See `Tape.message`."""
        self._do(len(data), lambda: self._recording.message(channel, data, now))

    def taken(self, source_id: int) -> None:
        """See `Tape.taken`."""
        self._do(0, lambda: self._recording.taken(source_id))

    def resumed(self, replaced: bool, skip: int, now: float) -> None:
        """See `Tape.resumed`."""
        self._do(0, lambda: self._recording.resumed(replaced, skip, now))

    def shown(self, number: int, most: int) -> None:
        """See `Tape.shown`."""
        self._do(0, lambda: self._recording.shown(number, most))

    async def close(self) -> None:
        """Ends the recording once all is written. May be called more than once. Raises RecordError."""
        self._over = True
        await asyncio.to_thread(self._worker.shutdown)
        await asyncio.to_thread(self._recording.close)

    def discard(self) -> None:
        """Ends the recording and takes it away: there was no call."""
        self._over = True
        self._worker.shutdown(cancel_futures=True)
        self._recording.discard()

    def _do(self, size: int, job: Callable[[], None]) -> None:
        size += _EACH
        with self._lock:
            if self._over:
                return
            full = self._waiting + size > self._most
            self._waiting += size
        if full:
            self._over = True
            job = self._recording.give_up

        def done(_: Future[None]) -> None:
            with self._lock:
                self._waiting -= size

        self._worker.submit(job).add_done_callback(done)
