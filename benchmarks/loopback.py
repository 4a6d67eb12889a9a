"""Both halves of a call joined without a network: what one sends, the other has at once, on the clip's own clock.

Frames whose motion is not sent are drawn from interpolated motion, as the receiver's playout does it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from receiver.incoming import IncomingHalf, PreparedSource
from receiver.upscale import Upscaler
from sender.analysis import Analysis
from sender.budget import WireEstimate, budget_for
from sender.first_source import FirstSource
from sender.framing import cut, whole_square
from sender.outgoing import OutgoingHalf, OutgoingSettings
from sender.profile import DEFAULT_PROFILE, PROFILES
from sender.refresh import RefreshPolicy
from sender.sources import Job
from shared.codec.bundle import decode_bundle
from shared.codec.motion_basis import MotionBasis
from shared.gallery import Held
from shared.link.base import Channel
from shared.link.pacing import PicturePacer
from shared.mixture import Mixture, Share
from shared.models.engine import Engine, Picture
from shared.motion import Motion, between
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
    time: float = 0.0
    """Seconds of the call."""


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
        settings: OutgoingSettings,
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
        self._sender = OutgoingHalf(settings, engine, basis, policy, pacer, bound, FirstSource())
        self._sender.accept_base(True)
        self._wire = WireEstimate()
        self._offset = 0.0  # of the call's time against the clip's stamps
        self._receiver = IncomingHalf(engine, basis, upscaler)
        self._engine, self._basis = engine, basis
        self._prepared: dict[int, PreparedSource] = {}
        self._driving: deque[Picture] = deque()
        self._drawn: deque[Picture] = deque()
        self._last: Picture | None = None
        self.shares: list[dict[int, float]] = []
        """Of each frame drawn: weights of its sources by id; empty where the picture stays as it is."""
        self._mixture = Mixture() if mixture is None else mixture
        self._motion_every = settings.step
        self._before: tuple[int, Motion | None] | None = None
        """Epoch and motion of the last frame that came."""

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
        yield from self._pairs()

    def _open(self, kept: Sequence[_Frame]) -> Iterator[tuple[Picture, Picture]]:
        """The first source goes over, then the frames are sent that waited for it."""
        self._offset = self._hold() - kept[0].stamp
        for frame in kept:
            yield from self._send(frame)

    def _send(self, frame: _Frame) -> Iterator[tuple[Picture, Picture]]:
        self._run_until(self._offset + frame.stamp)
        self._do(self._sender.push(frame.analysis, self.duration, self.duration))
        self._driving.append(frame.square)
        self._step()
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
        self._sender.spent(*self._wire.total(self.duration), self.duration)
        self._deliver(self._sender.tick(self.duration, 0))
        while (due := self._receiver.due(self.duration)) is not None:  # only so that its statistics are those of a call
            self._receiver.shown(due[0], self.duration)
        self._answer(self._receiver.tick(self.duration))

    def _deliver(self, messages: Iterable[tuple[Channel, bytes]]) -> None:
        messages = list(messages)
        self._wire.add([len(data) for _, data in messages])
        for channel, data in messages:
            self.messages.append(Message(True, channel, len(data), self.duration))
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
        messages = list(messages)
        self._wire.add([len(data) for _, data in messages], out=False)
        for channel, data in messages:
            self.messages.append(Message(False, channel, len(data), self.duration))
            self._sender.receive(channel, data, self.duration)

    def _draw(self, data: bytes) -> None:
        """Draws all frames of a bundle, and those before each that were not sent, from the sources that it names."""
        bundle = decode_bundle(data, self._basis)
        sources = self._receiver.gallery.at(bundle.epoch)
        for motion in bundle.frames:
            epoch, before = self._before or (bundle.epoch, None)
            for number in range(1, self._motion_every if self._before else 1):
                if before is None or motion is None or epoch != bundle.epoch:
                    self._show(sources, None)
                else:
                    self._show(sources, between(before, motion, number / self._motion_every))
            self._show(sources, motion)
            self._before = bundle.epoch, motion

    def _show(self, sources: Sequence[Held], motion: Motion | None) -> None:
        """Draws a frame; without motion the picture stays as it is."""
        shares = () if motion is None else self._mixture.step(sources, motion, len(self.shares))
        self.shares.append({share.held.source_id: share.weight for share in shares})
        self._drawn_from(shares, motion)
        if motion is not None and shares:
            given = [(self._prepared[held.source_id].features, weight) for held, weight in shares]
            self._last = self._engine.draw(given, motion)
        assert self._last is not None  # motion is sent only once a source is held
        self._drawn.append(self._last)

    def _drawn_from(self, shares: Sequence[Share], motion: Motion | None) -> None:
        """Called with what each frame is drawn from."""
