"""The basis that `weights.training.fit_codec` fits, on synthetic motions of known structure."""

import numpy as np
import pytest

from shared.codec.bundle import Bundle, decode_bundle, encode_bundle, quantise
from shared.codec.motion_basis import MotionBasis
from shared.motion import FloatArray, Motion, keypoints
from weights.training.fit_codec import TARGET_ERROR, fit, report

KEYPOINTS, FRAMES = 9, 150
CANONICAL = np.random.default_rng(0).uniform(-0.5, 0.5, (KEYPOINTS, 3)).astype(np.float32)
FACES = np.random.default_rng(1).normal(0, 0.03, (4, 3 * KEYPOINTS))


def _clip(seed: int) -> FloatArray:
    """(T, 7 + 3K) smooth random walk of head pose and of four modes of expression."""
    rng = np.random.default_rng(seed)

    def walk(size: int) -> np.ndarray:
        steps = rng.normal(0, 0.15, (FRAMES, size))
        return np.cumsum(steps, axis=0) + rng.normal(0, 1, size)

    pose = walk(7) * [5, 4, 3, 0.03, 0.05, 0.05, 0]
    pose[:, 3] = np.exp(pose[:, 3])
    noise = rng.normal(0, 1e-4, (FRAMES, 3 * KEYPOINTS))
    return np.concatenate([pose, walk(4) @ FACES + noise], axis=1).astype(np.float32)


@pytest.fixture(scope="module")
def fitted() -> MotionBasis:
    return fit([_clip(seed) for seed in range(4)], CANONICAL)


def test_new_motions_come_back_near_the_target_error(fitted: MotionBasis) -> None:
    motions = [Motion.from_vector(vector) for vector in _clip(99)]
    squared = []
    for first in range(0, FRAMES, 10):
        frames = tuple(motions[first : first + 10])
        seen = decode_bundle(encode_bundle(Bundle(first, 0, 0, 40.0, frames), fitted), fitted).frames
        for a, b in zip(frames, seen, strict=True):
            assert b is not None
            squared.append(((keypoints(CANONICAL, a) - keypoints(CANONICAL, b))[:, :2] * 128) ** 2)
    error = np.sqrt(np.sum(squared, axis=-1).mean())
    assert 0.7 * TARGET_ERROR < error < 1.3 * TARGET_ERROR


def coded_error(basis: MotionBasis, clip: FloatArray) -> np.ndarray:
    """(K,) RMS movement of each keypoint in the expression, in px."""
    motions = [Motion.from_vector(vector) for vector in clip]
    seen = [m for at in range(0, FRAMES, 10) for m in quantise(motions[at : at + 10], basis) if m is not None]
    moved = np.stack([a.expression - b.expression for a, b in zip(motions, seen, strict=True)])[..., :2] * 128
    return np.asarray(np.sqrt((moved**2).sum(-1).mean(0)))


def test_what_counts_for_more_is_coded_better_at_the_same_error(fitted: MotionBasis) -> None:
    importance = np.ones(KEYPOINTS, np.float32)
    importance[2] = 4
    clips = [_clip(seed) for seed in range(4)]
    weighted = fit(clips, CANONICAL, importance)
    plain, better = coded_error(fitted, clips[0]), coded_error(weighted, clips[0])
    assert better[2] < 0.6 * plain[2]
    assert np.sqrt((better**2).mean()) == pytest.approx(np.sqrt((plain**2).mean()), rel=0.3)


def test_a_smaller_error_costs_more_bytes(fitted: MotionBasis) -> None:
    clips = [_clip(seed) for seed in range(4)]
    fine = fit(clips, CANONICAL, target_error=TARGET_ERROR / 3)
    assert coded_error(fine, clips[0]).mean() < 0.5 * coded_error(fitted, clips[0]).mean()
    bundle = Bundle(0, 0, 0, 40.0, tuple(Motion.from_vector(v) for v in clips[0][:5]))
    assert len(encode_bundle(bundle, fine)) > len(encode_bundle(bundle, fitted))


def test_a_number_the_engine_keeps_still_is_not_coded(fitted: MotionBasis) -> None:
    assert fitted.coded_pose.tolist() == [0, 1, 2, 3, 4, 5]


def test_as_few_components_as_allowed_code_four_modes(fitted: MotionBasis) -> None:
    assert len(fitted.components) == 10


def test_the_report_names_size_and_error(fitted: MotionBasis) -> None:
    assert "bytes a frame at 12.5 frames/s" in report(fitted, [_clip(5)], CANONICAL, step=2)


def test_an_engine_that_works_in_depth_has_depth_coded() -> None:
    clips = [_clip(seed) for seed in range(4)]
    deep = [clip + np.eye(len(clip[0]), dtype=np.float32)[6] * clip[:, 4:5] for clip in clips]  # tz goes with tx
    basis = fit(deep, CANONICAL, counts=range(3, 6))
    assert basis.coded_pose.tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert 3 <= len(basis.components) <= 5
    motions = [Motion.from_vector(vector) for vector in deep[0][:10]]
    for sent, seen in zip(motions, quantise(motions, basis), strict=True):
        assert seen is not None
        assert abs(sent.translation[2] - seen.translation[2]) < 0.6 * basis.pose_steps[6] + 1e-6
