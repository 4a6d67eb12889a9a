from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from shared.models.facenhance.enhancer import read_network
from shared.models.facenhance.network import NetworkSettings
from weights.training.facenhance import Trainer, Training, main, train
from weights.training.facenhance_data import Videos, make_videos
from weights.training.stopping import Stop

SETTINGS = NetworkSettings(32, 8, (1, 2), 1, guided=True)


@pytest.fixture(scope="module")
def videos(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Videos:
    return make_videos([folder], [], tmp_path_factory.mktemp("videos"), 32, None, 0)


def trainer(seed: int = 0) -> Trainer:
    return Trainer(SETTINGS, Training(1, batch=2, seed=seed), torch.device("cpu"))


def test_base_pictures_are_those_of_their_frames(videos: Videos) -> None:
    assert videos.starts == [0, 6, 11] and [len(each) for each in videos.people] == [1, 1]
    for true, low in zip(videos.frames.float(), videos.low.float(), strict=True):
        apart = [float((each.float() - low[::2, ::2]).abs().mean()) for each in videos.frames]
        assert float((true - low[::2, ::2]).abs().mean()) <= min(apart) + 2


def test_what_was_prepared_is_taken_again(folder: Path, tmp_path: Path) -> None:
    make_videos([folder], [], tmp_path, 32, None, 0)
    written = (tmp_path / "low.u8").stat().st_mtime_ns
    make_videos([folder], [], tmp_path, 32, None, 0)
    assert (tmp_path / "low.u8").stat().st_mtime_ns == written
    make_videos([folder], [], tmp_path, 64, None, 0)
    assert Videos.load(tmp_path).frames.shape[1] == 64


def test_a_batch_has_the_frame_before_and_one_person_in_each_row(videos: Videos) -> None:
    row = videos.batch(8, np.random.default_rng(0), soft=False)
    frames = videos.frames.permute(0, 3, 1, 2).float() / 127.5 - 1

    def place(picture: torch.Tensor) -> int:
        both = torch.stack([frames, frames.flip(3)], 1)
        return int((both - picture).abs().mean((2, 3, 4)).argmin()) // 2

    for clean, identity, previous in zip(row.clean, row.identity, row.previous, strict=True):
        at = place(clean)
        assert place(previous) == at - 1
        assert (place(identity) < 6) == (at < 6)


def test_training_lowers_the_loss(videos: Videos) -> None:
    each = trainer()
    losses = [each.advance(videos) for _ in range(30)]
    assert np.mean(losses[-8:]) < np.mean(losses[:4])


def test_a_run_goes_on_as_if_it_had_not_stopped(videos: Videos, tmp_path: Path) -> None:
    whole, first, second = trainer(), trainer(), trainer(1)
    for _ in range(2):
        whole.advance(videos)
        first.advance(videos)
    first.save(tmp_path / "checkpoint.pt")
    second.load(tmp_path / "checkpoint.pt")
    assert whole.advance(videos) == second.advance(videos)


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    trainer().save(tmp_path / "checkpoint.pt")
    other = Trainer(NetworkSettings(32, 16, (1, 2), 1), Training(1), torch.device("cpu"))
    with pytest.raises(ValueError, match="another network"):
        other.load(tmp_path / "checkpoint.pt")


def test_a_run_that_is_asked_to_stop_writes_what_it_has(videos: Videos, tmp_path: Path) -> None:
    stop = Stop()
    stop.requested = True
    lines = list(train(trainer(), videos, videos, tmp_path, stop))
    assert len(lines) == 1 and (tmp_path / "checkpoint.pt").exists()
    assert read_network(tmp_path / "facenhance.safetensors")[0].settings == SETTINGS


def test_the_command_trains_and_measures(folder: Path, tmp_path: Path) -> None:
    options = "--size 32 --width 8 --multipliers 1 2 --guided --minutes 0.02 --batch 2 --seed 3"
    arguments = ["--clips", str(folder), "--dev", str(folder), "--out", str(tmp_path), *options.split()]
    assert main(arguments) == 0
    line = json.loads((tmp_path / "log.jsonl").read_text().splitlines()[-1])
    assert line["step"] >= 1 and line["loss"] > 0
    assert (tmp_path / "facenhance.safetensors").stat().st_size > 10_000
