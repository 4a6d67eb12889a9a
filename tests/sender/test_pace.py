from __future__ import annotations

from itertools import pairwise

import pytest

from sender.frame_rate import LONGEST_STILL, Thinner, announced, usual_rate, without_pauses
from shared.signalling.hello import MAX_FPS, MIN_FPS


@pytest.mark.parametrize(
    ("rate", "told"),
    [(25, 25), (29.97, 29.97), (60, 60), (120.00003, 60.000015), (240, 80), (0.1, 0.5), (0, 25), (float("nan"), 25)],
)
def test_what_is_announced_is_bounded(rate: float, told: float) -> None:
    assert announced(rate) == pytest.approx(told)
    assert MIN_FPS <= announced(rate) <= MAX_FPS


@pytest.mark.parametrize("rate", [0.5, 24.0, 59.94, 75.0, 90.0, 120.00003, 144.0, 240.0, 1000.0])
def test_as_many_frames_are_left_as_are_announced(rate: float) -> None:
    thinner = Thinner()
    taken = sum(thinner.takes(n / rate) for n in range(round(20 * rate)))
    assert taken / 20 == pytest.approx(announced(rate), rel=0.02)


def test_a_clock_that_is_set_back_is_followed() -> None:
    thinner = Thinner()
    assert thinner.takes(5.0)
    assert thinner.takes(1.0)
    assert not thinner.takes(1.001)


def test_the_usual_rate_is_not_that_of_a_film_with_a_pause() -> None:
    stamps = [n / 25 for n in range(50)] + [22 + n / 25 for n in range(10)]
    assert usual_rate(stamps, len(stamps) / 22.4) == pytest.approx(25)
    assert usual_rate([0, 0.033, 0.067, 0.1], 30.0) == 30.0
    assert usual_rate([], 24.0) == 24.0


def test_a_pause_is_filled_evenly_with_the_frame_before() -> None:
    frames = list(without_pauses(iter([(0.0, "a"), (0.04, "b"), (20.04, "c"), (20.08, "d")])))
    assert [shown for _, shown in frames] == ["a"] + ["b"] * 50 + ["c", "d"]
    apart = [b - a for (a, _), (b, _) in pairwise(frames)]
    assert apart[1:51] == pytest.approx([0.4] * 50)
    assert max(apart) <= LONGEST_STILL + 1e-9
