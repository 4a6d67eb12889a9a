"""Clocks, delays and lateness of a call in made-up time."""

from __future__ import annotations

import pytest
from call_examples import make_motion

from receiver.delay import URGENT, URGENT_EVERY
from receiver.playout import DueFrame, Playout
from receiver.timing import STATISTICS_SECONDS, Timing
from shared.call.loop import TICK_SECONDS
from shared.codec import control
from shared.codec.bundle import Bundle


def frame(number: int, capture: float) -> DueFrame:
    return DueFrame(number, capture, 0, make_motion())


def told(timing: Timing, now: float) -> control.Stats:
    return timing.statistics(10, 8, 2, now)


def test_before_anything_came_nothing_is_known() -> None:
    timing = Timing(Playout())
    assert (timing.clock_offset, timing.sound_delay, timing.on_display) == (None, None, None)
    assert (timing.delays_ms(), timing.delays_known, timing.busy, timing.behind) == ([], 0, 0.0, 0.0)
    assert told(timing, 0.0) == control.Stats(
        received=10, shown=8, late=0, bundles=2, highest_frame=None, delay_ms=0, behind_ms=0, clock_ms=0, busy_ms=None
    )


def test_delays_are_known_once_the_senders_clock_is() -> None:
    timing = Timing(Playout())
    timing.shown(frame(0, 5.0), 100.2)
    assert timing.delays_ms() == []
    timing.clock_told(5050, 100_000, 100.1)  # their 5.05 s is our 100.05
    assert timing.clock_offset == pytest.approx(95.0)
    timing.shown(frame(1, 5.3), 100.4)
    assert timing.delays_ms() == pytest.approx([200, 100])
    assert timing.delays_ms(1) == pytest.approx([100])
    assert timing.delays_known == 2
    assert told(timing, 100.4).delay_ms == 150


def test_what_is_on_display_and_since_when() -> None:
    timing = Timing(Playout())
    for number, now in enumerate((3.0, 4.0, 5.5)):
        timing.shown(frame(number, 0.0), now)
    assert (timing.first_shown, timing.last_shown) == (3.0, 5.5)
    assert timing.on_display is not None and timing.on_display.number == 2


def test_sound_waits_for_pictures_that_come_late_on_display() -> None:
    playout = Playout()
    timing = Timing(playout)
    playout.add(Bundle(0, 0, 0, 40.0, (make_motion(),)), 0.1)
    assert playout.delay is not None
    assert timing.sound_delay == playout.delay
    for number in range(200):
        timing.shown(frame(number, number / 25), number / 25 + playout.delay + 0.2)
    assert timing.display_lag == pytest.approx(0.2, abs=0.001)
    assert timing.sound_delay == playout.delay + timing.display_lag
    assert timing.busy == pytest.approx(0.12, abs=0.001)  # less what drawing may take
    assert told(timing, 9.0).busy_ms == round(1000 * timing.busy)


def test_a_loop_that_looks_late_is_busy_and_its_messages_waited_here() -> None:
    timing = Timing(Playout())
    timing.look(1.0)
    timing.look(1.0 + TICK_SECONDS)
    assert timing.busy == 0.0
    assert timing.waited(1.0 + TICK_SECONDS) == pytest.approx(0.0)
    timing.look(1.0 + 2 * TICK_SECONDS + 0.3)
    assert timing.busy == pytest.approx(0.3)
    assert timing.waited(1.0 + 2 * TICK_SECONDS + 0.3) == pytest.approx(0.3)


def test_the_sender_is_told_every_so_often_and_at_once_after_a_new_connection() -> None:
    timing = Timing(Playout())
    assert timing.statistics_due(5.0)
    assert not timing.statistics_due(5.0 + 0.9 * STATISTICS_SECONDS)
    assert timing.statistics_due(5.0 + STATISTICS_SECONDS)
    timing.reconnected(7.5, replaced=False)
    assert timing.statistics_due(7.5)
    assert not timing.statistics_due(7.5)


def test_the_sender_hears_sooner_that_the_link_is_full() -> None:
    timing = Timing(Playout())
    timing.bundle(0.0, 0.1, 0.0)
    timing.bundle(0.2, 0.3, 0.0)
    assert timing.statistics_due(0.3)
    for captured in (0.4, 0.6):
        timing.bundle(captured, captured + 0.1 + 2 * URGENT, 0.0)
    assert timing.behind == pytest.approx(2 * URGENT)
    assert not timing.statistics_due(0.3 + 0.9 * URGENT_EVERY)
    assert timing.statistics_due(0.3 + URGENT_EVERY)
    assert told(timing, 1.0).behind_ms == round(2000 * URGENT)


def test_what_waited_here_is_not_put_down_to_the_link() -> None:
    timing = Timing(Playout())
    timing.bundle(0.0, 0.1, 0.0)
    for captured in (0.2, 0.4):
        timing.bundle(captured, captured + 0.1 + 2 * URGENT, 2 * URGENT)
    assert timing.behind == pytest.approx(0.0)


def test_the_clock_is_asked_for_at_first_now_and_then_later_and_anew_of_another_sender() -> None:
    timing = Timing(Playout())
    asked = [told(timing, float(n)).clock_ms is not None for n in range(11)]
    assert asked == [n < 3 or n % 5 == 0 for n in range(11)]
    timing.clock_told(0, 0, 1.0)
    timing.reconnected(12.0, replaced=False)
    assert timing.clock_offset is not None
    timing.reconnected(13.0, replaced=True)
    assert timing.clock_offset is None
    assert told(timing, 13.0).clock_ms == 13_000
