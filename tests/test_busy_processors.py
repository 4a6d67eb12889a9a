"""Whole calls in simulated time whose processors have too much to do: what goes then, and what is made of it.

Loops that run seldom, frames that are analysed late, and drawing that takes long are stand-ins with stated times.
"""

from __future__ import annotations

import pytest
from simulated_call import FPS, AdaptingCall

from receiver.playout import DueFrame
from sender.cpu_load import Spare
from sender.profiles import USUAL_BASE
from sender.refresh import EveryN
from shared.audio.packetizer import Packet

WIDE = 64_000.0
SOUND_MS = 60
SPOKEN = bytes([3 << 3]) + bytes(10)
"""A packet as Opus begins it: 60 ms of SILK in one frame (RFC 6716, table 2)."""


class BusyCall(AdaptingCall):
    """A call with both sides' processors."""

    def __init__(self, rate: float = WIDE) -> None:
        super().__init__(rate, base=USUAL_BASE, policy=EveryN(100))
        self._began = self.now
        self.every = 0.0
        """Seconds from one turn of the receiver's loop to the next; 0: as often as it wants."""
        self.drawing = 0.03
        self.said: list[int] = []
        """Lateness that the receiver told of as the link's, ms."""
        self.sounds = 0
        self._left_out = False
        self._wakes = 0.0
        self.picks: list[float] = []
        """How long a frame was due when its drawing began, seconds."""

    def step(self) -> None:
        super().step()
        if self.outgoing.statistics is not None:
            self.said.append(self.outgoing.statistics.behind_ms)

    def take(self, clock: float) -> None:
        half = self.outgoing
        half.add_sound(self._spoken(clock))
        self._left_out = half.effort.spare is Spare.FRAMES and not self._left_out
        if not self._left_out:
            super().take(clock)

    def _spoken(self, clock: float) -> list[Packet]:
        due = int((clock - self._began) * 1000 / SOUND_MS) if self.outgoing.gallery.sources else self.sounds
        packets = [Packet(round(1000 * self._began) + n * SOUND_MS, SPOKEN) for n in range(self.sounds, due)]
        self.sounds = max(self.sounds, due)
        return packets

    def take_turn(self) -> None:
        if self.now >= self._wakes - 1e-9:
            self._wakes = self.now + self.every
            self.receive()
            self.draw()

    def begin(self, frame: DueFrame) -> None:
        self.picks.append(self.now - frame.capture - (self.incoming.playout.delay or 0.0))


@pytest.fixture
def call() -> BusyCall:
    """One that has gone well for ten seconds."""
    call = BusyCall()
    call.run(10)
    assert call.incoming.counts.frames_shown > 200
    assert not call.outgoing.adaptation.limited
    return call


def what_goes(call: BusyCall) -> tuple[object, ...]:
    link = call.outgoing.adaptation
    return link.limited, link.step, link.bundle, link.base, link.picture_size


def test_a_receiver_that_is_starved_draws_less_and_takes_in_everything(call: BusyCall) -> None:
    before, usual = call.incoming.counts.frames_shown, what_goes(call)
    sources, rate = call.incoming.counts.sources_received, call.outgoing.adaptation.picture_rate
    call.every, call.drawing = 0.35, 0.5
    for _ in range(100):
        call.run(0.1)
        assert what_goes(call) == usual
        assert call.outgoing.adaptation.picture_rate >= rate
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
    assert max(call.picks) < 1.5 / FPS, "a newer one was due"


def test_a_sender_that_is_starved_leaves_out_what_it_can_and_is_not_taken_for_a_thin_link(call: BusyCall) -> None:
    usual, sounds = what_goes(call), call.sounds
    base, frames = call.outgoing.base_counts.coded, call.outgoing.counts.frames_sent
    call.late = lambda clock: 0.6
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
    call.late = lambda clock: 0.0
    call.run(10)
    assert call.outgoing.effort.spare is Spare.NOTHING
    assert not call.incoming.sender_busy
    assert call.outgoing.base_counts.coded > coded
    assert call.incoming.counts.sound_packets >= call.sounds - 8
    assert what_goes(call) == usual


def test_a_thin_link_is_still_seen_beside_both(call: BusyCall) -> None:
    call.every, call.late = 0.1, lambda clock: 0.2
    call.run(5)
    assert not call.outgoing.adaptation.limited
    call.set_rate(6_000.0)
    call.run(15)
    assert call.outgoing.adaptation.limited
