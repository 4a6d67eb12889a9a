from __future__ import annotations

import itertools
from dataclasses import replace

import cv2
import numpy as np
import pytest

from sender.detect import Box, Image, find_heads
from sender.hints import ADVICE, PATIENCE, Hint, Hints, Seen, look
from sender.sample import sample_frames

GOOD = Seen(120.0, Box(250, 150, 160), 0.0, 328.0, 0.33)


def scene(portrait: Image, side: int, at: tuple[int, int] = (60, 40), light: float = 1.0) -> Image:
    """A 640x480 camera picture with the sample person so many pixels large at x, y."""
    picture = np.full((480, 640, 3), 120, np.uint8)
    person = cv2.resize(portrait, (side, side), interpolation=cv2.INTER_AREA if side < 256 else cv2.INTER_CUBIC)
    x, y = at
    picture[y : y + side, x : x + side] = person[: 480 - y, : 640 - x]
    return (picture * light).astype(np.uint8)


@pytest.fixture(scope="module")
def portrait() -> Image:
    return next(iter(sample_frames(25, 0.04, 256)))[1]


def settled(picture: Image) -> Hint | None:
    """The hint that stays when nothing changes."""
    hints = Hints()
    for n in range(6):
        hints.update(look(picture, find_heads(picture)), n / 5)
    return hints.shown


def test_the_sample_person_is_well_placed(portrait: Image) -> None:
    assert settled(portrait) is None
    assert settled(scene(portrait, 400)) is None


def test_each_picture_gets_its_hint(portrait: Image) -> None:
    assert settled(scene(portrait, 190)) is Hint.MOVE_CLOSER
    assert settled(scene(portrait, 400, light=0.25)) is Hint.TOO_DARK
    assert settled(scene(portrait, 400, light=0.05)) is Hint.TOO_DARK  # no face can be found in it
    assert settled(np.full((480, 640, 3), 120, np.uint8)) is Hint.NO_FACE
    large = cv2.resize(portrait[60:176, 68:184], (480, 480), interpolation=cv2.INTER_CUBIC)
    assert settled(np.asarray(large, np.uint8)) is Hint.MOVE_BACK
    two = scene(portrait, 300, (0, 100))
    two[:, 320:] = scene(portrait, 300, (0, 100))[:, :320]
    assert settled(two) is Hint.TWO_FACES


def test_the_moving_sample_person_is_not_told_to_hold_still() -> None:
    hints = Hints()
    shown = [hints.update(look(p, find_heads(p)), t) for t, p in sample_frames(5, 6.0, 256)]
    assert set(shown) == {None}


def test_a_person_who_rocks_is_told_to_hold_still() -> None:
    hints, shown = Hints(), []
    for n in range(20):
        x = 250 + 60 * (n % 2)  # 0.4 heads in a fifth of a second
        shown.append(hints.update(replace(GOOD, head=Box(x, 150, 160)), n / 5))
    assert shown[-1] is Hint.HOLD_STILL
    for n in range(20, 40):
        shown.append(hints.update(GOOD, n / 5))
    assert shown[-1] is None


def test_one_wild_box_is_no_movement() -> None:
    hints = Hints()
    for n in range(30):
        head = Box(400 if n == 15 else 250, 150, 160)
        assert hints.update(replace(GOOD, head=head), n / 5) is None


def test_a_face_missed_now_and_then_gives_no_hint() -> None:
    hints = Hints()
    nobody = Seen(120.0, None, 0.0, 0.0, 0.0)
    for n in range(60):
        assert hints.update(nobody if n % 3 == 0 else GOOD, n / 5) is None


@pytest.mark.parametrize(
    ("hint", "change"),
    [
        (Hint.MOVE_CLOSER, lambda wave: replace(GOOD, crop_side=192 + wave)),
        (Hint.TOO_DARK, lambda wave: replace(GOOD, light=45 + wave / 2)),
        (Hint.MOVE_BACK, lambda wave: replace(GOOD, share=0.72 + wave / 500)),
        (Hint.TWO_FACES, lambda wave: replace(GOOD, second=0.6 + wave / 300)),
    ],
)
def test_about_a_threshold_the_hint_changes_once(hint: Hint, change: object) -> None:
    assert callable(change)
    hints, shown = Hints(), []
    for n in range(100):  # slow waves over the threshold, long enough on each side to be believed
        shown.append(hints.update(change(10 if (n // 5) % 2 else -10), n / 5))
    changes = [a for a, b in itertools.pairwise(shown) if a is not b]
    assert changes == [None]
    assert shown[-1] is hint


def test_a_hint_is_wanted_for_a_while_first() -> None:
    hints = Hints()
    nobody = Seen(120.0, None, 0.0, 0.0, 0.0)
    assert hints.update(nobody, 10.0) is None
    assert hints.update(nobody, 10.0 + PATIENCE - 0.01) is None
    assert hints.update(nobody, 10.01 + PATIENCE) is Hint.NO_FACE


def test_the_worst_comes_first() -> None:
    hints = Hints()
    both = replace(GOOD, light=20.0, crop_side=100.0)
    hints.update(both, 0.0)
    assert hints.update(both, 1.0) is Hint.TOO_DARK


def test_every_hint_says_what_to_do() -> None:
    assert set(ADVICE) == set(Hint)
