"""Whole calls in simulated time on links that become thin and recover."""

from __future__ import annotations

import itertools

import pytest
from simulated_call import AdaptingCall, Moment

from sender.profiles import BasePoint
from shared.codec.bundle import CLOCK_WRAP_MS
from shared.transport.pacing import LATER_RATE

WIDE, THIN = 64_000.0, 8_000.0


def late(moments: list[Moment]) -> list[float]:
    """Times at which a packet had to wait for more than half a second."""
    return [moment.time for moment in moments if moment.queueing > 0.5]


def changes(moments: list[Moment]) -> int:
    return sum((a.bundle, a.step) != (b.bundle, b.step) for a, b in itertools.pairwise(moments))


@pytest.mark.parametrize(("bundle", "step", "delay"), [(5, 1, 0.05), (5, 2, 0.05), (2, 1, 0.05), (5, 1, 0.3)])
def test_a_link_that_falls_from_64_to_8_kbps_and_recovers(bundle: int, step: int, delay: float) -> None:
    call = AdaptingCall(WIDE, delay, bundle=bundle, step=step)
    call.run(20)
    while not call.outgoing.pictures_waiting:  # the worst time for it
        call.run(0.2)
    assert call.moments[-1].picture_rate >= LATER_RATE
    call.set_rate(THIN)
    fell = call.now
    call.run(45)
    thin = call.since(fell)
    assert late(thin), "the fall must be felt, or this shows nothing"
    assert late(thin)[-1] - fell < 5
    assert changes(call.since(fell + 5)) <= 4
    assert max(m.bundle * m.step for m in thin) > 1.5 * bundle * step
    assert max(m.step for m in thin) == 2 * step
    assert call.incoming.counts.sources_received > 3  # pictures go on
    call.set_rate(WIDE)
    rose = call.now
    call.run(30)
    wide = call.since(rose)
    assert not late(wide)
    assert (wide[-1].bundle, wide[-1].step) == (bundle, step)
    assert wide[-1].picture_rate >= LATER_RATE / 2
    usual = [moment.time for moment in wide if (moment.bundle, moment.step) != (bundle, step)]
    assert usual[-1] - rose < 20
    assert changes(wide) <= 10  # only upwards
    assert call.lost == 0


@pytest.mark.parametrize("after", [18.0, 19.5, 21.0, 22.5])
def test_it_does_not_matter_when_the_link_falls(after: float) -> None:
    call = AdaptingCall(WIDE)
    call.run(after)
    call.set_rate(THIN)
    fell = call.now
    call.run(20)
    assert not late(call.since(fell + 5))


def test_frames_keep_coming_while_the_link_falls_and_recovers() -> None:
    call = AdaptingCall(WIDE)
    call.run(10)
    call.set_rate(THIN)
    call.run(30)
    call.set_rate(WIDE)
    call.run(10)
    times = [shown.at for shown in call.shown]
    assert len(times) > 0.9 * 25 * 49
    assert max(b - a for a, b in itertools.pairwise(times)) < 1.5
    assert [shown.number for shown in call.shown] == sorted({shown.number for shown in call.shown})
    assert all(shown.delay < CLOCK_WRAP_MS / 2000 for shown in call.shown)


@pytest.mark.parametrize("rate", [8_000.0, 16_000.0])
def test_a_link_that_is_always_thin_is_used_without_a_standing_queue(rate: float) -> None:
    call = AdaptingCall(rate)
    call.run(60)
    begun = call.since(call.moments[0].time + 5)  # the first source is alone on the link, and fills it
    assert len(late(begun)) < 0.05 * len(begun)
    assert call.incoming.counts.sources_received >= 4
    assert call.incoming.counts.frames_shown > 0.9 * 25 * 55


def test_a_base_layer_gives_way_on_a_thin_link_and_comes_back() -> None:
    call = AdaptingCall(WIDE, base=BasePoint(64, 12.5, 68, 4.5))
    call.run(20)
    assert call.incoming.base is not None
    assert call.incoming.base.track.decoded > 100
    call.set_rate(THIN)
    fell = call.now
    call.run(30)
    assert late(call.since(fell))[-1] - fell < 6
    assert call.moments[-1].base is None
    decoded = call.incoming.base.track.decoded
    call.set_rate(WIDE)
    rose = call.now
    call.run(30)
    assert not late(call.since(rose))
    assert call.moments[-1].base == BasePoint(64, 12.5, 68, 4.5)
    assert call.incoming.base.track.decoded > decoded + 50
    assert call.incoming.counts.malformed == 0
    assert call.lost == 0
