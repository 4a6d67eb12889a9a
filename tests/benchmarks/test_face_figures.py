from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.face_figures import Track, begun, boxes, changes, figures
from benchmarks.metrics import Picture
from shared.models.layers import LANDMARKS

FRAMES, SIZE = 40, 64
STILL = np.zeros(FRAMES)


def face() -> np.ndarray:
    """Points spread over the middle of the picture; eyes left and right, lips below."""
    points = np.zeros((len(LANDMARKS), 2), np.float32)
    for landmark, at in {
        10: (0, -0.5), 152: (0, 0.5), 234: (-0.4, 0), 454: (0.4, 0), 61: (-0.15, 0.3), 291: (0.15, 0.3), 0: (0, 0.25),
        17: (0, 0.35), 13: (0, 0.3), 14: (0, 0.3), 33: (-0.3, -0.1), 263: (0.3, -0.1), 159: (-0.2, -0.12),
        145: (-0.2, -0.08), 386: (0.2, -0.12), 374: (0.2, -0.08), 468: (-0.2, -0.1), 473: (0.2, -0.1),
    }.items():  # fmt: skip
        points[LANDMARKS.index(landmark)] = at
    return points


def clip(seed: int = 0) -> list[Picture]:
    """A textured picture that drifts by a pixel every frame."""
    texture = np.random.default_rng(seed).integers(0, 255, (SIZE, SIZE + FRAMES, 3), dtype=np.uint8)
    return [texture[:, n : n + SIZE] for n in range(FRAMES)]


@pytest.fixture
def track() -> Track:
    return Track(clip(), [face()] * FRAMES, STILL)


def test_boxes_lie_where_their_points_are() -> None:
    found = boxes(face(), 256)
    assert found.face == (slice(64, 192), slice(76, 180))
    (rows, columns), (left, right) = found.mouth, found.eyes
    assert rows.start < 160 and rows.stop > 172 and columns.start < 109 and columns.stop > 147
    assert left[0] == right[0] and left[0].start < 115 < left[0].stop
    assert left[1].stop < 128 < right[1].start


def test_boxes_stay_inside_the_picture() -> None:
    for rows, columns in (lambda b: (b.face, b.mouth, *b.eyes))(boxes(face() + 1.4, SIZE)):
        assert 0 <= rows.start < rows.stop <= SIZE
        assert 0 <= columns.start < columns.stop <= SIZE


def test_the_truth_is_perfect(track: Track) -> None:
    found = figures(track, track.truth, track.points)
    assert found["psnr"] == found["mouth_psnr"] == found["eyes_psnr"] == 100
    assert found["ms_ssim"] == pytest.approx(1)
    assert found["keypoint_error_px"] == 0
    assert found["sharp"] == found["flicker"] == 1
    assert found["jump_ratio"] is found["fade_sharp"] is found["settled_psnr"] is None


def test_each_part_is_judged_by_itself(track: Track) -> None:
    spoilt = [p.copy() for p in track.truth]
    for picture in spoilt:
        picture[boxes(face(), SIZE).mouth] = 0
    found = figures(track, spoilt, track.points)
    assert found["mouth_psnr"] < 10  # type: ignore[operator]
    assert found["eyes_psnr"] == 100


def test_points_that_are_off_are_measured_in_px_of_256(track: Track) -> None:
    found = figures(track, track.truth, [p + np.float32(2 / 128) for p in track.points])
    assert found["keypoint_error_px"] == pytest.approx(2 * 2**0.5, rel=1e-3)


def test_a_soft_still_picture_is_neither_sharp_nor_moving(track: Track) -> None:
    soft = [np.full((SIZE, SIZE, 3), 128, np.uint8)] * FRAMES
    found = figures(track, soft, track.points)
    assert found["sharp"] == found["flicker"] == 0


def test_a_jump_shows_only_where_sources_change(track: Track) -> None:
    other = clip(1)
    drawn = [*track.truth[:20], *other[20:]]
    at = np.zeros(FRAMES)
    at[20] = 1
    jump = figures(replace(track, changes=at), drawn, track.points)["jump_ratio"]
    before = (
        np.abs(drawn[20].astype(float) - drawn[19]).mean()
        / np.abs(track.truth[20].astype(float) - track.truth[19]).mean()
    )
    assert jump == pytest.approx(before, rel=0.2)
    elsewhere = np.zeros(FRAMES)
    elsewhere[10] = 1
    assert figures(replace(track, changes=elsewhere), drawn, track.points)["jump_ratio"] == 1


def test_settled_is_fifteen_frames_after_a_change_began(track: Track) -> None:
    drawn = [p if n in range(18, 23) else p // 2 for n, p in enumerate(track.truth)]
    at = np.zeros(FRAMES)
    at[5:15] = 0.1
    assert begun(at) == [5]
    assert figures(replace(track, changes=at), drawn, track.points)["settled_psnr"] == 100


def test_changes_are_of_normalised_weights() -> None:
    found = changes([{1: 1.0}, {1: 0.5}, {1: 0.5, 2: 0.5}, {2: 1.0}, {}, {2: 1.0}, {3: 1.0}])
    assert found.tolist() == [0, 0, 0.5, 0.5, 0, 0, 1]
