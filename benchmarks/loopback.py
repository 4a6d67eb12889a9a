"""Both halves of a call joined without a network: what one sends, the other has at once, on the clip's own clock.

The receiver's half decides what is drawn and when, as it does in a call: playout, mixture, base layer.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from benchmarks.accounting import Message
from receiver.decoder import CallDecoder
from receiver.playout import DueFrame
from receiver.synthesis import Mixed
from receiver.upscale import Upscaler
from sender.analysis import Analysis
from sender.crop import cut, whole_square
from sender.encoder import CallEncoder, EncoderSettings
from sender.profiles import DEFAULT_PROFILE, PROFILES
from sender.refresh import FirstSource, RefreshPolicy, budget_for
from sender.source_scheduler import Job
from shared.call.loop import TICK_SECONDS
from shared.codec.motion_basis import MotionBasis
from shared.gallery import Mixture
from shared.models.engine import Engine, Picture
from shared.transport.link import Channel
from shared.transport.metering import ComputedWire
from shared.transport.pacing import PicturePacer

_PLAYS_OUT_SECONDS = 3.0
HOLD_SECONDS = 20.0
"""Time of the call, not of the clock, within which the first source must be held."""


class Unpaced(PicturePacer):
    """Lets a source go over at once, whatever the link is said to carry."""

    def pop_due(self, now: float, link_queued: int, rides: bool = False) -> list[bytes]:
        """All pieces that wait."""
        pieces = [piece.data for piece in self._pieces]
        self._pieces.clear()
        return pieces


@dataclass(frozen=True, eq=False)
class _Frame:
    stamp: float
    analysis: Analysis | None
    square: Picture


class Loopback:
    """One call of a clip that is square already, or whose centre square is taken; every frame is drawn once."""

    def __init__(
        self,
        settings: EncoderSettings,
        policy: RefreshPolicy,
        engine: Engine,
        basis: MotionBasis,
        upscaler: Upscaler,
        pacer: PicturePacer,
        budget: float | None = None,
        mixture: Mixture | None = None,
    ) -> None:
        """`budget`: as the sender's option of that name; `mixture`: the default one if None."""
        self.messages: list[Message] = []
        self.source_sizes: list[int] = []
        """Bytes of each picture message."""
        self.first_source: Picture | None = None
        """As the receiver had it: decoded and upscaled."""
        self.duration = 0.0
        """Seconds of the call so far, the hold for the first source included."""
        bound = budget_for(policy, budget, PROFILES[DEFAULT_PROFILE].budget)
        self._sender = CallEncoder(settings, engine, basis, policy, pacer, bound, FirstSource())
        self._sender.accept_base(True)
        self._wire = ComputedWire()
        self._offset = 0.0  # of the call's time against the clip's stamps
        self._sender.accept_base(settings.base is not None)
        self._receiver = CallDecoder(engine, basis, upscaler, settings.fps, base=settings.base is not None)
        if mixture is not None:
            self._receiver.synthesis.mixture = mixture
        self._driving: deque[Picture] = deque()
        self._drawn: dict[int, Picture] = {}
        """By number of the frame, until it is given out."""
        self._number = 0
        """Of the frame that is given out next."""
        self._last: Picture | None = None
        self._drew_until = 0.0
        self.shares: list[dict[int, float]] = []
        """Of each frame given out: weights of its sources by id; empty where the picture stays as it is."""
        self.base_ages: list[float | None] = []
        """Of each frame given out: seconds since its base picture; None without one."""
        self._from: dict[int, tuple[DueFrame, Mixed]] = {}
        """By number, what each frame was drawn from."""

    def play(self, frames: Iterable[tuple[float, Picture]]) -> Iterator[tuple[Picture, Picture]]:
        """(driving, drawn) of every frame: the centre square of the clip as it is, and what the receiver draws of it.

        As in a call of a file, the clip waits, from its first face on, until its first source is held.
        """
        kept: list[_Frame] = []
        for stamp, picture in frames:
            analysis = self._sender.analyse(picture)
            square = whole_square(picture)
            frame = _Frame(stamp, analysis, cut(picture, square, square.side))
            if self._sender.gallery.sources:
                yield from self._send(frame)
                continue
            if kept or analysis is not None:
                kept.append(frame)
            else:
                self._run_until(stamp)
            if self._do(self._sender.push(analysis, stamp, self.duration)):
                yield from self._open(kept)
        if self._do(self._sender.push_no_more(self.duration)):
            yield from self._open(kept)
        self._deliver(self._sender.finish("the end", self.duration))
        self._answer(self._receiver.finish("goodbye", self.duration))
        self._draw_until(self.duration + _PLAYS_OUT_SECONDS)
        yield from self._pairs(len(self._driving))

    def _open(self, kept: Sequence[_Frame]) -> Iterator[tuple[Picture, Picture]]:
        """The first source goes over, then the frames are sent that waited for it."""
        self._offset = self._hold() - kept[0].stamp
        for frame in kept:
            yield from self._send(frame)

    def _send(self, frame: _Frame) -> Iterator[tuple[Picture, Picture]]:
        self._run_until(self._offset + frame.stamp)
        self._do(self._sender.push(frame.analysis, self.duration, self.duration, frame.square))
        self._driving.append(frame.square)
        self._step()
        yield from self._pairs(max(self._drawn, default=-1) - self._number + 1)

    def _pairs(self, count: int) -> Iterator[tuple[Picture, Picture]]:
        """The next so many frames; one that was not drawn shows what was drawn before it."""
        for _ in range(count):
            number, self._number = self._number, self._number + 1
            frame, mixed = self._from.pop(number, (None, Mixed()))
            self.shares.append({source.held.source_id: weight for source, weight in mixed.sources})
            self.base_ages.append(None if mixed.base is None else mixed.base.age)
            self._given_out(frame, mixed)
            self._last = self._drawn.pop(number, self._last)
            assert self._last is not None  # motion is sent only once a source is held
            yield self._driving.popleft(), self._last

    @property
    def base_bytes(self) -> int:
        """Of the base layer, keys included."""
        return self._sender.base_counts.section_bytes + self._sender.base_counts.key_bytes

    def _given_out(self, frame: DueFrame | None, mixed: Mixed) -> None:
        """Called with what each frame was drawn from; without a frame the picture stays as it is."""

    def _run_until(self, time: float) -> None:
        while self.duration + TICK_SECONDS < time:
            self.duration += TICK_SECONDS
            self._step()
        self.duration = time

    def _hold(self) -> float:
        """The time at which the receiver holds the first source."""
        began = self.duration
        while not self._sender.gallery.sources:
            self._step()
            self.duration += TICK_SECONDS
            if self.duration - began > HOLD_SECONDS:
                raise ValueError(f"the first source did not go over within {HOLD_SECONDS:g} s: choose a smaller one")
        return self.duration

    def _do(self, job: Job | None) -> bool:
        """Whether a source goes out for it."""
        sent = None if job is None else self._sender.done(job.perform(), self.duration)
        if sent is not None:
            self.source_sizes.append(sent.size)
        return sent is not None

    def _step(self) -> None:
        spent = self._wire.total(self.duration)
        self._sender.spent(spent.sent.size, spent.received.size, self.duration)
        self._deliver(self._sender.tick(self.duration, 0))
        self._answer(self._receiver.tick(self.duration))
        self._draw_until(self.duration)

    def _draw_until(self, end: float) -> None:
        """Draws what is due, all of it."""
        for frame, mixed, now in self._receiver.each_due(self._drew_until, end):
            if mixed:
                self._drawn[frame.number] = self._receiver.draw(frame, mixed)
                self._from[frame.number] = frame, mixed
                self._receiver.shown(frame, now)
        self._drew_until = max(self._drew_until, end)

    def _deliver(self, messages: Iterable[tuple[Channel, bytes]]) -> None:
        messages = list(messages)
        self._wire.send([(channel, len(data)) for channel, data in messages], self.duration)
        for channel, data in messages:
            self.messages.append(Message(True, channel, len(data), self.duration))
            self._receiver.receive(channel, data, self.duration)
            while (job := self._receiver.next_job()) is not None:
                source = self._receiver.prepare(job)
                self._receiver.add_source(source)
                if self.first_source is None:
                    self.first_source = source.picture

    def _answer(self, messages: Iterable[tuple[Channel, bytes]]) -> None:
        messages = list(messages)
        self._wire.send([(channel, len(data)) for channel, data in messages], self.duration, out=False)
        for channel, data in messages:
            self.messages.append(Message(False, channel, len(data), self.duration))
            self._sender.receive(channel, data, self.duration)
