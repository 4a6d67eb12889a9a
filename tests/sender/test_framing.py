"""Framing: the crop holds still, follows, survives loss and stays with its person."""

from __future__ import annotations

from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from sender.crop import Crop, head_of_keypoints, is_safe
from sender.detect import Box, find_heads, find_near
from sender.framing import Framer
from sender.sample import portrait

Image = NDArray[np.uint8]

PERSON = portrait()
HEAD = Box(77.0, 66.0, 98.0)
"""The head box of the person, in her 256x256 picture."""
AWAY = (-400, 0, 256)
WIDTH, HEIGHT = 800, 480
DEV = Path(__file__).parents[2].parent / "shared" / "clips" / "dev"


def scene(*people: tuple[int, int, int]) -> Image:
    """People at (left, top, size) before a grey wall; what is beyond the picture is cut off."""
    canvas = np.full((HEIGHT, WIDTH, 3), 190, np.uint8)
    for left, top, size in people:
        person = cv2.resize(PERSON, (size, size), interpolation=cv2.INTER_AREA)
        x0, x1 = max(left, 0), min(left + size, WIDTH)
        y0, y1 = max(top, 0), min(top + size, HEIGHT)
        if x0 < x1 and y0 < y1:
            canvas[y0:y1, x0:x1] = person[y0 - top : y1 - top, x0 - left : x1 - left]
    return canvas


def head_at(left: int, top: int, size: int) -> Box:
    scale = size / 256
    return Box(left + HEAD.x * scale, top + HEAD.y * scale, HEAD.side * scale)


def keypoints_of(head: Box, crop: Crop) -> NDArray[np.float64]:
    """28 keypoints as a motion network would find them: 23 on the face, 5 that stray."""
    extent = head.side / 1.03
    cx, cy = head.centre
    angle = np.linspace(0, 2 * np.pi, 24)[:23]
    face = np.stack([cx + 0.42 * extent * np.sin(angle), cy + 0.09 * extent + 0.5 * extent * np.cos(angle)], axis=1)
    stray = np.array([[crop.x, crop.y]] * 5)
    points = (np.concatenate([face, stray]) - [crop.x, crop.y]) / crop.side * 2 - 1
    return np.concatenate([points, np.zeros((28, 1))], axis=1)


def test_finds_the_person_and_no_one_else() -> None:
    heads = find_heads(scene((300, 120, 256)))
    assert len(heads) == 1
    assert head_at(300, 120, 256).distance(heads[0]) < 0.15
    assert find_heads(scene()) == []


def test_largest_head_comes_first() -> None:
    heads = find_heads(scene((40, 100, 200), (400, 60, 360)))
    assert len(heads) == 2
    assert heads[0].side > heads[1].side
    assert heads[0].x > 400


@pytest.mark.parametrize("angle", [-30, -20, 0, 20, 30])
def test_finds_a_leaning_head_near_where_it_was(angle: int) -> None:
    head = head_at(300, 120, 256)
    turn = cv2.getRotationMatrix2D(head.centre, angle, 1.0)
    leaning = np.asarray(cv2.warpAffine(scene((300, 120, 256)), turn, (WIDTH, HEIGHT)), np.uint8)
    found = find_near(leaning, head)
    assert found is not None
    assert head.distance(found) < 0.25


def test_crop_shows_the_face_as_in_training() -> None:
    framed = Framer().update(scene((300, 120, 256)))
    assert framed.moved
    assert framed.crop is not None
    head = head_at(300, 120, 256)
    assert 0.43 < head.side / framed.crop.side < 0.57
    assert abs(head.centre[0] - framed.crop.x - framed.crop.side / 2) < 0.1 * framed.crop.side


@pytest.mark.parametrize("with_keypoints", [True, False])
def test_crop_holds_still_while_the_head_moves_a_little(with_keypoints: bool) -> None:
    framer = Framer()
    crops = set()
    for i in range(60):
        place = (300 + round(20 * np.sin(i / 5)), 120, 256)
        framed = framer.update(scene(place))
        assert framed.crop is not None
        crops.add(framed.crop)
        if with_keypoints:
            framer.follow(keypoints_of(head_at(*place), framed.crop))
    assert len(crops) == 1


@pytest.mark.parametrize("with_keypoints", [True, False])
def test_crop_moves_with_a_head_that_leaves_it(with_keypoints: bool) -> None:
    framer = Framer()
    moves = 0
    for i in range(90):
        place = (100 + 4 * min(i, 75), 120, 256)
        framed = framer.update(scene(place))
        assert framed.crop is not None
        head = head_at(*place)
        moves += framed.moved
        if with_keypoints:
            framer.follow(keypoints_of(head, framed.crop))
    assert 2 <= moves <= 10
    assert is_safe(head, framed.crop)


