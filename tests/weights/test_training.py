from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from call_examples import write_clip
from safetensors.torch import load_file

from shared.models.compact import LANDMARKS, CompactNetwork
from shared.models.engine import CompactEngine, Picture
from weights.training import losses
from weights.training.data import Clips, degrade, read_landmarks
from weights.training.export import export, harden
from weights.training.train import Stage, Trainer, evaluate, train

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folder(person: list[Picture], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two clips of the sample person, one with landmarks, and two recordings that are not for training."""
    folder = tmp_path_factory.mktemp("clips")
    small = [np.ascontiguousarray(p[::2, ::2]) for p in person]
    write_clip(folder / "a.mp4", small[:12])
    write_clip(folder / "b.mp4", small[20:30])
    write_clip(folder / "raw_c.mp4", small[:3])
    write_clip(folder / "d_512.mp4", small[:3])
    points = np.random.default_rng(0).integers(300, 700, (3, 478)).astype(np.int16)
    steps = np.zeros((3, 478, 12), np.int8)
    steps[0, :, 1:] = 1
    ok = np.ones(12, bool)
    ok[3] = False
    np.savez(folder / "a.npz", base=points, d=steps, scale=np.array([1000, 1000, 500], np.float32), ok=ok)
    return folder


@pytest.fixture(scope="module")
def clips(folder: Path) -> Clips:
    return Clips.load(folder, 128, 1)


def stage(minutes: float, freeze: bool = False) -> Stage:
    return Stage(size=128, minutes=minutes, batch=2, rate=1e-4, freeze_motion=freeze, seed=0)


def test_clips_and_landmarks_are_read(clips: Clips, folder: Path) -> None:
    assert clips.names == ["a", "b"]
    assert clips.frames.shape == (22, 128, 128, 3)
    assert clips.starts.tolist() == [0, 12, 22]
    assert clips.ok.tolist() == [1, 1, 1, 0, *[1] * 8, *[0] * 10]
    base = np.load(folder / "a.npz")["base"].T[list(LANDMARKS)]
    expected = (base[:, 0] + 5) / 1000 * 2 - 1
    assert clips.landmarks[5, :, 0].numpy() == pytest.approx(expected, abs=1e-5)
    assert clips.landmarks[5, :, 2].numpy() == pytest.approx(2 * base[:, 2] / 500, abs=1e-5)


def test_landmarks_that_end_early_count_as_no_face(folder: Path) -> None:
    points, ok = read_landmarks(folder / "a.npz", 14, 1)
    assert points.shape == (14, len(LANDMARKS), 3)
    assert ok[12:].tolist() == [0, 0]


def test_an_empty_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no clips"):
        Clips.load(tmp_path, 128, 1)


def test_pairs_stay_within_a_clip(clips: Clips) -> None:
    i, j = clips.pairs(500, torch.Generator().manual_seed(0))
    assert bool(((i < 12) == (j < 12)).all())
    assert set(i.tolist()) == set(range(22))


def test_a_batch_is_what_the_losses_expect(clips: Clips) -> None:
    batch = clips.batch(4, 128, torch.Generator().manual_seed(1))
    assert batch.source.shape == batch.driving.shape == (4, 3, 128, 128)
    assert 0 <= float(batch.driving.min()) <= float(batch.driving.max()) <= 1
    assert batch.source_landmarks.shape == (4, len(LANDMARKS), 3)
    weight = losses.attention(batch.driving_landmarks, torch.ones(4), 128)
    assert 1 <= float(weight.min()) < float(weight.max()) <= 10
    assert float(losses.pyramid(batch.driving, batch.driving, weight)) == 0
    assert float(losses.gradient(batch.driving, batch.driving, weight)) == 0
    assert float(losses.landmark(batch.driving_landmarks, batch.driving_landmarks, torch.ones(4))) == 0


def test_degraded_sources_are_softer_and_never_brighter(clips: Clips) -> None:
    sharp = clips.frames[:2].permute(0, 3, 1, 2).float() / 255
    chance = torch.Generator().manual_seed(0)
    soft = [degrade(sharp, chance) for _ in range(12)]
    assert any(torch.equal(each, sharp) for each in soft)
    assert any(each.diff(dim=-1).abs().mean() < 0.9 * sharp.diff(dim=-1).abs().mean() for each in soft)
    assert all(0 <= float(each.min()) <= float(each.max()) <= 1 for each in soft)


def test_two_steps_change_the_weights_and_a_checkpoint_goes_on(clips: Clips, tmp_path: Path) -> None:
    trainer = Trainer(stage(1.0), CPU)
    before = {k: v.clone() for k, v in trainer.network.state_dict().items()}
    for _ in range(2):
        parts = trainer.advance(clips)
    assert {"picture", "gradient", "warp", "landmark"} <= set(parts)
    assert all(np.isfinite(value) for value in parts.values())
    changed = [k for k, v in trainer.network.state_dict().items() if not torch.equal(v, before[k])]
    assert {name.split(".")[0] for name in changed} == {"motion", "encoder", "dense_motion", "generator"}

    trainer.save(tmp_path / "checkpoint.pt")
    again = Trainer(stage(1.0), CPU)
    again.load(tmp_path / "checkpoint.pt")
    assert again.step == 2
    expected, resumed = trainer.advance(clips), again.advance(clips)
    assert again.step == 3
    assert resumed == pytest.approx(expected, rel=1e-3)
    assert not (tmp_path / "checkpoint.part").exists()


def test_a_frozen_motion_network_stays_as_it_is(clips: Clips) -> None:
    trainer = Trainer(stage(1.0, freeze=True), CPU)
    before = {k: v.clone() for k, v in trainer.network.motion.state_dict().items()}
    assert "landmark" not in trainer.advance(clips)
    assert all(torch.equal(v, before[k]) for k, v in trainer.network.motion.state_dict().items())


def test_a_stage_leaves_weights_that_become_an_engine(clips: Clips, person: list[Picture], tmp_path: Path) -> None:
    trainer = Trainer(stage(1e-5), CPU)  # over after its first step
    (line,) = train(trainer, clips, clips, tmp_path, 1.0)
    assert line["step"] == trainer.step == 1
    assert {"dev_engine_psnr", "dev_freeze_psnr"} <= set(line)
    assert (tmp_path / "sheet_000001.png").exists()
    assert list(train(trainer, clips, None, tmp_path, 1.0)) == []  # the stage is over

    export(tmp_path / "weights.safetensors", tmp_path)
    trained = load_file(tmp_path / "weights.safetensors")
    motion, generator = tmp_path / "compact_motion.safetensors", tmp_path / "compact_generator.safetensors"
    assert len(load_file(motion)) + len(load_file(generator)) == len(trained)
    engine = CompactEngine(motion, generator)
    canonical, own = engine.extract(person[0])
    assert engine.draw(engine.prepare(person[0], canonical, own), own).shape == (256, 256, 3)


def test_the_next_stage_starts_from_the_weights_of_the_last(tmp_path: Path) -> None:
    first = Trainer(stage(1.0), CPU)
    first.export(tmp_path / "weights.safetensors")
    weights = load_file(tmp_path / "weights.safetensors")
    second = Trainer(Stage(128, 1.0, 2, 1e-4, True, seed=9), CPU)
    assert second.initialise(weights) == []
    assert all(torch.equal(v.half(), weights[k]) for k, v in second.network.state_dict().items())
    weights.pop("motion.pose.bias")
    weights["generator.out.weight"] = torch.zeros(1)
    assert second.initialise(weights) == ["generator.out.weight", "motion.pose.bias"]


def test_evaluation_of_a_still_clip_finds_freezing_perfect() -> None:
    still = torch.full((9, 128, 128, 3), 90, dtype=torch.uint8)
    clips = Clips(still, torch.zeros(9, len(LANDMARKS), 3), torch.zeros(9), torch.tensor([0, 9]), ["still"])
    trainer = Trainer(stage(1.0), CPU)
    scores, sheet = evaluate(trainer.average, clips, 128)
    assert scores["freeze"] == pytest.approx(80)
    assert scores["engine"] < scores["freeze"]
    assert sheet.shape == (3 * 128, 128, 3)


def test_a_hardened_blend_is_the_same_blend_with_a_steeper_logit() -> None:
    torch.manual_seed(3)
    generator = CompactNetwork().generator
    torch.nn.init.normal_(generator.out.weight, std=0.1)
    x = torch.rand(1, 24, 8, 8)
    before = torch.nn.functional.pixel_shuffle(generator.out(x), 2)
    tensors = {f"generator.out.{k}": v.detach().clone() for k, v in generator.out.state_dict().items()}
    harden(tensors, 4.0, 1.5)
    generator.out.load_state_dict({k.removeprefix("generator.out."): v for k, v in tensors.items()})
    after = torch.nn.functional.pixel_shuffle(generator.out(x), 2)
    assert torch.equal(after[:, :3], before[:, :3])
    assert torch.allclose(after[:, 3] + 1, 4 * (before[:, 3] + 1 + 1.5), atol=1e-5)
