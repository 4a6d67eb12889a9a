"""The basis that a converted checkpoint comes with: made from nothing, the same everywhere."""

from __future__ import annotations

import numpy as np

from shared.codec.bundle import Bundle, decode_bundle, encode_bundle
from shared.codec.motion_basis import REACH, plain_basis
from shared.codec.range_coder import TOTAL
from shared.motion import FloatArray, Motion, keypoints

KEYPOINTS = 15
CANONICAL = np.random.default_rng(0).normal(0, 0.35, (KEYPOINTS, 3)).astype(np.float32)


def talking(frames: int) -> FloatArray:
    """(T, 52) a head that sways, in depth too, and six modes of expression."""
    rng = np.random.default_rng(1)
    time = np.arange(frames)[:, None] / 25
    waves = np.sin(time * rng.uniform(1, 5, 12) + rng.uniform(0, 6, 12))
    pose = waves[:, :6] * [15, 10, 8, 0.15, 0.1, 0.05]
    faces = rng.normal(0, 0.03, (6, 3 * KEYPOINTS))
    parts = [pose[:, :3], np.ones((frames, 1)), pose[:, 3:], waves[:, 6:] @ faces]
    return np.concatenate(parts, axis=1).astype(np.float32)


def test_motions_come_back_within_half_a_pixel() -> None:
    basis, motions = plain_basis(KEYPOINTS), [Motion.from_vector(vector) for vector in talking(100)]
    squared, size = [], 0
    for first in range(0, 100, 5):
        frames = tuple(motions[first : first + 5])
        data = encode_bundle(Bundle(first, 0, 0, 40.0, frames), basis)
        size += len(data)
        for a, b in zip(frames, decode_bundle(data, basis).frames, strict=True):
            assert b is not None and b.scale == 1
            assert np.abs(a.translation - b.translation).max() < 0.006
            assert np.abs(a.expression - b.expression)[:, 2].max() < 0.025
            squared.append(((keypoints(CANONICAL, a) - keypoints(CANONICAL, b))[:, :2] * 128) ** 2)
    assert 0.35 < np.sqrt(np.sum(squared, axis=-1).mean()) < 0.6
    assert size < 100 * 0.4 * len(motions[0].vector())


def test_a_moved_crop_changes_the_scale() -> None:
    basis, motion = plain_basis(KEYPOINTS), Motion.from_vector(talking(1)[0])
    frames = (motion, motion.zoomed(1.3, (0.2, -0.1)))
    seen = decode_bundle(encode_bundle(Bundle(0, 0, 0, 40.0, frames), basis), basis).frames[1]
    assert seen is not None and abs(seen.scale - 1.3) < 0.005


def test_extreme_poses_go_by_the_escape() -> None:
    basis = plain_basis(KEYPOINTS)
    vector = talking(1)[0]
    vector[:3] = [85, -80, 60]
    vector[4:7] = [1.9, -1.9, 1.5]
    motion = Motion.from_vector(vector)
    seen = decode_bundle(encode_bundle(Bundle(0, 0, 0, 40.0, (motion,)), basis), basis).frames[0]
    assert seen is not None
    assert np.abs(seen.rotation - motion.rotation).max() < 0.2
    assert np.abs(seen.translation - motion.translation).max() < 0.006


def test_everybody_makes_the_same_basis() -> None:
    assert plain_basis(KEYPOINTS).hash == plain_basis(KEYPOINTS).hash == "beb81808"


def test_tables_are_symmetric_and_wider_when_there_is_more_movement() -> None:
    basis = plain_basis(KEYPOINTS)
    for rows in (basis.intra_frequencies, *basis.inter_frequencies):
        assert (rows.sum(1) == TOTAL).all() and (rows[:, :REACH] == rows[:, REACH + 1 : -1][:, ::-1]).all()
    still, *_, lively = basis.inter_frequencies
    assert (still[:, REACH] > lively[:, REACH]).all()
