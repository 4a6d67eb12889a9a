"""Both halves of a call in simulated time, over a line with a rate and a queue: no sockets, no waiting.

Nothing is lost and nothing sent twice here: that is the real link's to repair, and tested with it.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from math import ceil
from typing import NamedTuple

import numpy as np
from call_examples import KEYPOINTS, SYMBOLS, ColourEngine, make_motion

from benchmarks.line import Conditions, Line
from receiver.incoming import IncomingHalf
from receiver.upscale import Bicubic
from sender.analysis import Analysis
from sender.crop import whole_square
from sender.outgoing import OutgoingHalf, OutgoingSettings
from sender.profile import BasePoint
from sender.refresh import EveryN, RefreshPolicy
from shared.codec.motion_basis import MotionBasis
from shared.codec.range_coder import TOTAL
from shared.link.base import ACK_SIZE, MAX_USER_DATA, PACKET_HEADERS, Channel, chunk_cost

FPS = 25.0
COMPONENTS = 8
"""With the pose: 7.5 bytes a frame, as the embedded engine has."""
_Message = tuple[Channel, bytes]


def basis() -> MotionBasis:
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
    """How the call was."""

    time: float
    queueing: float
    """Seconds that a packet had to wait for those before it."""
    bundle: int
    step: int
    picture_rate: float
    base: BasePoint | None


@dataclass
class Shown:
    """A frame on display."""

    number: int
    at: float
    delay: float
    """Seconds from its capture."""


class SimulatedCall:
    """A call whose time `run` lets pass. Sources are noise of about two kilobytes."""

    def __init__(
        self,
        rate: float = float("inf"),
        delay: float = 0.05,
        *,
        policy: RefreshPolicy | None = None,
        bundle: int = 5,
        step: int = 1,
        side: int = 64,
        fps: float = FPS,
        base: BasePoint | None = None,
    ) -> None:
        settings = OutgoingSettings(fps, bundle, side, 70, "none", step, base)
        engine, chance = ColourEngine(size=side), random.Random(1)
        self.outgoing = OutgoingHalf(settings, engine, basis(), policy or EveryN(150))
        self.outgoing.accept_base(base is not None)
        self.incoming = IncomingHalf(engine, basis(), Bicubic(), fps)
        self.there: Line[list[_Message]] = Line(Conditions(rate, delay), chance)
        self.back: Line[list[_Message]] = Line(Conditions(rate, delay), chance)
        self.now = self._began = 1000.0
        self._fps, self._tick = fps, 0.5 / fps
        self.moments: list[Moment] = []
        self.shown: list[Shown] = []
        self.lost = 0
        noise = np.random.default_rng(2).integers(0, 255, (side // 2, side // 2, 3), np.uint8)
        self._picture = np.repeat(np.repeat(noise, 2, 0), 2, 1)
        self._canonical = engine.extract(self._picture)[0]
        self._frames = self._unacknowledged = 0
        self.keep = True
        """Whether moments and frames are kept."""

    def set_rate(self, rate: float) -> None:
        """The link's rate in bit/s from now on, both ways."""
        for line in (self.there, self.back):
            line.change(self.now, Conditions(rate, line.conditions.delay))

    def run(self, seconds: float) -> None:
        """Lets time pass."""
        for _ in range(round(seconds / self._tick)):
            self.now += self._tick
            self._send()
            self._show()
            self._arrive()

    def since(self, time: float) -> list[Moment]:
        """What was from a time on."""
        return [moment for moment in self.moments if moment.time >= time - 1e-9]

    def _send(self) -> None:
        half = self.outgoing
        if (self.now - self._began) * self._fps >= self._frames:
            self._frames += 1
            motion = make_motion(20 * np.sin(self._frames / 20), 10 * np.cos(self._frames / 17))
            shown = np.roll(self._picture, self._frames % 3, 1) if self.outgoing.base_goes else self._picture
            analysis = Analysis(shown, whole_square(self._picture), 0, self._canonical, motion)
            job = half.push(analysis, self.now, self.now)
            if job is not None:
                half.done(job.perform(), self.now)
        self._offer(self.there, half.tick(self.now, 0))
        if self.keep:
            link = half._link
            self.moments.append(
                Moment(self.now, self.there.queueing(self.now), link.bundle, link.step, link.picture_rate, link.base)
            )

    def _show(self) -> None:
        half = self.incoming
        while (job := half.next_job()) is not None:
            half.add_source(half.prepare(job))
        while (item := half.due(self.now)) is not None:
            frame, sources = item
            if sources:
                half.shown(frame, self.now)
                if self.keep:
                    self.shown.append(Shown(frame.number, self.now, (self.now - frame.capture) % 1048.576))
        self._offer(self.back, half.tick(self.now))

    def _arrive(self) -> None:
        for packet in self.there.take(self.now):
            self._unacknowledged += 1
            if self._unacknowledged == 2:
                self._unacknowledged = 0
                self.lost += not self.back.offer([], ACK_SIZE, self.now)
            for channel, data in packet:
                self.incoming.receive(channel, data, self.now)
        for packet in self.back.take(self.now):
            for channel, data in packet:
                self.outgoing.receive(channel, data, self.now)

    def _offer(self, line: Line[list[_Message]], messages: list[_Message]) -> None:
        """In as few packets as hold them."""
        packet: list[_Message] = []
        for message in messages:
            if packet and _chunks([*packet, message]) > MAX_USER_DATA:
                self.lost += not line.offer(packet, _chunks(packet) + PACKET_HEADERS, self.now)
                packet = []
            packet.append(message)
        if packet:
            headers = PACKET_HEADERS * ceil(_chunks(packet) / (MAX_USER_DATA + 16))
            self.lost += not line.offer(packet, _chunks(packet) + headers, self.now)


def _chunks(packet: list[_Message]) -> int:
    return sum(chunk_cost(len(data)) for _, data in packet)
