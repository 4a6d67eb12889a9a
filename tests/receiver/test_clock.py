from __future__ import annotations

import pytest

from receiver.delay import ClockOffset


def trip(clock: ClockOffset, now: float, offset: float, there: float = 0.05, back: float = 0.05) -> None:
    """A question that goes at `now` to a side whose clock is `offset` seconds behind, and its answer."""
    clock.add(now + there - offset, now, now + there + back)


def test_it_is_not_known_before_the_first_answer() -> None:
    assert ClockOffset().seconds is None


def test_the_fastest_round_trip_counts() -> None:
    clock = ClockOffset()
    trip(clock, 0.0, 100.0, there=0.4)
    trip(clock, 10.0, 100.0)
    trip(clock, 20.0, 100.0, back=0.8)
    assert clock.seconds == pytest.approx(100.0)


def test_after_an_hour_of_drift_it_is_right_although_the_first_trip_was_the_fastest() -> None:
    clock = ClockOffset()
    trip(clock, 0.0, 100.0, 0.01, 0.01)
    for n in range(1, 361):
        trip(clock, 10.0 * n, 100.0 + 50e-6 * 10 * n)
    assert clock.seconds == pytest.approx(100.0 + 50e-6 * 3600, abs=0.016)


def test_a_question_from_the_future_is_not_believed() -> None:
    clock = ClockOffset()
    clock.add(5.0, 20.0, 10.0)
    assert clock.seconds is None


def test_after_a_silence_longer_than_the_window_only_what_is_new_counts() -> None:
    clock = ClockOffset()
    trip(clock, 0.0, 100.0, 0.01, 0.01)
    trip(clock, 4000.0, 100.2, 0.3, 0.3)
    assert clock.seconds == pytest.approx(100.2)
