from __future__ import annotations

import random
from itertools import pairwise

import pytest

from sender.frame_rate import Cadence


def gone(cadence: Cadence, fps: float, step: int, seconds: float = 8.0, tremble: float = 0.0) -> list[float]:
    """Clocks of the frames that go, the first second left out."""
    chance = random.Random(2)
    frames = [n / fps + chance.uniform(-tremble, tremble) for n in range(round(seconds * fps))]
    return [clock for clock in frames if cadence.goes(clock, step) and clock >= 1]


@pytest.mark.parametrize(
    ("announced", "step", "true", "rate"),
    [
        (25, 1, 25, 25),
        (30, 1, 15, 15),
        (30, 2, 15, 15),
        (30, 1, 24, 24),
        (30, 1, 60, 30),
        (30, 1, 45, 45),
        (1, 1, 30, 30),
        (25, 2, 25, 12.5),
        (60, 2, 60, 30),
        (60, 2, 30, 30),
        (60, 2, 240, 30),
    ],
)
def test_as_many_go_as_are_wanted_of_a_camera_of_any_true_rate(
    announced: float, step: int, true: float, rate: float
) -> None:
    frames = gone(Cadence(announced, step), true, step)
    assert len(frames) / 7 == pytest.approx(rate, rel=0.03)
    apart = [b - a for a, b in pairwise(frames)]
    assert max(apart) == pytest.approx(min(apart))


def test_half_as_many_go_on_a_thin_link_whatever_was_announced() -> None:
    assert len(gone(Cadence(30, 1), 15, 2)) / 7 == pytest.approx(7.5, rel=0.03)
    assert len(gone(Cadence(25, 1), 25, 2, tremble=0.008)) / 7 == pytest.approx(12.5, rel=0.03)


def test_bundles_span_the_same_time_at_any_true_rate() -> None:
    slow, quick = Cadence(30, 1), Cadence(30, 1)
    gone(slow, 15, 1)
    gone(quick, 30, 1)
    assert quick.bundle(6, 1) == 6
    assert slow.bundle(6, 1) == 3
    assert slow.bundle(1, 1) == 1


def test_a_stop_changes_no_pace() -> None:
    cadence = Cadence(30, 1)
    gone(cadence, 30, 1)
    assert cadence.goes(20.0, 1)
    assert cadence.camera == pytest.approx(1 / 30)


def test_a_clock_that_is_set_back_holds_nothing_up() -> None:
    cadence = Cadence(25, 2)
    gone(cadence, 25, 2)
    assert cadence.goes(3.0, 2)
    assert not cadence.goes(3.04, 2)
    assert cadence.goes(3.08, 2)
