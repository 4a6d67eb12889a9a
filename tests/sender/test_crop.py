"""The crop: where it is put around a head, what is cut out, and how one lies in another."""

from __future__ import annotations

import numpy as np
import pytest

from sender.crop import Crop, between_crops, crop_around, cut, is_safe, nearly_same, whole_square
from sender.detect import Box


@pytest.mark.parametrize("head", [Box(30, 40, 100), Box(200, 120, 100), Box(10, 10, 80), Box(90, 70, 0.1)])
def test_crop_stays_in_the_picture_where_the_head_has_room(head: Box) -> None:
    crop = crop_around(head, 320, 240)
    assert 0 <= crop.x <= 320 - crop.side
    assert 0 <= crop.y <= 240 - crop.side
    assert 1 <= crop.side <= 240


@pytest.mark.parametrize("head", [Box(-20, -20, 100), Box(280, 200, 100), Box(100, 20, 200), Box(60, -10, 300)])
def test_crop_overhangs_no_further_than_the_head_needs(head: Box) -> None:
    crop = crop_around(head, 320, 240)
    assert is_safe(head, crop)
    beyond = max(-crop.x, -crop.y, crop.x + crop.side - 320, crop.y + crop.side - 240)
    assert 0 < beyond < max(-head.x, -head.y, head.x + head.side - 320, head.y + head.side - 240) + 0.3 * head.side


def test_beside_the_picture_its_edge_goes_on_out_of_focus() -> None:
    picture = np.zeros((100, 200, 3), np.uint8)
    picture[:, 100:] = (0, 200, 0)
    part = cut(picture, Crop(120, -40, 100), 50)
    assert part.shape == (50, 50, 3)
    assert (part == (0, 200, 0)).all()
    stripes = np.asarray(np.random.default_rng(1).integers(0, 255, (100, 200, 3)), np.uint8)
    part = cut(stripes, Crop(50, -50, 100), 100)
    assert (part[50:] == stripes[:50, 50:150]).all()
    assert part[:40].std(axis=1).max() < 0.6 * stripes.std()
    for far in (Crop(500, 10, 40), Crop(-90, -90, 40)):  # wholly beside it
        assert cut(picture, far, 16).shape == (16, 16, 3)


def test_cut_takes_the_right_pixels() -> None:
    picture = np.zeros((100, 200, 3), np.uint8)
    picture[20:60, 50:90] = (255, 0, 7)
    for size in (16, 40, 64):
        part = cut(picture, Crop(50, 20, 40), size)
        assert part.shape == (size, size, 3)
        assert (part == (255, 0, 7)).all()


def test_whole_square_is_centred() -> None:
    assert whole_square(np.zeros((100, 161, 3), np.uint8)) == Crop(30, 0, 100)
    assert whole_square(np.zeros((256, 256, 3), np.uint8)) == Crop(0, 0, 256)


@pytest.mark.parametrize(
    ("other", "same"),
    [(Crop(12, 8, 202), True), (Crop(25, 10, 200), False), (Crop(10, 10, 170), False), (Crop(-5, -5, 230), False)],
)
def test_a_move_that_is_hardly_seen_is_none(other: Crop, same: bool) -> None:
    assert nearly_same(other, Crop(10, 10, 200)) is same


def test_a_point_of_one_crop_is_the_same_pixel_in_another() -> None:
    of, into = Crop(40, 20, 100), Crop(3, 90, 31)
    zoom, shift = between_crops(of, into)
    for point in ([-1.0, -1.0], [0.3, -0.7]):
        pixel = [of.x, of.y] + (np.array(point) + 1) / 2 * of.side
        again = [into.x, into.y] + (zoom * np.array(point) + shift + 1) / 2 * into.side
        assert again == pytest.approx(pixel, abs=1e-3)
