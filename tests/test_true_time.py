"""Whole calls in simulated time whose clocks disagree with the rate that was announced."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import accumulate, pairwise

import pytest
from call_examples import SIDE, ColourEngine, make_basis, picture
from simulated_call import Shown, SimulatedCall
from simulated_call import even as clocks_at

from benchmarks.line import Conditions
from receiver.decoder import CallDecoder
from receiver.upscale import Bicubic
from sender.analysis import Analysis
from sender.encoder import CallEncoder, EncoderSettings
from sender.frame_rate import LONGEST_STILL
from sender.refresh import First
from shared.codec.bundle import decode_bundle
from shared.motion import Motion
from shared.transport.link import Channel

TICK = 0.005


class Filmed(SimulatedCall):
    """A call over a perfect link; `slowest`: how far behind bundles ever seemed, seconds."""

    def __init__(
        self, clocks: Sequence[float], announced: float, *, bundle: int = 6, step: int = 1,
        late: Sequence[float] | None = None,
    ) -> None:  # fmt: skip
        """Sends a frame of each clock, whose yaw is its clock in seconds; `late`: when each is pushed after that."""
        settings = EncoderSettings(announced, bundle, SIDE, "max", "none", step)
        sender = CallEncoder(settings, ColourEngine(), make_basis(), First())
        receiver = CallDecoder(ColourEngine(), make_basis(), Bicubic(), announced)

        def look(clock: float) -> Analysis | None:
            return sender.analyse(picture(min(50.0, clock % 50)))

        super().__init__(sender, receiver, look, clocks, back=Conditions(), tick=TICK, began=clocks[0])
        self.slowest = 0.0
        if late is not None:
            self.late = dict(zip(clocks, late, strict=True)).__getitem__
        while self.now < clocks[-1] + 2:
            self.step()

    def step(self) -> None:
        super().step()
        if self.outgoing.statistics is not None:
            self.slowest = max(self.slowest, self.outgoing.statistics.behind_ms / 1000)

    def settled(self, since: float) -> list[Shown]:
        """What was shown from a time on, without the last bundle, which waits in vain to be filled."""
        end = self.shown[-1].at - 1
        return [each for each in self.shown if since <= each.at < end]

    def delays(self, since: float) -> list[float]:
        """Seconds from capture to display of each frame shown from a time on."""
        return [each.delay for each in self.settled(since)]

    def apart(self, since: float) -> list[float]:
        """Seconds between frames shown."""
        return [b.at - a.at for a, b in pairwise(self.settled(since))]


def even(fps: float, seconds: float, start: float = 10.0) -> list[float]:
    return list(clocks_at(fps, seconds, start))


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
    call = Filmed(even(true, 12), announced, step=step)
    apart = call.apart(13)
    assert max(apart) - min(apart) <= 2 * TICK + 0.003
    assert max(apart) <= step / true + 2 * TICK
    assert call.slowest < 0.02
    assert not call.outgoing.adaptation.limited
    delays = call.delays(13)
    assert max(delays) - min(delays) <= 2 * TICK + 0.003


def test_a_slow_camera_keeps_the_delay_and_the_messages_of_a_quick_one() -> None:
    quick, slow = Filmed(even(30, 12), 30), Filmed(even(15, 12), 30)
    assert len(slow.bundles) == pytest.approx(len(quick.bundles), rel=0.05)
    assert max(slow.delays(13)) <= max(quick.delays(13)) + 0.01


def test_a_clock_that_trembles_plays_evenly() -> None:
    chance = random.Random(1)
    call = Filmed([clock + chance.uniform(-0.005, 0.005) for clock in even(30, 12)], 30)
    apart = call.apart(13)
    assert min(apart) >= 0.015
    assert max(apart) <= 0.055


def test_frames_of_a_slow_processor_are_where_they_were_captured_not_where_they_were_fetched() -> None:
    chance = random.Random(2)
    clocks = even(30, 12)
    call = Filmed(clocks, 30, late=[chance.uniform(0.0, 0.03) for _ in clocks])
    apart = call.apart(13)
    assert max(apart) - min(apart) <= 2 * TICK + 0.003
    assert call.slowest < 0.06


def test_a_rate_that_drifts_down_in_the_dark_is_followed() -> None:
    intervals = [1 / (30 - 15 * n / 300) for n in range(300)]
    clocks = list(accumulate(intervals, initial=10.0))
    call = Filmed(clocks, 30)
    true = {round(clock, 3) for clock in clocks}
    for each in call.shown:
        assert min(abs(each.frame.capture - clock) for clock in true) <= 0.04  # or it was made up between two
    assert call.slowest < 0.06
    assert not call.outgoing.adaptation.limited


@pytest.mark.parametrize("gap", [0.5, 3.0, 40.0])
def test_a_clock_that_jumps_ahead_jumps_on_display_by_as_much(gap: float) -> None:
    clocks = even(25, 4)[:-2] + even(25, 4, 14 + gap)  # a full bundle goes before
    call = Filmed(clocks, 25)
    delays = call.delays(12)
    assert max(delays) - min(delays) <= 0.05
    assert max(call.apart(12)) == pytest.approx(gap + 0.12, abs=0.05)
    assert call.slowest < 0.05


def test_a_camera_that_stops_is_not_taken_for_a_thin_link() -> None:
    filmed = even(25, 4)[:-3]
    still = [filmed[-1] + LONGEST_STILL * n for n in range(1, 7)]  # the pump repeats the last motion
    call = Filmed(filmed + still + even(25, 4, 16.513), 25)
    assert call.slowest < 0.05
    assert not call.outgoing.adaptation.limited
    delays = call.delays(17.5)
    assert max(delays) - min(delays) <= 0.05


def test_a_frame_now_and_then_missing_costs_a_few_bytes_and_no_message() -> None:
    clocks = even(25, 12)
    whole, holes = Filmed(clocks, 25), Filmed([clock for n, clock in enumerate(clocks) if n % 13], 25)
    assert len(holes.bundles) <= 1.1 * len(whole.bundles)
    assert max(holes.apart(12)) <= 0.04 + 2 * TICK
    assert not holes.outgoing.adaptation.limited


@pytest.mark.parametrize("fps", [0.5, 1.0, 2.0, 4.0, 120.0, 240.0])
@pytest.mark.parametrize("step", [1, 2])
def test_any_rate_can_be_sent(fps: float, step: int) -> None:
    clocks = even(fps, 12 if fps > 4 else 30)
    call = Filmed(clocks, min(fps, 60.0), bundle=1 if fps < 5 else 5, step=step)
    assert call.outgoing.counts.frames_sent > 5
    delays = call.delays(15)
    assert max(delays) - min(delays) <= 0.05
    assert call.slowest < 0.1


def test_numbers_never_go_back_and_leave_room_for_what_is_missing() -> None:
    settings = EncoderSettings(30.0, 5, SIDE, "max", "none")
    sender = CallEncoder(settings, ColourEngine(), make_basis(), First())
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
    call = Filmed([clock for n, clock in enumerate(even(25, 4)) if n % 13], 25)
    yaws = {each.number: each.frame.motion for each in call.shown}
    assert all(isinstance(motion, Motion) for motion in yaws.values())
    turned = [float(motion.rotation[0]) for motion in yaws.values() if motion is not None]
    assert turned == sorted(turned)


def test_a_pause_is_shorter_than_what_a_bundle_can_say() -> None:
    call = Filmed([10.0 + LONGEST_STILL * n for n in range(30)], 25)
    assert len(call.bundles) <= 30
    assert call.slowest < 0.05
