from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from shared.models import compact
from shared.motion import SHIFT_DEGREES, SIZE_DEGREES, Motion, keypoints, pose_distance, rotation_matrix

K = compact.KEYPOINTS


def random_motion(seed: int, k: int = K) -> tuple[np.ndarray, Motion]:
    rng = np.random.default_rng(seed)
    motion = Motion(
        rng.uniform(-80, 80, 3).astype(np.float32),
        float(rng.uniform(0.3, 2.0)),
        np.append(rng.uniform(-0.5, 0.5, 2), 0).astype(np.float32),
        rng.normal(0, 0.1, (k, 3)).astype(np.float32),
    )
    return rng.uniform(-1, 1, (k, 3)).astype(np.float32), motion


def turned(yaw: float = 0.0, pitch: float = 0.0, roll: float = 0.0) -> Motion:
    rotation = np.array([yaw, pitch, roll], np.float32)
    return Motion(rotation, 1.0, np.zeros(3, np.float32), np.zeros((1, 3), np.float32))


@given(st.integers(0, 2**32 - 1))
def test_keypoints_agree_with_the_network(seed: int) -> None:
    canonical, motion = random_motion(seed)
    tensors = compact.MotionTensors(
        torch.from_numpy(canonical)[None],
        torch.from_numpy(np.radians(motion.rotation))[None],
        torch.tensor([[motion.scale]]),
        torch.from_numpy(motion.translation[:2])[None],
        torch.from_numpy(motion.expression)[None],
    )
    theirs = compact.keypoints(tensors.canonical, tensors)[0].numpy()
    assert np.abs(keypoints(canonical, motion) - theirs).max() < 1e-5


def test_a_nose_follows_the_angles_of_the_definition() -> None:
    nose = np.array([[0, 0, -1]], np.float32)  # towards the camera
    assert keypoints(nose, turned(yaw=90))[0] == pytest.approx([-1, 0, 0], abs=1e-6)
    assert keypoints(nose, turned(pitch=90))[0] == pytest.approx([0, 1, 0], abs=1e-6)
    assert keypoints(nose, turned(roll=90))[0] == pytest.approx([0, 0, -1], abs=1e-6)


@given(st.integers(0, 2**32 - 1))
def test_rotations_are_rotations(seed: int) -> None:
    matrix = rotation_matrix(random_motion(seed)[1].rotation)
    assert np.abs(matrix @ matrix.T - np.eye(3)).max() < 1e-12
    assert np.linalg.det(matrix) == pytest.approx(1)


@given(st.integers(0, 2**32 - 1), st.floats(0.3, 3), st.floats(-1, 1), st.floats(-1, 1))
def test_zoomed_moves_every_keypoint_as_the_picture_does(seed: int, zoom: float, x: float, y: float) -> None:
    canonical, motion = random_motion(seed)
    expected = zoom * keypoints(canonical, motion).astype(np.float64) + [x, y, 0]
    assert np.abs(keypoints(canonical, motion.zoomed(zoom, (x, y))) - expected).max() < 1e-5


def test_zoomed_out_and_in_again_is_the_same() -> None:
    _, motion = random_motion(5)
    back = motion.zoomed(0.5, (0.25, -0.5)).zoomed(2.0, (-0.5, 1.0))
    assert back.vector() == pytest.approx(motion.vector(), abs=1e-6)


@pytest.mark.parametrize(
    ("a", "b", "degrees"),
    [
        (turned(), turned(), 0),
        (turned(yaw=10), turned(yaw=35), 25),
        (turned(pitch=-20), turned(pitch=20), 40),
        (turned(roll=170), turned(roll=-170), 20),
        (turned(yaw=180), turned(), 180),
        (turned(yaw=90), turned(pitch=90), 120),
    ],
)
def test_pose_distance_of_known_turns(a: Motion, b: Motion, degrees: float) -> None:
    assert pose_distance(a, b) == pytest.approx(degrees, abs=1e-4)
    assert pose_distance(b, a) == pytest.approx(degrees, abs=1e-4)


@given(st.integers(0, 2**32 - 1))
def test_vector_round_trip_is_exact(seed: int) -> None:
    _, motion = random_motion(seed)
    vector = motion.vector()
    assert vector.shape == (7 + 3 * K,)
    assert vector.dtype == np.float32
    again = Motion.from_vector(vector)
    assert (again.vector() == vector).all()
    assert again.expression.shape == (K, 3)


@pytest.mark.parametrize("shape", [(7,), (8,), (9,), (0,), (2, 10)])
def test_vectors_of_no_motion_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="7 \\+ 3K"):
        Motion.from_vector(np.zeros(shape, np.float32))


def test_a_shift_and_another_size_count_as_a_turn_does() -> None:
    still = Motion(np.zeros(3, np.float32), 1.0, np.zeros(3, np.float32), np.zeros((K, 3), np.float32))
    assert pose_distance(still, still.zoomed(1.0, (0.3, -0.4))) == pytest.approx(0.5 * SHIFT_DEGREES, abs=1e-3)
    assert pose_distance(still, still.zoomed(1.1, (0.0, 0.0))) == pytest.approx(np.log(1.1) * SIZE_DEGREES, abs=1e-3)
    other = still.zoomed(1.1, (0.1, 0.0))
    assert pose_distance(other, still) == pytest.approx(pose_distance(still, other))
