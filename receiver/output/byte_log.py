"""The byte log keeps a call as it came: the bytes received, with what was drawn from them; `CALL.pinhole`.

It is written by a worker: a disk that is slow to answer must not hold up the call.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from threading import Lock
from typing import Protocol

from receiver.output.recorder import RecordError, check_place
from shared.call.call_file import (
    LARGEST_MESSAGE,
    LARGEST_STEP,
    CallFileError,
    CallWriter,
    FiledFrame,
    Mark,
    Resumed,
    Taken,
)
from shared.cores import workers
from shared.files import CALL
from shared.signalling.hello import Hello
from shared.transport.link import Channel

log = logging.getLogger(__name__)
MOST_BYTES = 16 << 20
"""That wait for the disk: hours of a call, or some minutes of the most that a peer may send."""
_EACH = 64
"""Bytes that a record takes in memory beside its message, about."""


class Tape(Protocol):
    """What a half tells about itself as it runs, in the order in which it happens."""

    def message(self, channel: Channel, data: bytes, now: float) -> None:
        """A message came."""

    def taken(self, source_id: int) -> None:
        """A source has come into the gallery."""

    def resumed(self, replaced: bool, skip: int, now: float) -> None:
        """The call goes on over a new connection, with a sender that was started again if it is `replaced`; frame
        numbers jump by `skip`."""

    def shown(self, number: int, most: int) -> None:
        """A frame was handed out to be drawn from at most so many sources."""


class CallRecording:
    """A `Tape` that is written to a file. A disk that fails ends the recording, not the call."""

    def __init__(self, path: Path, hello: Hello) -> None:
        """`hello` of the sender. Raises RecordError if the file cannot be written."""
        self.path = path
        self._time = 0.0  # of the last message
        self._start: float | None = None
        self._most = 1
        self._numbers: list[int] = []  # drawn since the last record
        self._failed = False
        try:
            self._file = CallWriter(path, hello)
        except CallFileError as error:
            raise RecordError(str(error)) from error
        self._write(FiledFrame(0.0, 1, ()))

    @staticmethod
    def check(path: Path) -> None:
        """Raises RecordError for a place that could not be written later, before anybody calls."""
        check_place(path, CALL)

    def message(self, channel: Channel, data: bytes, now: float) -> None:
        """Keeps a message that came at `now`, seconds of any steady clock."""
        self._put_down()
        self._start = now if self._start is None else self._start
        self._time = max(self._time, now - self._start)
        if len(data) <= LARGEST_MESSAGE:  # no honest one is longer, and none such is ever taken in
            self._write((channel, data))

    def taken(self, source_id: int) -> None:
        """Notes that a source has come into the gallery."""
        self._put_down()
        self._write(Taken(self._time, source_id))

    def resumed(self, replaced: bool, skip: int, now: float) -> None:
        """Notes that the call goes on after its connection was lost."""
        self._put_down()
        if self._start is not None:
            self._time = max(self._time, now - self._start)
        self._write(Resumed(self._time, replaced, skip))

    def shown(self, number: int, most: int) -> None:
        """Notes that a frame is drawn; it is written with the next record, so that many share one."""
        last = self._numbers[-1] if self._numbers else number
        if most != self._most or not 0 <= number - last <= LARGEST_STEP or len(self._numbers) > LARGEST_STEP:
            self._put_down()
            self._most = most
        self._numbers.append(number)

    def close(self) -> None:
        """Ends the file and puts it in its place, if it is whole. May be called more than once. Raises RecordError."""
        self._put_down()
        if self._failed:
            self._file.leave()
            return
        try:
            self._file.close()
        except CallFileError as error:
            raise RecordError(str(error)) from error
        finally:
            self._failed = True  # nothing more is written

    def discard(self) -> None:
        """Ends the file and takes it away: there was no call."""
        self._failed = True
        self._file.discard()

    def give_up(self) -> None:
        """Ends the recording here: the disk is too slow for it. What came before stays under its other name."""
        if not self._failed:
            self._failed = True
            log.warning(
                "The recording '%s' ends after %.1f s (the disk is too slow); '%s' has what came before, and the call "
                "goes on.", self.path, self._time, self._file.written,
            )  # fmt: skip

    def _put_down(self) -> None:
        if self._numbers:
            numbers, self._numbers = tuple(self._numbers), []
            self._write(FiledFrame(self._time, self._most, numbers))

    def _write(self, what: Mark | tuple[Channel, bytes]) -> None:
        if self._failed:
            return
        try:
            if isinstance(what, Mark):
                self._file.mark(what)
            else:
                self._file.write(self._time, *what)
        except OSError as error:
            self._failed = True
            log.warning(
                "The recording '%s' ends after %.1f s (%s); '%s' has what came before, and the call goes on.",
                self.path, self._time, error.strerror or error, self._file.written,
            )  # fmt: skip


class TapeWorker:
    """A `Tape` that hands everything on to a recording, in order. Made and told by one thread."""

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
