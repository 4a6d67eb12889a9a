from __future__ import annotations

import pytest

from receiver.delay import QueueDelayEstimator

EVERY = 0.2


def fed(transits: list[float], lag: QueueDelayEstimator | None = None, start: float = 0.0) -> QueueDelayEstimator:
    """Bundles captured every 0.2 s, on a clock that is 50 s behind, that took so long."""
    lag = lag or QueueDelayEstimator()
    for n, transit in enumerate(transits):
        captured = start + n * EVERY
        lag.add(captured - 50.0, captured + transit)
    return lag


def test_nothing_is_behind_at_first() -> None:
    assert QueueDelayEstimator().behind == 0.0
    assert fed([0.3] * 5).behind == pytest.approx(0.0)


def test_one_late_bundle_says_nothing_two_do() -> None:
    assert fed([0.1] * 10 + [0.9]).behind == pytest.approx(0.0)
    assert fed([0.1] * 10 + [0.9, 0.7]).behind == pytest.approx(0.6)
    assert fed([0.1] * 10 + [0.9, 0.7, 0.1]).behind == pytest.approx(0.0)


def test_a_bundle_repeated_after_a_loss_does_not_count() -> None:
    lag = fed([0.1] * 10)
    for n in (3, 5):  # they come after later ones
        lag.add(n * EVERY - 50.0, 3.0)
    assert lag.behind == pytest.approx(0.0)


def test_a_slow_link_is_not_taken_for_a_long_one_within_minutes_but_in_the_end() -> None:
    lag = fed([0.1] * 10)
    fed([0.25] * 1000, lag, start=10.0)  # 200 s
    assert lag.behind == pytest.approx(0.15)
    fed([0.25] * 1000, lag, start=210.0)
    assert lag.behind == pytest.approx(0.0)


def test_what_may_have_waited_here_is_not_the_links() -> None:
    lag = fed([0.1] * 10)
    for n in range(10, 20):  # each was taken in 0.6 s late, by a loop that was away
        lag.add(n * EVERY - 50.0, n * EVERY + 0.7, waited=0.6)
    assert lag.behind == pytest.approx(0.0)
    for n in range(20, 24):  # and what is more than that is the link's
        lag.add(n * EVERY - 50.0, n * EVERY + 1.0, waited=0.6)
    assert lag.behind == pytest.approx(0.3)


def test_who_may_have_waited_and_did_not_makes_no_link_look_faster() -> None:
    lag = fed([0.1] * 10)
    for n in range(10, 20):
        lag.add(n * EVERY - 50.0, n * EVERY + 0.1, waited=0.5)
    assert lag.behind == 0.0
    fed([0.1] * 10, lag, start=20 * EVERY)
    assert lag.behind == pytest.approx(0.0)


def test_another_clock_begins_anew() -> None:
    lag = fed([0.1] * 10)
    lag.add(-90_000.0, 3.0)
    lag.add(-89_999.8, 3.3)
    assert lag.behind == pytest.approx(0.0)