def test_crop_grows_with_a_head_that_comes_nearer() -> None:
    framer = Framer()
    sides = []
    for i in range(80):
        size = 180 + 4 * min(i, 60)
        place = (400 - size // 2, 240 - size // 2, size)
        framed = framer.update(scene(place))
        assert framed.crop is not None
        sides.append(framed.crop.side)
        framer.follow(keypoints_of(head_at(*place), framed.crop))
    assert sides[-1] > 1.4 * sides[0]
    assert len(set(sides)) <= 4


def test_no_crop_after_the_person_left_and_again_when_back() -> None:
    framer = Framer()
    assert framer.update(scene((300, 120, 256))).crop is not None
    gone = [framer.update(scene()) for _ in range(40)]
    assert gone[5].crop is not None, "a short loss keeps the crop"
    assert gone[-1].crop is None
    back = [framer.update(scene((500, 150, 256))) for _ in range(15)]
    assert back[-1].crop is not None
    assert sum(framed.moved for framed in back) == 1


def test_keypoints_that_lie_about_an_empty_picture_are_not_believed_for_long() -> None:
    framer = Framer()
    crop = framer.update(scene((300, 120, 256))).crop
    for _ in range(120):
        if crop is not None:
            framer.follow(keypoints_of(head_at(300, 120, 256), crop))
        crop = framer.update(scene()).crop
    assert crop is None


def test_keypoints_that_jump_are_checked_at_once() -> None:
    framer = Framer()
    for _ in range(3):
        crop = framer.update(scene((300, 120, 256))).crop
        assert crop is not None
        framer.follow(keypoints_of(head_at(300, 120, 256), crop))
    crops = []
    for _ in range(6):
        framer.follow(keypoints_of(head_at(300, 120, 256), crop) * 0.01)
        crops.append(framer.update(scene((370, 120, 256))).crop)
    found = crops[-1]
    assert found is not None
    assert is_safe(head_at(370, 120, 256), found)


def test_stays_with_its_person_when_another_becomes_larger() -> None:
    framer = Framer()
    first = framer.update(scene((40, 120, 256), (520, 200, 180)))
    assert first.crop is not None
    for i in range(60):
        people = ((40, 120, 256), (440, 60, 180 + 3 * i))
        framed = framer.update(scene(*people))
        assert framed.crop is not None
        assert is_safe(head_at(40, 120, 256), framed.crop)
        framer.follow(keypoints_of(head_at(40, 120, 256), framed.crop))


def test_another_picture_size_starts_afresh() -> None:
    framer = Framer()
    framer.update(scene((500, 120, 256)))
    framed = framer.update(PERSON)
    assert framed.moved
    assert framed.crop is not None
    assert framed.crop.x + framed.crop.side <= 256


@pytest.mark.parametrize(
    "keypoints",
    [
        np.zeros((28, 3)),
        np.full((28, 3), np.nan),
        keypoints_of(Box(300, 10, 100), Crop(0, 0, 200)),
        keypoints_of(Box(100, 100, 3), Crop(0, 0, 200)),
        np.linspace(-0.5, 0.5, 28)[:, None] * [1.0, 0.0, 0.0],
    ],
    ids=["dot", "nan", "off the crop", "tiny", "line"],
)
def test_implausible_keypoints_are_no_head(keypoints: NDArray[np.float64]) -> None:
    assert head_of_keypoints(keypoints, Crop(0, 0, 200)) is None


def test_keypoints_give_the_head_box_back() -> None:
    head, crop = Box(210.0, 130.0, 100.0), Crop(150, 80, 205)
    found = head_of_keypoints(keypoints_of(head, crop), crop)
    assert found == pytest.approx(head, abs=2.0)


@pytest.mark.parametrize("name", ["raw_640x480_01.mp4", "raw_720x1280_02.mp4"])
def test_real_recording_keeps_its_head_and_rarely_moves(name: str) -> None:
    if not (DEV / name).exists():
        pytest.skip("the development recordings are not here")
    framer = Framer()
    crops, moves = [], 0
    with av.open(str(DEV / name)) as container:
        for i, frame in enumerate(container.decode(video=0)):
            if i % 3 == 0:
                framed = framer.update(frame.to_ndarray(format="rgb24"))
                crops.append(framed.crop)
                moves += framed.moved
            if i >= 240:
                break
    assert sum(crop is not None for crop in crops) > 0.98 * len(crops)
    assert 1 <= moves <= 3
