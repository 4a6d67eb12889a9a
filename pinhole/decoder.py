"""Video decoder: messages in, pictures out, for a call that is going on and for one that is there as a whole."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor, Future
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pinhole.jobs import Worker
from receiver.decoder import CallDecoder
from receiver.playout import DueFrame
from receiver.replay import pictures
from receiver.synthesis import PreparedSource
from shared.call.call_file import Entry
from shared.codec import MalformedMessage
from shared.codec.picture import PictureMessage
from shared.motion import Motion
from shared.transport.link import Channel


@dataclass(frozen=True, eq=False)
class Frame:
    """A frame as it was drawn. Its picture is synthetic: say so where you show it."""

    number: int
    """Of the encoder's frames, from the first one that came; some may be missing."""
    time: float
    """Seconds of the encoder's clock since the first frame drawn."""
    picture: NDArray[np.uint8]
    """(S, S, 3) RGB, S being the codec's `size`."""
    motion: Motion | None
    """Head pose and expression that it was drawn from; None: there was no face, and the picture is the one before."""


class Decoder:
    """Decoder of one direction of a call: `Codec.decoder` makes one.

    It has no clock: `t` is seconds of the caller's, from any origin, which need not be the encoder's. Everything is
    done in the call that asks for it, in the caller's thread, but for what an executor was given for. One thread at a
    time.
    """

    def __init__(self, half: CallDecoder, executor: Executor | None = None) -> None:
        self._half = half
        self._worker = Worker[PictureMessage, PreparedSource](executor, half.prepare)
        self._picture: NDArray[np.uint8] | None = None
        self._origin: float | None = None

    def receive(self, channel: Channel | str, data: bytes, t: float) -> None:
        """Takes in a message of the encoder, which came at `t`; a source that is whole with it is prepared, which takes
        some frames' time.

        Order does not matter, but for messages of `Channel.CONTROL` among themselves. Raises TooManyErrors when
        garbage came again and again; other garbage is dropped.
        """
        self._half.receive(Channel(channel), data, t)
        self._prepare()

    def due(self, t: float) -> Frame | None:
        """The newest frame whose time has come, drawn; None if there is nothing new to show.

        Older ones that were not asked for in time are skipped. Ask at `next_time`, or as often as pictures are shown.
        """
        self._prepare()
        due = self._half.due(t)
        if due is None:
            return None
        frame, sources = due
        if sources:
            self._picture = self._half.draw(frame, sources)
            self._half.shown(frame, t)
        if self._picture is None:
            return None
        self._origin = frame.capture if self._origin is None else self._origin
        return _frame(frame, self._picture, self._origin)

    @property
    def next_time(self) -> float | None:
        """When the next frame is due, in seconds of this side's clock; None if none waits."""
        return self._half.playout.next_time()

    def replies(self, t: float) -> list[bytes]:
        """Messages that are to go back now, for `Encoder.receive`: what is held, and statistics every two seconds.

        Ask after every message that came, and a few times a second.
        """
        self._prepare()
        return [data for _, data in self._half.tick(t)]

    def finish(self, t: float, reason: str = "the end") -> list[bytes]:
        """The last replies: statistics, and the goodbye."""
        return [data for _, data in self._half.finish(reason, t)]

    @property
    def face(self) -> bool:
        """Whether the other side has a face in its picture, as far as is known."""
        return self._half.face

    @property
    def ended(self) -> str | None:
        """Why the encoder said goodbye; None while it has not."""
        return self._half.peer_bye

    def _prepare(self) -> None:
        """Has one source prepared after the other, and takes them in."""
        self._worker.run(self._half.next_job, self._take)

    def _take(self, job: PictureMessage, prepared: Future[PreparedSource]) -> None:
        try:
            self._half.add_source(prepared.result())
        except MalformedMessage as error:
            self._half.refuse(job, error)


def frames_of(half: CallDecoder, entries: Iterator[Entry]) -> Iterator[Frame]:
    """The frames of a whole call, each drawn when it is asked for."""
    origin: float | None = None
    for frame, picture in pictures(half, entries):
        origin = frame.capture if origin is None else origin
        yield _frame(frame, picture, origin)


def _frame(frame: DueFrame, picture: NDArray[np.uint8], origin: float) -> Frame:
    return Frame(frame.number, frame.capture - origin, picture, frame.motion)
