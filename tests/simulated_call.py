"""A call in simulated time: both halves, the line between them, and what the receiver's processor takes.

No sockets and no waiting. Nothing is lost for good and nothing sent twice here: that is the real link's to repair, and
tested with it. What a link repairs comes later than the rest: `Conditions.reorder` and `held_up` say so.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count
from math import ceil, inf
from typing import NamedTuple

import numpy as np
from call_examples import KEYPOINTS, SYMBOLS, ColourEngine, make_motion

from benchmarks.line import Conditions, Line
from receiver.decoder import CallDecoder
from receiver.playout import DueFrame
from receiver.synthesis import Mixed
from receiver.upscale import Bicubic
from sender.analysis import Analysis
from sender.crop import whole_square
from sender.encoder import CallEncoder, EncoderSettings
from sender.profiles import BasePoint
from sender.refresh import EveryN, RefreshPolicy
from shared.call.loop import Outgoing
from shared.codec.motion_basis import MotionBasis
from shared.codec.range_coder import TOTAL
from shared.cores import DRAWERS
from shared.transport.link import ACK_SIZE, MAX_USER_DATA, PACKET_HEADERS, Channel, chunk_cost
from shared.transport.resuming import NOTHING_GOES, Change

FPS = 25.0
COMPONENTS = 8
"""With the pose: 7.5 bytes a frame, as the embedded engine has."""
DELAY = 0.05
"""Seconds that a message takes, where a test says nothing else."""
_EARLY = 1e-9
"""Seconds by which a clock that was added up may be behind."""


def even(fps: float, seconds: float = inf, start: float = 0.0) -> Iterator[float]:
    """When frames of a camera that keeps its rate are captured."""
    return (start + n / fps for n in (count() if seconds == inf else range(round(seconds * fps))))


@dataclass
class Shown:
    """A frame on display."""

    at: float
    frame: DueFrame

    @property
    def number(self) -> int:
        """Of the frame."""
        return self.frame.number

    @property
    def delay(self) -> float:
        """Seconds from its capture."""
        return (self.at - self.frame.capture) % 1048.576


class SimulatedCall:
    """A call whose time `run` lets pass. `outgoing` and `incoming` may be replaced, as by a program started again."""

    def __init__(
        self,
        outgoing: CallEncoder,
        incoming: CallDecoder,
        look: Callable[[float], Analysis | None],
        clocks: Iterator[float] | Sequence[float],
        *,
        there: Conditions | None = None,
        back: Conditions | None = None,
        tick: float = 0.01,
        began: float = 0.0,
    ) -> None:
        """`look`: what the camera sees at a clock, one of `clocks`; `back`: as `there` where it is not given."""
        self.outgoing, self.incoming, self.look = outgoing, incoming, look
        there, chance = there or Conditions(delay=DELAY), random.Random(1)
        self.there: Line[list[Outgoing]] = Line(there, chance)
        self.back: Line[list[Outgoing]] = Line(back or there, chance)
        self.now, self._tick = began - tick, tick
        self.late: Callable[[float], float] = lambda clock: 0.0
        """Seconds from a clock until the sender has analysed what was seen then."""
        self.drawing = 0.0
        """Seconds that a frame takes to draw."""
        self.shown: list[Shown] = []
        self.bundles: list[int] = []
        """Bytes of each."""
        self.frames = 0
        """Captured so far."""
        self.lost = 0
        """Packets that the queue of a line had no room for."""
        self.keep = True
        """Whether a list is kept of what was shown and sent."""
        self.alive = True
        """Whether there is a connection."""
        self._clocks = iter(clocks)
        self._next = next(self._clocks, inf)
        self._captured: deque[float] = deque()
        self._drawn: deque[tuple[float, DueFrame, Mixed]] = deque()
        self._unacknowledged = 0

    def run(self, seconds: float) -> None:
        """Lets time pass."""
        for _ in range(round(seconds / self._tick)):
            self.step()

    def until(self, condition: Callable[[], bool], within: float = 60.0) -> None:
        """Lets time pass until a condition holds."""
        end = self.now + within
        while not condition():
            assert self.now < end, "it never came to that"
            self.step()

    def skip(self, seconds: float) -> None:
        """Time passes in which nobody does anything, nor the camera."""
        self.now += seconds
        self._next += seconds
        self._clocks = (clock + seconds for clock in self._clocks)

    def step(self) -> None:
        """Lets the shortest time pass."""
        self.now += self._tick
        self.film()
        self.send(self.there, self.outgoing.tick(self.now, 0 if self.alive else NOTHING_GOES))
        self.take_turn()
        for packet in self.back.take(self.now):
            for channel, data in packet:
                self.outgoing.receive(channel, data, self.now)

    def set_rate(self, rate: float) -> None:
        """The link's rate in bit/s from now on, both ways."""
        for line in (self.there, self.back):
            line.change(self.now, replace(line.conditions, rate=rate))

    def cut(self) -> None:
        """The connection is gone, and both sides know."""
        self.alive = False
        for line in (self.there, self.back):
            line.change(self.now, replace(line.conditions, cut=True))
        self.outgoing.link_changed(Change.LOST, self.now)
        self.incoming.link_changed(Change.LOST, self.now)

    def mend(self, to_sender: Change | None = Change.RENEWED, to_receiver: Change | None = Change.RENEWED) -> None:
        """There is a connection again, which the halves are told so; None: not, as a new one is told nothing."""
        self.alive = True
        for line in (self.there, self.back):
            line.change(self.now, replace(line.conditions, cut=False))
        if to_sender is not None:
            self.outgoing.link_changed(to_sender, self.now)
        if to_receiver is not None:
            self.incoming.link_changed(to_receiver, self.now)

    def film(self) -> None:
        """The sender's turn at its camera."""
        while self._next <= self.now + _EARLY:
            self._captured.append(self._next)
            self._next = next(self._clocks, inf)
        while self._captured and self._captured[0] + self.late(self._captured[0]) <= self.now + _EARLY:
            self.take(self._captured.popleft())

    def take(self, clock: float) -> None:
        """The sender takes what was seen at a clock."""
        self.frames += 1
        job = self.outgoing.push(self.look(clock), clock, self.now)
        if job is not None:
            self.outgoing.done(job.perform(), self.now)

    def take_turn(self) -> None:
        """The receiver's turn."""
        self.draw()
        self.receive()

    def receive(self) -> None:
        """The receiver takes in what has come."""
        for packet in self.there.take(self.now):
            self._unacknowledged += 1
            if self._unacknowledged == 2:
                self._unacknowledged = 0
                self.lost += not self.back.offer([], ACK_SIZE, self.now) and self.alive
            for channel, data in packet:
                self.incoming.receive(channel, data, self.now)

    def draw(self) -> None:
        """The receiver shows what is drawn, begins to draw what is due, and says what it has to say."""
        while (job := self.incoming.next_job()) is not None:
            self.incoming.add_source(self.incoming.prepare(job))
        self._show()
        while len(self._drawn) < DRAWERS and (item := self.incoming.due(self.now)) is not None:
            frame, sources = item
            self._drawn.append((self.now + (self.drawing if sources else 0.0), frame, sources))
            if sources:
                self.begin(frame)
            if self.drawing == 0:
                self._show()
        self.send(self.back, self.incoming.tick(self.now))

    def begin(self, frame: DueFrame) -> None:
        """Drawing of a frame begins."""

    def show(self, frame: DueFrame, sources: Mixed) -> None:
        """A frame is on display, or the one before it still, if there are no sources."""
        if sources:
            self.incoming.shown(frame, self.now)
            if self.keep:
                self.shown.append(Shown(self.now, frame))

    def send(self, line: Line[list[Outgoing]], messages: Sequence[Outgoing]) -> None:
        """In as few packets as hold them."""
        packet: list[Outgoing] = []
        for message in messages:
            if self.keep and message[0] is Channel.MOTION:
                self.bundles.append(len(message[1]))
            if packet and _chunks([*packet, message]) > MAX_USER_DATA:
                self._offer(line, packet)
                packet = []
            packet.append(message)
        if packet:
            self._offer(line, packet)

    def _offer(self, line: Line[list[Outgoing]], packet: list[Outgoing]) -> None:
        headers = PACKET_HEADERS * ceil(_chunks(packet) / (MAX_USER_DATA + 16))
        self.lost += not line.offer(packet, _chunks(packet) + headers, self.now) and self.alive

    def _show(self) -> None:
        while self._drawn and self._drawn[0][0] <= self.now + _EARLY:
            _, frame, sources = self._drawn.popleft()
            self.show(frame, sources)


