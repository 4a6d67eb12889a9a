"""Keeping a call as it came: the bytes received, with what was drawn from them; `CALL.pinhole`.

A picture is a matter of the machine that draws it, so the bytes are kept: an hour takes a few megabytes, and may be
drawn again, larger or by another generator. `receiver.replay` does that.
"""

from __future__ import annotations

import logging
from pathlib import Path

from receiver.record import RecordError, check_place
from shared.callfile import LARGEST_MESSAGE, LARGEST_STEP, CallFileError, CallWriter, Mark, Resumed, Shown, Taken
from shared.link.base import Channel
from shared.part_file import CALL
from shared.session.hello import Hello

log = logging.getLogger(__name__)


class CallRecording:
    """A `receiver.tape.Tape` that is written to a file. A disk that fails ends the recording, not the call."""

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
        self._write(Shown(0.0, 1, ()))

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
            self._write(Shown(self._time, self._most, numbers))

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
