"""Video encoder: pictures in, messages out, for a call that is going on and for one that is written as a whole."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor
from io import BytesIO
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pinhole.jobs import Worker
from sender.call_recording import play
from sender.capture import LARGEST_SIDE, Capture
from sender.encoder import CallEncoder
from sender.frame_rate import without_pauses
from sender.source_scheduler import Job, Result
from shared.call.call_file import CallStream
from shared.call.loop import Outgoing
from shared.errors import PinholeError
from shared.signalling.hello import Hello
from shared.transport.link import Channel
from shared.transport.metering import ComputedWire

_SMALLEST_SIDE = 16


class NoFaceError(PinholeError):
    """No face was seen in any frame, so that there is nothing to send."""


class Message(NamedTuple):
    """A message for the decoder."""

    channel: Channel
    """To be given to it with the data; messages of `Channel.MOTION` should not wait for others."""
    data: bytes


class Encoder:
    """Encoder of one direction of a call: `Codec.encoder` makes one.

    It has no clock: `t` is seconds of the caller's, from any origin, and never goes back. Everything is done in the
    call that asks for it, in the caller's thread, but for what an executor was given for. One thread at a time.
    """

    def __init__(self, half: CallEncoder, hello: Hello, executor: Executor | None = None) -> None:
        half.accept_base(True)
        self._half, self._hello = half, hello
        self._waiting: deque[Job] = deque()
        self._worker = Worker[Job, Result](executor, lambda job: job.perform())
        self._wire = ComputedWire()
        self._began: float | None = None
        self._last = float("-inf")

    @property
    def hello(self) -> bytes:
        """JSON for `Codec.decoder` of the other side, which refuses what it could not draw."""
        return json.dumps(self._hello.to_dict()).encode()

    def push(self, rgb: NDArray[np.uint8] | None, t: float, queued: int = 0) -> list[Message]:
        """What to send at `t`, once a frame captured then is taken in, while `queued` bytes wait in the caller's link.

        rgb: (H, W, 3) uint8, 16 to 4096 pixels a side; None: the camera is off, and the decoder holds the last picture.
        Raises ValueError for another array, and for a time that goes back.
        """
        if t < self._last:
            raise ValueError(f"a frame of {t} s came after one of {self._last} s: give frames in order")
        picture = None if rgb is None else checked(rgb)
        self._last, self._half.camera_off = t, rgb is None
        analysis = None if picture is None else self._half.analyse(picture)
        job = self._half.push(analysis, t, t, picture)
        if job is not None:
            self._waiting.append(job)
        return self.tick(t, queued)

    def tick(self, t: float, queued: int = 0) -> list[Message]:
        """What to send at `t` without a frame: pieces of sources, and a sign of life when nothing else went.

        `push` gives it, too; between frames, and while there are none, ask every few hundredths of a second.
        """
        self._work(t)
        spent = self._wire.total(self._since(t))
        self._half.spent(spent.sent.size, spent.received.size, t)
        return self._sent(self._half.tick(t, queued), t)

    def receive(self, data: bytes, t: float) -> None:
        """Takes in a message of the decoder, whose `replies` gives them: without any, only the first source goes.

        Raises TooManyErrors when garbage came again and again; other garbage is dropped.
        """
        self._count([(Channel.CONTROL, data)], t, out=False)
        self._half.receive(Channel.CONTROL, data, t)

    def finish(self, t: float, reason: str = "the end") -> list[Message]:
        """The last messages: frames that waited for their bundle to be full, and the goodbye."""
        return self._sent(self._half.finish(reason, t), t)

    @property
    def face(self) -> bool | None:
        """Whether there is a face in the newest frame; None before the first."""
        return self._half.face

    @property
    def sources_held(self) -> int:
        """Source pictures that the decoder holds; while it has none, nothing can be drawn and no motion goes."""
        return len(self._half.gallery.sources)

    @property
    def ended(self) -> str | None:
        """Why the decoder said goodbye; None while it has not."""
        return self._half.peer_bye

    def _sent(self, messages: list[Outgoing], t: float) -> list[Message]:
        self._count(messages, t)
        return [Message(*each) for each in messages]

    def _count(self, messages: list[Outgoing], t: float, out: bool = True) -> None:
        """The bytes that they take on the wire, for the budget."""
        self._wire.send([(channel, len(data)) for channel, data in messages], self._since(t), out=out)

    def _since(self, t: float) -> float:
        """Seconds since the first call."""
        self._began = t if self._began is None else self._began
        return t - self._began

    def _work(self, t: float) -> None:
        """Has one job done after the other, and takes in what they gave."""
        self._worker.run(
            lambda: self._waiting.popleft() if self._waiting else None,
            lambda job, made: self._half.done(made.result(), t),
        )


class _Frames(Capture):
    """The caller's pictures, evenly spaced."""

    kind = "file"

    def __init__(self, pictures: Iterable[NDArray[np.uint8]], fps: float) -> None:
        self._pictures, self.fps = pictures, fps

    def __iter__(self) -> Iterator[tuple[float, NDArray[np.uint8]]]:
        return without_pauses((n / self.fps, checked(rgb)) for n, rgb in enumerate(self._pictures))

    def close(self) -> None:
        """Nothing: the pictures are the caller's."""


def write_call(half: CallEncoder, hello: Hello, frames: Iterable[NDArray[np.uint8]]) -> bytes:
    """A call file, as `sender.call_recording` writes it. Raises NoFaceError, and ValueError for what is no picture."""
    half.accept_base(True)
    stream = BytesIO()
    file, stamp = CallStream(stream, hello), 0.0
    for stamp, messages in play(half, _Frames(frames, hello.fps), None):
        for channel, data in messages:
            file.write(stamp, channel, data)
    if not half.counts.sources_sent:
        raise NoFaceError(
            f"no face was seen in {stamp:.1f} s: give frames with a face that is lit, upright and not too small, or "
            'framing="none" where it fills the centre square'
        )
    return stream.getvalue()


def checked(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The picture itself. Raises ValueError if it is none."""
    if not isinstance(rgb, np.ndarray) or rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3:
        kind = f"{rgb.dtype} {rgb.shape}" if isinstance(rgb, np.ndarray) else type(rgb).__name__
        raise ValueError(f"a frame is a uint8 array (height, width, 3) of RGB, not {kind}")
    if not _SMALLEST_SIDE <= min(rgb.shape[:2]) <= max(rgb.shape[:2]) <= LARGEST_SIDE:
        raise ValueError(
            f"a frame has {_SMALLEST_SIDE} to {LARGEST_SIDE} pixels a side, this one {rgb.shape[1]}x{rgb.shape[0]}"
        )
    return rgb
