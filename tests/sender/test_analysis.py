from __future__ import annotations

import cv2
import numpy as np
import pytest
from call_examples import make_motion

from sender.analysis import face_extent, frame_quality
from shared.models.layers import KEYPOINTS, LANDMARKS
from shared.motion import FloatArray

NOISE = np.random.default_rng(0).integers(0, 256, (256, 256, 3), np.uint8)


def face(gap: float, size: float = 0.6) -> FloatArray:
    """Keypoints of a face whose eyelids are `gap` of the distance between the outer eye corners apart."""
    points = np.zeros((KEYPOINTS, 3), np.float32)
    for index, (x, y) in {
        10: (0, -1),
        152: (0, 1),
        234: (-1, 0),
        454: (1, 0),
        33: (-0.5, -0.3),
        263: (0.5, -0.3),
    }.items():
        points[LANDMARKS.index(index), :2] = size * x, size * y
    for upper, lower, x in ((159, 145, -0.3), (386, 374, 0.3)):
        points[LANDMARKS.index(upper), :2] = size * x, size * (-0.3 - gap / 2)
        points[LANDMARKS.index(lower), :2] = size * x, size * (-0.3 + gap / 2)
    return points


@pytest.mark.parametrize("size", [0.2, 0.6])
@pytest.mark.parametrize("gap", [0.0, 0.03, 0.12])
def test_openness_is_the_gap_in_distances_between_the_eye_corners(gap: float, size: float) -> None:
    assert frame_quality(NOISE, face(gap, size), make_motion()).openness == pytest.approx(gap, abs=1e-5)


def test_an_engine_without_eyelids_has_open_eyes() -> None:
    assert frame_quality(NOISE, np.zeros((15, 3), np.float32), make_motion()).openness == 1


def test_blur_of_the_face_takes_sharpness_and_blur_elsewhere_does_not() -> None:
    blurred = np.asarray(cv2.GaussianBlur(NOISE, (0, 0), 3), np.uint8)
    around = blurred.copy()
    around[40:216, 40:216] = NOISE[40:216, 40:216]
    sharpness = [frame_quality(p, face(0.1), make_motion()).sharpness for p in (NOISE, around, blurred)]
    assert sharpness[0] == sharpness[1] > 10 * sharpness[2] > 0


def test_sharpness_is_that_of_the_face_at_any_size_of_the_picture() -> None:
    large = np.asarray(cv2.resize(NOISE, (512, 512), interpolation=cv2.INTER_NEAREST), np.uint8)
    small, enlarged = (frame_quality(p, face(0.1), make_motion()).sharpness for p in (NOISE, large))
    assert enlarged == pytest.approx(small, rel=0.2)


@pytest.mark.parametrize("points", [np.zeros((28, 3), np.float32), np.full((28, 3), 9.0, np.float32)])
def test_keypoints_that_are_no_face_are_not_sharp(points: FloatArray) -> None:
    assert frame_quality(NOISE, points, make_motion()).sharpness == 0


def test_turn_is_what_leads_away_from_the_camera() -> None:
    assert frame_quality(NOISE, face(0.1), make_motion(yaw=-3, pitch=4, roll=30)).turn == pytest.approx(5)


def test_extent_knows_landmarks_only() -> None:
    points = face(0.1)
    points[len(LANDMARKS) :] = 5
    low, high = face_extent(points)
    assert np.allclose([*low, *high], [-0.6, -0.6, 0.6, 0.6])
