from __future__ import annotations

import random
from itertools import accumulate

import pytest

from sender.bundler import LONGEST_INTERVAL, Run, evenly

FRAME = 1 / 30


def clocks(*intervals: float, start: float = 100.0) -> list[float]:
    return list(accumulate(intervals, initial=start))


def furthest(runs: list[Run], frames: list[float]) -> float:
    """Seconds by which the frame that is placed worst is away from its clock."""
    places = [run.start + place * run.interval for run in runs for place in run.places]
    return max(abs(place - clock) for place, clock in zip(places, frames, strict=True))


@pytest.mark.parametrize("fps", [2.5, 12.5, 15.0, 24.0, 25.0, 30.0, 29.97, 60.0])
def test_even_frames_are_one_run_wherever_the_rate_comes_from(fps: float) -> None:
    frames = clocks(*[1 / fps] * 7)
    (run,) = evenly(frames, FRAME)
    assert run.places == tuple(range(8))
    assert furthest([run], frames) <= 0.001


def test_a_clock_that_trembles_is_put_on_a_line() -> None:
    chance = random.Random(3)
    frames = [n / 30 + chance.uniform(-0.004, 0.004) for n in range(10)]
    (run,) = evenly(frames, FRAME)
    assert run.interval == pytest.approx(FRAME, abs=0.0015)
    assert furthest([run], frames) <= 0.008


def test_a_missing_frame_leaves_a_place_and_no_second_bundle() -> None:
    (run,) = evenly(clocks(FRAME, 2 * FRAME, FRAME), FRAME)
    assert run.places == (0, 1, 3, 4)


def test_a_rate_that_changes_within_a_bundle_is_kept_true() -> None:
    frames = clocks(0.04, 0.04, 0.12, 0.12)
    runs = evenly(frames, 0.04)
    assert furthest(runs, frames) <= 0.008
    assert len(runs) == 1  # three frames made up are cheaper than a bundle


def test_a_jump_begins_another_run() -> None:
    frames = clocks(0.04, 0.04, 7.013, 0.04)
    runs = evenly(frames, 0.04)
    assert [len(run.places) for run in runs] == [3, 2]
    assert furthest(runs, frames) <= 0.001


def test_a_clock_that_is_set_back_begins_another_run() -> None:
    frames = clocks(0.04, -5.0, 0.04)
    assert [len(run.places) for run in evenly(frames, 0.04)] == [2, 2]


def test_an_interval_longer_than_a_bundle_can_say_takes_a_bundle_for_each_frame() -> None:
    runs = evenly(clocks(2.0, 2.0), 2.0)
    assert [run.places for run in runs] == [(0,)] * 3
    assert all(run.interval <= LONGEST_INTERVAL for run in runs)


def test_any_clocks_are_placed_within_what_is_not_seen() -> None:
    chance = random.Random(1)
    for _ in range(300):
        frames = clocks(*(chance.choice((0.033, 0.067, 0.05, 0.2, chance.uniform(0.004, 0.6))) for _ in range(9)))
        runs = evenly(frames, FRAME)
        assert sum(len(run.places) for run in runs) == len(frames)
        assert furthest(runs, frames) <= 0.0081
        assert all(run.places[-1] < 16 for run in runs)
