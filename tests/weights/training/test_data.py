from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from weights.training import face
from weights.training.data import Augmentation, Clips, Side, _Move, degrade, read_mesh

STILL = Augmentation(0, 0, 0, 0)


def test_clips_and_landmarks_are_read(clips: Clips, folder: Path) -> None:
    assert clips.names == ["a", "b"]
    assert clips.frames.shape == (22, 128, 128, 3)
    assert clips.starts.tolist() == [0, 12, 22]
    assert clips.ok.tolist() == [1, 1, 1, 0, *[1] * 8, *[0] * 10]
    base = np.load(folder / "a.npz")["base"].T
    assert clips.mesh[5, :, 0].numpy() == pytest.approx((base[:, 0] + 5) / 1000 * 2 - 1, abs=1e-3)
    assert clips.mesh[5, :, 2].numpy() == pytest.approx(2 * base[:, 2] / 500, abs=2e-3)


def test_landmarks_that_end_early_count_as_no_face(folder: Path) -> None:
    points, ok = read_mesh(folder / "a.npz", 14, 1)
    assert points.shape == (14, face.MESH, 3)
    assert ok[12:].tolist() == [0, 0]


def test_an_empty_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no clip"):
        Clips.load(tmp_path, 128, 1)


def test_sources_and_driving_frame_are_of_one_clip(clips: Clips) -> None:
    which, (i, k), j = clips.picked(500, 2, torch.Generator().manual_seed(0))
    assert bool(((i < 12) == (j < 12)).all()) and bool(((i < 12) == (k < 12)).all())
    assert torch.equal(which, (i >= 12).long())
    assert set(i.tolist()) == set(k.tolist()) == set(range(22))
    assert not torch.equal(i, k)


def test_a_still_batch_is_the_clips_own_frames(clips: Clips) -> None:
    batch = clips.batch(8, 128, torch.Generator().manual_seed(1), STILL, wire_share=0)
    pixels = clips.frames.permute(0, 3, 1, 2).float() / 255
    for picture in batch.driving.picture:
        nearest = min(float((picture - p).abs().max()) for p in torch.cat([pixels, pixels.flip(-1)]))
        assert nearest < 1e-4


def test_what_is_received_is_the_source_coded_for_the_wire(clips: Clips) -> None:
    batch = clips.batch(16, 128, torch.Generator().manual_seed(3), STILL, sources=2, wire_share=1)
    assert len(batch.received) == len(batch.sources) == 2
    for received, source in zip(batch.received, batch.sources, strict=True):
        error = (received - source.picture).abs().mean((1, 2, 3))
        assert float(error.max()) < 0.08  # of the same frame
        assert float(error.min()) > 0


def test_landmarks_and_pose_move_with_the_picture() -> None:
    """A dot in the picture and the landmark on it stay together through mirroring, turn, zoom and shift."""
    torch.manual_seed(0)
    random = torch.Generator().manual_seed(7)
    change = Augmentation(turn=25, zoom=0.3, shift=0.15, colour=0)
    move = _Move(6, random, change)
    assert 0 < int(move.mirrored.sum()) < 6
    pictures = torch.zeros(6, 256, 256, 3, dtype=torch.uint8)
    pictures[:, 90:94, 150:154] = 255
    point = torch.tensor([[[152 / 128 - 1, 92 / 128 - 1, 0.2]]]).expand(6, 1, 3)
    seen = move.pictures(pictures, 256, random, change).mean(1)
    expected = move.points(point)[:, 0]
    axis = (torch.arange(256) + 0.5) / 128 - 1
    for dot, where in zip(seen, expected, strict=True):
        x, y = float((dot.sum(0) * axis).sum() / dot.sum()), float((dot.sum(1) * axis).sum() / dot.sum())
        assert (x, y) == pytest.approx((float(where[0]), float(where[1])), abs=0.01)


def test_poses_move_as_their_landmarks_do() -> None:
    mean = np.random.default_rng(0).normal(size=(40, 3))
    mean = np.concatenate([mean, mean * [-1, 1, 1]])
    mean -= mean.mean(0)
    order = torch.from_numpy(face.mirror_order(mean))
    q, _ = np.linalg.qr(np.random.default_rng(4).normal(size=(3, 3)))
    q *= np.sign(np.linalg.det(q))
    points = torch.from_numpy(0.2 * mean @ q.T + [0.1, -0.2, 0.0]).float().expand(6, -1, -1)
    pose = face.align(points.double().numpy(), mean)
    move = _Move(6, torch.Generator().manual_seed(7), Augmentation(25, 0.3, 0.15))
    mirrored = torch.where(move.mirrored[:, None, None] > 0, points[:, order], points)
    expected = face.align(move.points(mirrored).double().numpy(), mean)
    rotation, scale, translation = move.pose(*(torch.from_numpy(p).float() for p in pose))
    assert rotation.numpy() == pytest.approx(expected.rotation, abs=1e-4)
    assert scale.numpy() == pytest.approx(expected.scale, rel=1e-4)
    assert translation.numpy() == pytest.approx(expected.translation, abs=1e-4)


def test_clips_without_landmarks_have_no_pose_to_learn(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "b.mp4").write_bytes((folder / "b.mp4").read_bytes())
    alone = Clips.load(tmp_path, 128, 1)
    batch = alone.batch(2, 128, torch.Generator().manual_seed(0), Augmentation())
    assert isinstance(batch.driving, Side)
    assert batch.driving.ok.tolist() == [0, 0]
    assert all(math.isfinite(float(t.abs().sum())) for t in batch.driving)


def test_degraded_sources_are_softer_and_never_brighter(clips: Clips) -> None:
    sharp = clips.frames[:2].permute(0, 3, 1, 2).float() / 255
    chance = torch.Generator().manual_seed(0)
    soft = [degrade(sharp, chance, share=0.5) for _ in range(12)]
    assert any(torch.equal(each, sharp) for each in soft)
    assert any(each.diff(dim=-1).abs().mean() < 0.9 * sharp.diff(dim=-1).abs().mean() for each in soft)
    assert all(0 <= float(each.min()) <= float(each.max()) <= 1 for each in soft)
