from __future__ import annotations

import numpy as np
import pytest
from call_examples import FPS, KEYPOINTS, make_motion

from sender.analysis import Analysis, FrameQuality
from sender.crop import Crop
from sender.refresh import WINDOW_SECONDS, FirstSource

BLANK = np.zeros((16, 16, 3), np.uint8)
GOOD = (0.11, 100.0, 2.0)
"""Openness, sharpness, yaw."""


def frame(openness: float, sharpness: float, yaw: float, crop: int = 0) -> Analysis:
    analysis = Analysis(BLANK, Crop(0, 0, 16), crop, np.zeros((KEYPOINTS, 3), np.float32), make_motion(yaw))
    analysis.__dict__["quality"] = FrameQuality(openness, sharpness, abs(yaw))  # as if it had been looked at
    return analysis


def chosen(frames: list[Analysis]) -> tuple[int, int] | None:
    """(which, when) of the frames, 25 a second, one is chosen."""
    chooser = FirstSource()
    for n, each in enumerate(frames):
        if (best := chooser.offer(each, n / FPS)) is not None:
            return next(i for i, f in enumerate(frames) if f is best), n
    return None


def test_a_good_frame_is_taken_once_it_is_known_to_hold_still() -> None:
    assert chosen([frame(*GOOD)] * 2) == (0, 1)  # the same frame twice: the first of equals is found
    frames = [frame(*GOOD), frame(*GOOD)]
    assert chosen(frames) == (1, 1)


@pytest.mark.parametrize("flaw", [(0.03, 100.0, 2.0), (0.11, 100.0, 25.0)])
def test_a_flawed_frame_waits_for_a_better_one(flaw: tuple[float, float, float]) -> None:
    frames = [frame(*flaw) for _ in range(10)] + [frame(*GOOD) for _ in range(3)]
    assert chosen(frames) in {(10, 10), (11, 11)}


def test_a_moving_head_is_not_taken_at_once() -> None:
    frames = [frame(0.11, 100, yaw) for yaw in (8, 5, 2, -1, -1.2)]
    assert chosen(frames) == (4, 4)


def test_a_blurred_frame_is_not_taken_at_once() -> None:
    assert chosen([frame(0.11, 100, 25), frame(0.11, 50, 10), frame(0.11, 50, 10), frame(0.11, 95, 10)]) == (3, 3)


def test_after_a_second_the_best_is_taken() -> None:
    frames = [frame(0.05, 100, 20 + abs(n - 7)) for n in range(40)]
    assert chosen(frames) == (7, round(WINDOW_SECONDS * FPS))


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        ((0.11, 100.0, 20.0), (0.02, 100.0, 20.0)),
        ((0.11, 100.0, 15.0), (0.11, 100.0, 30.0)),
        ((0.11, 100.0, 20.0), (0.11, 40.0, 20.0)),
        ((0.10, 100.0, 30.0), (0.01, 100.0, 14.0)),
    ],
)
def test_open_eyes_sharpness_and_a_look_at_the_camera_count(
    better: tuple[float, float, float], worse: tuple[float, float, float]
) -> None:
    for order in ([better, worse], [worse, better]):
        chooser = FirstSource()
        frames = [frame(*each) for each in order]
        for n, each in enumerate(frames):
            assert chooser.offer(each, n / FPS) is None
        best = chooser.best()
        assert best is frames[order.index(better)]
        assert chooser.best() is None


def test_frames_of_an_older_crop_are_forgotten() -> None:
    chooser = FirstSource()
    assert chooser.offer(frame(0.05, 100, 15), 0.0) is None
    newer = frame(0.05, 100, 30, crop=1)
    assert chooser.offer(newer, 0.9) is None
    assert chooser.offer(frame(0.05, 100, 40, crop=1), 1.8) is None  # the second begins anew
    assert chooser.offer(frame(0.05, 100, 40, crop=1), 2.0) is newer
