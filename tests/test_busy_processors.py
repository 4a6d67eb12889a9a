"""Whole calls in simulated time whose processors have too much to do: what goes then, and what is made of it.

Loops that run seldom, frames that are analysed late, and drawing that takes long are stand-ins with stated times.
"""

from __future__ import annotations

from collections import deque

import numpy as np
import pytest
from call_examples import make_motion
from simulated_call import SimulatedCall

from receiver.playout import Frame
from sender.analysis import Analysis
from sender.crop import whole_square
from sender.effort import Spare
from sender.profile import USUAL_BASE
from sender.refresh import EveryN
from sender.voice import Packet
from shared.cores import DRAWERS

WIDE = 64_000.0
SOUND_MS = 60
SPOKEN = bytes([3 << 3]) + bytes(10)
"""A packet as Opus begins it: 60 ms of SILK in one frame (RFC 6716, table 2)."""


class BusyCall(SimulatedCall):
    """A call with both sides' processors."""

    def __init__(self, rate: float = WIDE) -> None:
        super().__init__(rate, base=USUAL_BASE, policy=EveryN(100))
        self.late = 0.0
        """Seconds from a frame's capture until the sender has analysed it."""
        self.every = 0.0
        """Seconds from one turn of the receiver's loop to the next; 0: as often as it wants."""
        self.drawing = 0.03
        """Seconds that a frame takes."""
        self.said: list[int] = []
        """Lateness that the receiver told of as the link's, ms."""
        self.sounds = 0
        self._captured: deque[float] = deque()
        self._left_out = False
        self._wakes = 0.0
        self._drawn: deque[tuple[float, Frame]] = deque()
        self.picks: list[tuple[int, int | None]] = []
        """Frame that was begun, and the newest that was due then."""

    def _send(self) -> None:
        half = self.outgoing
        if (self.now - self._began) * self._fps >= self._frames:
            self._frames += 1
            self._captured.append(self.now)
        while self._captured and self._captured[0] + self.late <= self.now + 1e-9:
            clock = self._captured.popleft()
            half.add_sound(self._spoken(clock))
            self._left_out = half.effort.spare is Spare.FRAMES and not self._left_out
            if self._left_out:
                continue
            motion = make_motion(20 * np.sin(clock), 10 * np.cos(clock))
            analysis = Analysis(self._picture, whole_square(self._picture), 0, self._canonical, motion)
            job = half.push(analysis, clock, self.now)
            if job is not None:
                half.done(job.perform(), self.now)
        self._offer(self.there, half.tick(self.now, 0))
        if half.statistics is not None:
            self.said.append(half.statistics.behind_ms)

    def _spoken(self, clock: float) -> list[Packet]:
        due = int((clock - self._began) * 1000 / SOUND_MS) if self.outgoing.gallery.sources else self.sounds
        packets = [Packet(round(1000 * self._began) + n * SOUND_MS, SPOKEN) for n in range(self.sounds, due)]
        self.sounds = max(self.sounds, due)
        return packets

    def _arrive(self) -> None:
        """At the sender alone: the receiver takes in what has come when its loop has its turn."""
        for packet in self.back.take(self.now):
            for channel, data in packet:
                self.outgoing.receive(channel, data, self.now)

    def _show(self) -> None:
        half = self.incoming
        if self.now < self._wakes - 1e-9:
            return
        self._wakes = self.now + self.every
        for packet in self.there.take(self.now):
            for channel, data in packet:
                half.receive(channel, data, self.now)
        while (job := half.next_job()) is not None:
            half.add_source(half.prepare(job))
        while self._drawn and self._drawn[0][0] <= self.now:
            half.shown(self._drawn.popleft()[1], self.now)
        while len(self._drawn) < DRAWERS:
            due = [n for n, f in half.playout._frames.items() if f.capture + (half.playout.delay or 0) <= self.now]
            item = half.due(self.now)
            if item is None:
                break
            if item[1]:
                self.picks.append((item[0].number, max(due)))
                self._drawn.append((self.now + self.drawing, item[0]))
        self._offer(self.back, half.tick(self.now))


@pytest.fixture
def call() -> BusyCall:
    """One that has gone well for ten seconds."""
    call = BusyCall()
    call.run(10)
    assert call.incoming.counts.frames_shown > 200
    assert not call.outgoing._link.limited
    return call


def what_goes(call: BusyCall) -> tuple[object, ...]:
    link = call.outgoing._link
    return link.limited, link.step, link.bundle, link.base, link.picture_size


def test_a_receiver_that_is_starved_draws_less_and_takes_in_everything(call: BusyCall) -> None:
    before, usual = call.incoming.counts.frames_shown, what_goes(call)
    sources, rate = call.incoming.counts.sources_received, call.outgoing._link.picture_rate
    call.every, call.drawing = 0.35, 0.5
    for _ in range(100):
        call.run(0.1)
        assert what_goes(call) == usual
        assert call.outgoing._link.picture_rate >= rate
    assert call.incoming.playout.behind < 0.05
    assert call.incoming.counts.frames_shown - before < 60
    assert max(call.said[-500:]) < 250
    statistics = call.outgoing.statistics
    assert statistics is not None and (statistics.busy_ms or 0) >= 300
    assert statistics.late == call.incoming.playout.late == 0
    call.every, call.drawing = 0.0, 0.03
    call.run(1.0)
    assert call.incoming.counts.frames_received >= call.outgoing.counts.frames_sent - 10  # the last are under way
    assert call.incoming.counts.sound_packets >= call.sounds - 8
    assert call.incoming.counts.sources_received > sources
    assert call.incoming.base is not None
    assert call.incoming.base.track.decoded >= call.outgoing.base_counts.packets - 5
    call.run(8)
    assert call.outgoing.statistics is not None and call.outgoing.statistics.busy_ms is None


def test_a_receiver_recovers_at_once(call: BusyCall) -> None:
    call.drawing = 0.5
    call.run(5)
    call.drawing, begun = 0.03, len(call.picks)
    call.run(2)
    assert len(call.picks) - begun >= 40
    assert all(number == newest for number, newest in call.picks)


def test_a_sender_that_is_starved_leaves_out_what_it_can_and_is_not_taken_for_a_thin_link(call: BusyCall) -> None:
    usual, sounds = what_goes(call), call.sounds
    base, frames = call.outgoing.base_counts.coded, call.outgoing.counts.frames_sent
    call.late = 0.6
    call.run(2.5)
    assert call.outgoing.effort.spare is Spare.FRAMES
    coded = call.outgoing.base_counts.coded
    call.run(10)
    assert call.incoming.sender_busy
    assert call.outgoing.base_counts.coded == coded > base
    assert call.outgoing.counts.frames_sent - frames > 12.5 * 12.5 - 40  # every second frame at least
    assert max(call.said[-500:]) > 250  # the receiver cannot know; the sender does
    assert what_goes(call) == usual
    assert call.sounds - sounds >= 11.8 / (SOUND_MS / 1000)
    call.late = 0.0
    call.run(10)
    assert call.outgoing.effort.spare is Spare.NOTHING
    assert not call.incoming.sender_busy
    assert call.outgoing.base_counts.coded > coded
    assert call.incoming.counts.sound_packets >= call.sounds - 8
    assert what_goes(call) == usual


def test_a_thin_link_is_still_seen_beside_both(call: BusyCall) -> None:
    call.every, call.late = 0.1, 0.2
    call.run(5)
    assert not call.outgoing._link.limited
    call.set_rate(6_000.0)
    call.run(15)
    assert call.outgoing._link.limited
