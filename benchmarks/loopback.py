"""Both halves of a call joined without a network: what one sends, the other has at once, on the clip's own clock."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from receiver.incoming import IncomingHalf, PreparedSource
from receiver.upscale import Upscaler
from sender.framing import cut, whole_square
from sender.outgoing import Analysis, OutgoingHalf, OutgoingSettings
from sender.refresh import RefreshPolicy
from shared.codec.bundle import decode_bundle
from shared.codec.motion_basis import MotionBasis
from shared.gallery import Held, choose
from shared.link.base import Channel
from shared.link.pacing import PicturePacer
from shared.models.engine import Engine, Picture
from shared.session.call import TICK_SECONDS

HOLD_SECONDS = 20.0
"""Time of the call, not of the clock, within which the first source must be held."""


@dataclass(frozen=True)
class Message:
    """One message that went over."""

    forward: bool
    """From sender to receiver."""
    channel: Channel
    size: int


def unpaced() -> PicturePacer:
    """A pacer that lets a source go over at once."""
    return PicturePacer(first_rate=1e9, later_rate=1e9, queue_bound=1 << 30)


class Loopback:
    """One call of a clip that is square already, or whose centre square is taken; every frame sent is drawn once."""

    def __init__(
        self,
        settings: OutgoingSettings,
        policy: RefreshPolicy,
        engine: Engine,
        basis: MotionBasis,
        upscaler: Upscaler,
        pacer: PicturePacer,
    ) -> None:
        self.messages: list[Message] = []
        self.source_sizes: list[int] = []
        """Bytes of each picture message."""
        self.first_source: Picture | None = None
        """As the receiver had it: decoded and upscaled."""
        self.duration = 0.0
        """Seconds of the call so far, the hold for the first source included."""
        self._sender = OutgoingHalf(settings, engine, basis, policy, pacer)
        self._receiver = IncomingHalf(engine, basis, upscaler)
        self._engine, self._basis = engine, basis
        self._prepared: dict[int, PreparedSource] = {}
        self._driving: deque[Picture] = deque()
        self._drawn: deque[Picture] = deque()
        self._last: Picture | None = None
        self._current: Held | None = None

    def play(self, frames: Iterable[tuple[float, Picture]]) -> Iterator[tuple[Picture, Picture]]:
        """(driving, drawn) of every frame: the centre square of the clip as it is, and what the receiver draws of it.

        As in a call of a file, the clip begins to play once its first frame is held as a source.
        """
        offset = 0.0
        for stamp, picture in frames:
            self._run_until(offset + stamp)
            analysis = self._sender.analyse(picture)
            if analysis is not None and not self._sender.gallery.sources:
                self._push(analysis)
                offset += self._hold()
            sent = self._sender.counts.frames_sent
            self._push(analysis)
            if self._sender.counts.frames_sent > sent:
                square = whole_square(picture)
                self._driving.append(cut(picture, square, square.side))
            self._step()
            yield from self._pairs()
        self._deliver(self._sender.finish("the end", self.duration))
        self._answer(self._receiver.finish("goodbye", self.duration))
        yield from self._pairs()

    def _pairs(self) -> Iterator[tuple[Picture, Picture]]:
        while self._drawn:
            yield self._driving.popleft(), self._drawn.popleft()

    def _run_until(self, time: float) -> None:
        while self.duration + TICK_SECONDS < time:
            self.duration += TICK_SECONDS
            self._step()
        self.duration = time

    def _hold(self) -> float:
        """Seconds until the receiver holds the first source."""
        began = self.duration
        while not self._sender.gallery.sources:
            self._step()
            self.duration += TICK_SECONDS
            if self.duration - began > HOLD_SECONDS:
                raise ValueError(f"the first source did not go over within {HOLD_SECONDS:g} s: choose a smaller one")
        return self.duration - began

    def _push(self, analysis: Analysis | None) -> None:
        job = self._sender.push(analysis, self.duration, self.duration)
        if job is not None:
            message = self._sender.encode(job)
            self.source_sizes.append(len(message))
            self._sender.send_source(job, message)

    def _step(self) -> None:
        self._deliver(self._sender.tick(self.duration, 0))
        while (due := self._receiver.due(self.duration)) is not None:  # only so that its statistics are those of a call
            self._receiver.shown(due[0], self.duration)
        self._answer(self._receiver.tick(self.duration))

    def _deliver(self, messages: Iterable[tuple[Channel, bytes]]) -> None:
        for channel, data in messages:
            self.messages.append(Message(True, channel, len(data)))
            self._receiver.receive(channel, data, self.duration)
            if channel is Channel.MOTION:
                self._draw(data)
            while (job := self._receiver.next_job()) is not None:
                source = self._receiver.prepare(job)
                self._prepared[source.held.source_id] = source
                self._receiver.add_source(source)
                if self.first_source is None:
                    self.first_source = source.picture

    def _answer(self, messages: Iterable[tuple[Channel, bytes]]) -> None:
        for channel, data in messages:
            self.messages.append(Message(False, channel, len(data)))
            self._sender.receive(channel, data, self.duration)

    def _draw(self, data: bytes) -> None:
        """Draws all frames of a bundle from the sources that it names."""
        bundle = decode_bundle(data, self._basis)
        sources = self._receiver.gallery.at(bundle.epoch)
        for motion in bundle.frames:
            if motion is not None:
                self._current = choose(sources, motion, self._current)
            if motion is not None and self._current is not None:
                self._last = self._engine.draw(self._prepared[self._current.source_id].features, motion)
            assert self._last is not None  # motion is sent only once a source is held
            self._drawn.append(self._last)
