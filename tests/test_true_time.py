"""Whole calls in simulated time whose clocks disagree with the rate that was announced."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise

import pytest
from call_examples import SIDE, ColourEngine, make_basis, picture

from receiver.incoming import IncomingHalf
from receiver.playout import Frame
from receiver.upscale import Bicubic
from sender.outgoing import OutgoingHalf, OutgoingSettings
from sender.pace import LONGEST_STILL
from sender.refresh import First
from shared.codec.bundle import decode_bundle
from shared.link.base import Channel
from shared.motion import Motion

TICK = 0.005
WAY = 0.05
"""Seconds that the link takes."""


@dataclass
class Call:
    """A call over a perfect link; `shown` when which frame was, `slowest` how far behind bundles ever seemed."""

    announced: float
    bundle: int = 6
    step: int = 1
    shown: list[tuple[float, Frame]] = field(default_factory=list)
    messages: int = 0
    size: int = 0
    slowest: float = 0.0

    def play(self, clocks: Sequence[float], late: Sequence[float] | None = None) -> OutgoingHalf:
        """Sends a frame of each clock, whose yaw is its clock in seconds; `late`: when each is pushed after that."""
        settings = OutgoingSettings(self.announced, self.bundle, SIDE, "max", "none", self.step)
        sender = OutgoingHalf(settings, ColourEngine(), make_basis(), First())
        receiver = IncomingHalf(ColourEngine(), make_basis(), Bicubic(), self.announced)
        flying: list[tuple[float, Channel, bytes]] = []
        now, index = clocks[0], 0
        while now < clocks[-1] + 2:
            while index < len(clocks) and clocks[index] + (late[index] if late else 0) <= now:
                seen = sender.analyse(picture(min(50.0, clocks[index] % 50)))
                job = sender.push(seen, clocks[index], now)
                if job is not None:
                    sender.done(job.perform(), now)
                index += 1
            for channel, data in sender.tick(now, 0):
                flying.append((now + WAY, channel, data))
                self.messages += channel is Channel.MOTION
                self.size += len(data) if channel is Channel.MOTION else 0
            while flying and flying[0][0] <= now:
                _, channel, data = flying.pop(0)
                receiver.receive(channel, data, now)
                if channel is Channel.MOTION:
                    self.slowest = max(self.slowest, receiver.timing.behind)
            while (source := receiver.next_job()) is not None:
                receiver.add_source(receiver.prepare(source))
            for channel, data in receiver.tick(now):
                sender.receive(channel, data, now)
            item = receiver.due(now)
            if item is not None:
                self.shown.append((now, item[0]))
            now += TICK
        return sender

    def settled(self, since: float) -> list[tuple[float, Frame]]:
        """What was shown from a time on, without the last bundle, which waits in vain to be filled."""
        end = self.shown[-1][0] - 1
        return [each for each in self.shown if since <= each[0] < end]

    def delays(self, since: float) -> list[float]:
        """Seconds from capture to display of each frame shown from a time on."""
        return [at - frame.capture for at, frame in self.settled(since)]

    def apart(self, since: float) -> list[float]:
        """Seconds between frames shown."""
        return [b - a for (a, _), (b, _) in pairwise(self.settled(since))]


def even(fps: float, seconds: float, start: float = 10.0) -> list[float]:
    return [start + n / fps for n in range(round(seconds * fps))]


@pytest.mark.parametrize(
    ("announced", "step", "true"),
    [
        (30, 1, 15),
        (30, 2, 15),
        (30, 1, 24),
        (30, 1, 25),
        (30, 2, 25),
        (30, 1, 29.97),
        (25, 1, 30),
        (25, 2, 30),
        (30, 1, 7.5),
        (5, 1, 25),
        (60, 1, 20),
        (60, 2, 20),
    ],
)
def test_a_camera_that_gives_another_rate_than_it_announced_plays_evenly(
    announced: float, step: int, true: float
) -> None:
    call = Call(announced, step=step)
    sender = call.play(even(true, 12))
    apart = call.apart(13)
    assert max(apart) - min(apart) <= 2 * TICK + 0.003
    assert max(apart) <= step / true + 2 * TICK
    assert call.slowest < 0.02
    assert not sender._link.limited
    delays = call.delays(13)
    assert max(delays) - min(delays) <= 2 * TICK + 0.003


def test_a_slow_camera_keeps_the_delay_and_the_messages_of_a_quick_one() -> None:
    quick, slow = Call(30), Call(30)
    quick.play(even(30, 12))
    slow.play(even(15, 12))
    assert slow.messages == pytest.approx(quick.messages, rel=0.05)
    assert max(slow.delays(13)) <= max(quick.delays(13)) + 0.01


def test_a_clock_that_trembles_plays_evenly() -> None:
    chance = random.Random(1)
    call = Call(30)
    call.play([clock + chance.uniform(-0.005, 0.005) for clock in even(30, 12)])
    apart = call.apart(13)
    assert min(apart) >= 0.015
    assert max(apart) <= 0.055


def test_frames_of_a_slow_processor_are_where_they_were_captured_not_where_they_were_fetched() -> None:
    chance = random.Random(2)
    clocks = even(30, 12)
    call = Call(30)
    call.play(clocks, [chance.uniform(0.0, 0.03) for _ in clocks])
    apart = call.apart(13)
    assert max(apart) - min(apart) <= 2 * TICK + 0.003
    assert call.slowest < 0.06


def test_a_rate_that_drifts_down_in_the_dark_is_followed() -> None:
    intervals = [1 / (30 - 15 * n / 300) for n in range(300)]
    clocks = list(accumulate(intervals, initial=10.0))
    call = Call(30)
    sender = call.play(clocks)
    true = {round(clock, 3) for clock in clocks}
    for _, frame in call.shown:
        assert min(abs(frame.capture - clock) for clock in true) <= 0.04  # or it was made up between two
    assert call.slowest < 0.06
    assert not sender._link.limited


@pytest.mark.parametrize("gap", [0.5, 3.0, 40.0])
def test_a_clock_that_jumps_ahead_jumps_on_display_by_as_much(gap: float) -> None:
    clocks = even(25, 4)[:-2] + even(25, 4, 14 + gap)  # a full bundle goes before
    call = Call(25)
    call.play(clocks)
    delays = call.delays(12)
    assert max(delays) - min(delays) <= 0.05
    assert max(call.apart(12)) == pytest.approx(gap + 0.12, abs=0.05)
    assert call.slowest < 0.05


def test_a_camera_that_stops_is_not_taken_for_a_thin_link() -> None:
    filmed = even(25, 4)[:-3]
    still = [filmed[-1] + LONGEST_STILL * n for n in range(1, 7)]  # the pump repeats the last motion
    call = Call(25)
    sender = call.play(filmed + still + even(25, 4, 16.513))
    assert call.slowest < 0.05
    assert not sender._link.limited
    delays = call.delays(17.5)
    assert max(delays) - min(delays) <= 0.05


def test_a_frame_now_and_then_missing_costs_a_few_bytes_and_no_message() -> None:
    whole, holes = Call(25), Call(25)
    clocks = even(25, 12)
    whole.play(clocks)
    sender = holes.play([clock for n, clock in enumerate(clocks) if n % 13])
    assert holes.messages <= 1.1 * whole.messages
    assert max(holes.apart(12)) <= 0.04 + 2 * TICK
    assert not sender._link.limited


@pytest.mark.parametrize("fps", [0.5, 1.0, 2.0, 4.0, 120.0, 240.0])
@pytest.mark.parametrize("step", [1, 2])
def test_any_rate_can_be_sent(fps: float, step: int) -> None:
    call = Call(min(fps, 60.0), bundle=1 if fps < 5 else 5, step=step)
    sender = call.play(even(fps, 12 if fps > 4 else 30))
    assert sender.counts.frames_sent > 5
    delays = call.delays(15)
    assert max(delays) - min(delays) <= 0.05
    assert call.slowest < 0.1


def test_numbers_never_go_back_and_leave_room_for_what_is_missing() -> None:
    settings = OutgoingSettings(30.0, 5, SIDE, "max", "none")
    sender = OutgoingHalf(settings, ColourEngine(), make_basis(), First())
    job = sender.push(sender.analyse(picture(0)), 9.0, 9.0)
    assert job is not None
    made = sender.done(job.perform(), 9.0)
    assert made is not None
    sender.assume_held(made.source_id)
    chance = random.Random(4)
    clock, last = 10.0, -1
    for _ in range(500):
        clock += chance.choice((1 / 30, 1 / 30, 1 / 15, 0.05, 0.3, 2.5))
        sender.push(sender.analyse(picture(5)), clock, clock)
        for channel, data in sender.tick(clock, 0):
            if channel is not Channel.MOTION:
                continue
            bundle = decode_bundle(data, make_basis())
            step = max(1, round(bundle.frame_interval_ms * 30 / 1000))
            number = bundle.first_frame
            assert number > last
            last = number + (len(bundle.frames) - 1) * step


def test_the_motion_of_a_place_that_is_filled_lies_between_its_neighbours() -> None:
    call = Call(25)
    call.play([clock for n, clock in enumerate(even(25, 4)) if n % 13])
    yaws = {frame.number: frame.motion for _, frame in call.shown}
    assert all(isinstance(motion, Motion) for motion in yaws.values())
    turned = [float(motion.rotation[0]) for motion in yaws.values() if motion is not None]
    assert turned == sorted(turned)


def test_a_pause_is_shorter_than_what_a_bundle_can_say() -> None:
    call = Call(25)
    call.play([10.0 + LONGEST_STILL * n for n in range(30)])
    assert call.messages <= 30
    assert call.slowest < 0.05
