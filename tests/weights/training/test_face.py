from __future__ import annotations

import numpy as np
import pytest

from weights.training import face


def rotation(seed: int) -> np.ndarray:
    q, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    return np.asarray(q * np.sign(np.linalg.det(q)))


@pytest.fixture
def head() -> np.ndarray:
    points = np.random.default_rng(0).normal(size=(20, 3)) * [1.0, 1.3, 0.6]
    return np.asarray(points - points.mean(0))


def test_the_pose_of_a_moved_head_is_found(head: np.ndarray) -> None:
    turns = np.stack([rotation(seed) for seed in range(4)])
    scales, places = np.array([0.1, 0.2, 0.5, 2.0]), np.random.default_rng(1).normal(size=(4, 3))
    moved = scales[:, None, None] * np.einsum("bij,nj->bni", turns, head) + places[:, None]
    pose = face.align(moved, head)
    assert pose.rotation == pytest.approx(turns, abs=1e-9)
    assert pose.scale == pytest.approx(scales)
    assert pose.translation == pytest.approx(places, abs=1e-9)


def test_a_mirrored_head_is_turned_not_reflected(head: np.ndarray) -> None:
    pose = face.align((head * [-1, 1, 1])[None], head)
    assert np.linalg.det(pose.rotation[0]) == pytest.approx(1)


def test_the_mean_face_is_the_head_behind_its_poses(head: np.ndarray) -> None:
    turns = np.stack([rotation(seed) if seed else np.eye(3) for seed in range(6)])
    moved = 0.3 * np.einsum("bij,nj->bni", turns, head) + 0.1
    mean = face.mean_face(moved, rounds=30)
    pose = face.align(moved, mean)
    assert pose.scale.mean() == pytest.approx(face.MEAN_SCALE, rel=1e-3)
    again = pose.scale[:, None, None] * np.einsum("bij,nj->bni", pose.rotation, mean) + pose.translation[:, None]
    assert again == pytest.approx(moved, abs=1e-6)


def test_the_mirror_swaps_left_and_right() -> None:
    mean = np.array([[-1.0, 0.1, 0], [1.0, 0.1, 0], [0.0, 1.0, -0.5], [-0.4, 0.9, 0], [0.42, 0.9, 0]])
    assert face.mirror_order(mean).tolist() == [1, 0, 2, 4, 3]