def _chunks(packet: list[Outgoing]) -> int:
    return sum(chunk_cost(len(data)) for _, data in packet)


def realistic_basis() -> MotionBasis:
    """One whose frames have the size of real ones."""
    flat = np.full((7 - 1 + COMPONENTS, SYMBOLS), TOTAL // SYMBOLS, np.uint16)
    return MotionBasis(
        pose_mean=np.zeros(7, np.float32),
        pose_steps=np.array([0.5, 0.5, 0.5, 2**-6, 2**-8, 2**-8, 0], np.float32),
        expression_mean=np.zeros(3 * KEYPOINTS, np.float32),
        components=np.zeros((COMPONENTS, 3 * KEYPOINTS), np.float32),
        analysis=np.zeros((COMPONENTS, 3 * KEYPOINTS), np.float32),
        component_steps=np.ones(COMPONENTS, np.float32),
        intra_frequencies=flat,
        inter_frequencies=flat[None],
        activity=np.full(6 + COMPONENTS, 16, np.uint16),
        context_edges=np.zeros(0, np.uint16),
    )


class Moment(NamedTuple):
    """What the sender made of its link."""

    time: float
    queueing: float
    """Seconds that a packet had to wait for those before it."""
    bundle: int
    step: int
    picture_rate: float
    base: BasePoint | None


class AdaptingCall(SimulatedCall):
    """A call with bytes like those of a real one: sources are noise of about two kilobytes."""

    def __init__(
        self,
        rate: float = inf,
        delay: float = DELAY,
        *,
        policy: RefreshPolicy | None = None,
        bundle: int = 5,
        step: int = 1,
        side: int = 64,
        fps: float = FPS,
        base: BasePoint | None = None,
    ) -> None:
        settings = EncoderSettings(fps, bundle, side, 70, "none", step, base)
        engine = ColourEngine(size=side)
        noise = np.random.default_rng(2).integers(0, 255, (side // 2, side // 2, 3), np.uint8)
        self._picture = np.repeat(np.repeat(noise, 2, 0), 2, 1)
        self._canonical = engine.extract(self._picture)[0]
        self.moments: list[Moment] = []
        began, link = 1000.0, Conditions(rate, delay)
        super().__init__(
            CallEncoder(settings, engine, realistic_basis(), policy or EveryN(150)),
            CallDecoder(engine, realistic_basis(), Bicubic(), fps),
            self._see, even(fps, start=began), there=link, tick=0.5 / fps, began=began,
        )  # fmt: skip
        self.outgoing.accept_base(base is not None)

    def step(self) -> None:
        super().step()
        if self.keep:
            link = self.outgoing.adaptation
            queueing = self.there.queueing(self.now)
            self.moments.append(Moment(self.now, queueing, link.bundle, link.step, link.picture_rate, link.base))

    def since(self, time: float) -> list[Moment]:
        """What was from a time on."""
        return [moment for moment in self.moments if moment.time >= time - _EARLY]

    def _see(self, clock: float) -> Analysis:
        motion = make_motion(20 * np.sin(self.frames / 20), 10 * np.cos(self.frames / 17))
        shown = np.roll(self._picture, self.frames % 3, 1) if self.outgoing.base_goes else self._picture
        return Analysis(shown, whole_square(self._picture), 0, self._canonical, motion)
