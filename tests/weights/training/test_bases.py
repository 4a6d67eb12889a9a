from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from shared.models.base_fusion import FADE_SECONDS, BasePicture, base_state
from shared.models.layers import grid
from shared.motion import Motion
from weights.training import data, losses
from weights.training.bases import KINDS, Bases, main, presence
from weights.training.data import Augmentation, Clips, by_person

STILL = Augmentation(0, 0, 0, 0)


def random(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_base_pictures_are_those_of_their_frames_and_never_newer(based_clips: Clips) -> None:
    assert based_clips.bases is not None
    for kind, bases in based_clips.bases.items():
        side = KINDS[kind].side
        assert bases.pictures.shape[1:] == (side, side, 3)
        for frame in range(len(based_clips.frames)):
            row = int(bases.latest[frame])
            if row < 0:
                continue
            assert int(bases.frame[row]) <= frame
            true = based_clips.frames[bases.frame[row]].float()
            small = bases.pictures[row][:: side // 128, :: side // 128].float()
            others = based_clips.frames.float()
            nearest = (others - small).abs().mean((1, 2, 3)).min()
            assert float((true - small).abs().mean()) < float(nearest) + 2


def test_older_base_pictures_are_older_and_stay_in_their_clip(based_clips: Clips) -> None:
    assert based_clips.bases is not None
    bases = based_clips.bases["small"]
    driving = torch.arange(len(based_clips.frames))
    there = bases.latest[driving] >= 0
    ages = [bases.before(driving, torch.full_like(driving, back), based_clips.numbers)[1] for back in (0, 1, 50)]
    assert bool((ages[0][there] <= ages[1][there]).all()) and float(ages[2][there].max()) < 12 / 25
    assert bool((ages[0][~there] > FADE_SECONDS).all())


def test_rows_of_a_batch_have_a_base_or_none(based_clips: Clips) -> None:
    batch = based_clips.batch(64, 128, random(), STILL, with_base=True)
    assert batch.base is not None and based_clips.batch(4, 128, random(), STILL).base is None
    there = batch.base.state[:, 0] > 0
    assert 16 < int(there.sum()) < 60
    grey = batch.base.picture[~there]
    assert float(grey.std((1, 2, 3)).max()) < 1e-3
    error = (batch.base.picture - batch.base.true).abs().mean((1, 2, 3))[there]
    assert float(error.max()) < 0.15 and float(error.median()) < 0.05


def test_presence_is_that_of_a_call() -> None:
    still = Motion(np.zeros(3, np.float32), 1.0, np.zeros(3, np.float32), np.zeros((1, 3), np.float32))
    ages = torch.tensor([0.0, 0.2, 0.3, 0.5, 0.9])
    picture = np.zeros((64, 64, 3), np.uint8)
    own = [BasePicture(picture, still, age, 63).presence for age in ages.tolist()]
    assert presence(ages).tolist() == pytest.approx(own, abs=1e-6)
    assert base_state(0.5, 0.08, 256, 70) == pytest.approx((0.5, 0.8, 1.0, 1.0))


def test_bases_of_other_clips_are_refused(base_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no bases"):
        Bases.load(tmp_path, "small", ["a"], [0, 12], np.arange(12))
    with pytest.raises(ValueError, match="made from others"):
        Bases.load(base_folder, "small", ["z"], [0, 12], np.arange(12))
    assert main(["--clips", str(tmp_path / "none"), "--out", str(tmp_path)]) == 1


def test_every_person_comes_as_often_whatever_the_number_of_clips(clips: Clips) -> None:
    order, starts = by_person(["x", "y", "x", "x"])
    assert starts.tolist() == [0, 3, 4] and sorted(order[:3].tolist()) == [0, 2, 3]
    crowd = replace(clips, people=by_person(["one", "two"]))
    which, _, _ = crowd.picked(400, 1, random())
    assert 150 < int((which == 0).sum()) < 250


def test_some_driving_frames_are_turned_far_away(clips: Clips, monkeypatch: pytest.MonkeyPatch) -> None:
    angle = torch.linspace(0, 1.5, len(clips.frames))
    rotation = torch.eye(3).repeat(len(angle), 1, 1)
    rotation[:, 0, 0], rotation[:, 0, 2], rotation[:, 2, 0] = angle.cos(), angle.sin(), -angle.sin()
    rotation[:, 2, 2] = angle.cos()
    turned = replace(clips, poses=(rotation, *clips.poses[1:]), ok=torch.ones(len(angle)))

    def apart() -> float:
        _, (source,), driving = turned.picked(2000, 1, random(1))
        return float((angle[source] - angle[driving]).abs().mean())

    some = apart()
    monkeypatch.setattr(data, "FAR_SHARE", 0.0)
    assert some > 1.08 * apart()


def test_what_stands_still_should_not_be_moved() -> None:
    wall = torch.rand(1, 3, 64, 64, generator=random())
    identity = grid(16, wall.device)[None]
    moved = identity + 0.1
    assert float(losses.still([identity], [wall], wall)) == 0
    assert float(losses.still([moved], [wall], wall)) > 0.1
    assert float(losses.still([moved], [wall.flip(-1)], wall)) < 0.02  # everything has changed: nothing is said
