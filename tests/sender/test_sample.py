"""The sample person: always the same, always a face, and alive."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from sender.detect import find_heads
from sender.sample import BLINKS, AnimatedPortrait, SamplePose, pose_at, sample_frames

STILL = SamplePose(yaw=0, pitch=0, roll=0, shift=(0, 0), eyelids=0, jaw=0, brows=0)


def test_frames_are_the_same_every_time() -> None:
    first = list(sample_frames(5, 1))
    assert [t for t, _ in first] == [0.0, 0.2, 0.4, 0.6, 0.8]
    for (_, a), (_, b) in zip(first, sample_frames(5, 1), strict=True):
        assert np.array_equal(a, b)


@pytest.mark.parametrize("size", [256, 384])
def test_every_frame_shows_one_face(size: int) -> None:
    for _, frame in sample_frames(1.3, 10, size):
        assert frame.shape == (size, size, 3)
        assert len(find_heads(frame)) == 1


def test_without_end_when_no_length_is_given() -> None:
    assert len(list(itertools.islice(sample_frames(2, None, 64), 30))) == 30


@pytest.mark.parametrize(("fps", "size"), [(0, 256), (-1, 256), (25, 0)])
def test_refuses_impossible_settings(fps: float, size: int) -> None:
    with pytest.raises(ValueError, match="positive"):
        sample_frames(fps, 1, size)


def test_at_rest_it_is_the_portrait() -> None:
    portrait = AnimatedPortrait(256)
    change = np.abs(portrait.draw(STILL).astype(int) - portrait._still)
    assert change.max() <= 1


def test_jaw_lids_and_head_change_the_picture_where_they_are() -> None:
    portrait = AnimatedPortrait(256)

    def changed_rows(pose: SamplePose) -> np.ndarray:
        change = np.abs(portrait.draw(pose).astype(int) - portrait.draw(STILL)).sum(axis=(1, 2))
        return np.flatnonzero(change > 200)

    lids = changed_rows(SamplePose(0, 0, 0, (0, 0), eyelids=1, jaw=0, brows=0))
    assert 88 < lids.min() < lids.max() < 112
    jaw = changed_rows(SamplePose(0, 0, 0, (0, 0), eyelids=0, jaw=5, brows=0))
    assert 138 < jaw.min() < jaw.max() < 198
    turned = changed_rows(SamplePose(0.2, 0, 0, (0, 0), eyelids=0, jaw=0, brows=0))
    assert len(turned) > 120


def test_the_person_turns_blinks_and_talks() -> None:
    poses = [pose_at(i / 25) for i in range(250)]
    assert max(p.yaw for p in poses) > 0.2
    assert min(p.yaw for p in poses) < -0.2
    assert max(p.jaw for p in poses) > 3
    assert min(p.jaw for p in poses) < -1
    closed = [p.eyelids > 0.9 for p in poses]
    assert sum(b and not a for a, b in itertools.pairwise(closed)) == len(BLINKS)
    assert sum(closed) < 25


def test_motion_is_smooth() -> None:
    frames = [f.astype(int) for _, f in sample_frames(25, 2)]
    background = [f[:12, :12] for f in frames]
    assert all(np.array_equal(b, background[0]) for b in background)
    steps = [np.abs(b - a).mean() for a, b in itertools.pairwise(frames)]
    assert 0 < max(steps) < 6
