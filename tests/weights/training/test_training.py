from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.utils._python_dispatch import TorchDispatchMode

from shared.models import precision
from shared.models.compact import CompactNetwork
from shared.models.engine import CompactEngine, Picture
from shared.models.layers import LANDMARKS
from shared.models.registry import locate
from weights.training import losses
from weights.training.adversary import Adversary
from weights.training.data import Augmentation, Clips
from weights.training.evaluate import evaluate
from weights.training.export import export
from weights.training.stages import RECIPE, Stage, chosen
from weights.training.stopping import Stop, sole_trainer
from weights.training.train import train
from weights.training.trainer import Trainer, fading, motion_input

CPU = torch.device("cpu")
JOINT = Stage("128", 128, 1.0, 2, 1e-4, motion=True)
DRAWING = replace(JOINT, motion=False)
MOTION = replace(JOINT, drawing=False)


def changed(trainer: Trainer, before: dict[str, torch.Tensor]) -> set[str]:
    """The networks that have learned."""
    return {k.split(".")[0] for k, v in trainer.network.state_dict().items() if not torch.equal(v, before[k])}


def weights_of(trainer: Trainer) -> dict[str, torch.Tensor]:
    return {k: v.clone() for k, v in trainer.network.state_dict().items()}


def test_losses_of_the_truth_are_nothing(clips: Clips) -> None:
    batch = clips.batch(4, 128, torch.Generator().manual_seed(1), Augmentation())
    picture, side = batch.driving.picture, batch.driving
    weight = losses.attention(side.mesh, torch.ones(4), 128)
    assert 1 <= float(weight.min()) < float(weight.max()) <= 10
    assert float(losses.pyramid(picture, picture, weight)) == 0
    assert float(losses.gradient(picture, picture, weight)) == 0
    assert float(losses.landmark(side.mesh[:, list(LANDMARKS)], side)) == 0
    network, seen = CompactNetwork().motion.requires_grad_(False), motion_input(picture)
    canonical = network(seen).canonical
    features, points = losses.read_again(network, seen, seen, canonical)
    assert float(features) == float(points) == 0
    assert float(losses.read_again(network, seen.flip(-1), seen, canonical)[0]) > 0


def test_an_opening_counts_more_than_a_place(clips: Clips) -> None:
    side = clips.batch(4, 128, torch.Generator().manual_seed(2), Augmentation()).driving
    side = side._replace(ok=torch.ones(4))
    truth = side.mesh[:, list(LANDMARKS)]
    moved, open_mouth = truth + torch.tensor([0.01, 0, 0]), truth.clone()
    open_mouth[:, LANDMARKS.index(14), 1] += 0.01 * 2 * len(LANDMARKS) / 2
    assert float(losses.landmark(moved, side)) < float(losses.landmark(open_mouth, side))


def test_a_blend_half_and_half_is_undecided() -> None:
    assert float(losses.undecided(torch.full((1, 1, 4, 4), 0.5))) == 0.25
    assert float(losses.undecided(torch.tensor([0.0, 1.0]))) == 0


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize(
    ("stage", "networks"),
    [
        (MOTION, {"motion", "mesh"}),
        (JOINT, {"motion", "encoder", "dense_motion", "generator"}),
        (DRAWING, {"encoder", "dense_motion", "generator"}),
        (replace(DRAWING, adversary=True), {"encoder", "dense_motion", "generator"}),
        (replace(DRAWING, sources=2), {"encoder", "dense_motion", "generator", "nearness"}),
        (replace(DRAWING, base=True), {"encoder", "dense_motion", "generator", "base"}),
    ],
)
def test_each_stage_trains_its_networks_and_its_checkpoint_goes_on(
    stage: Stage, networks: set[str], half: bool, based_clips: Clips, tmp_path: Path
) -> None:
    clips = based_clips
    trainer = Trainer(stage, 0, CPU, half=half)
    trainer.initialise(weights_of(trainer))
    before = weights_of(trainer)
    for _ in range(2):
        parts = trainer.advance(clips)
    assert all(np.isfinite(value) for value in parts.values())
    assert changed(trainer, before) == networks

    trainer.save(tmp_path / "checkpoint.pt")
    again = Trainer(stage, 0, CPU, half=half)
    again.load(tmp_path / "checkpoint.pt")
    assert again.step == 2
    assert again.advance(clips) == pytest.approx(trainer.advance(clips), rel=2e-3, abs=1e-5)
    assert not (tmp_path / "checkpoint.part").exists()


@pytest.mark.parametrize("stage", [MOTION, DRAWING])
def test_half_precision_takes_the_same_steps_nearly(stage: Stage, clips: Clips) -> None:
    single, narrow = (Trainer(stage, 0, CPU, half=half).advance(clips) for half in (False, True))
    assert narrow == pytest.approx(single, rel=0.05, abs=1e-3)
    assert narrow != single  # or nothing was narrowed


def test_half_precision_is_taken_where_it_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    for multiplies in (True, False):
        monkeypatch.setattr(precision, "_cpu_multiplies_bf16", lambda found=multiplies: found)
        assert Trainer(MOTION, 0, CPU).half is multiplies
    assert Trainer(MOTION, 0, CPU, half=True).half


def test_free_keypoints_stay_where_a_trained_network_has_them(clips: Clips) -> None:
    trainer = Trainer(MOTION, 0, CPU)
    assert "free" not in trainer.advance(clips)  # from scratch there is nothing to stay with
    trainer.initialise(weights_of(trainer))
    assert trainer.advance(clips)["free"] < 1e-4


def test_a_discriminator_learns_to_tell(clips: Clips) -> None:
    torch.manual_seed(0)
    adversary = Adversary(CPU, width=8, rate=2e-3)
    true = clips.frames[:4].permute(0, 3, 1, 2).float() / 255
    soft = torch.nn.functional.avg_pool2d(true, 5, 1, 2)
    first = adversary.learn(soft, true)
    for _ in range(20):
        last = adversary.learn(soft, true)
    assert last < first
    unreal, matching = adversary.judge(soft, true)
    assert float(matching) > 0
    assert float(unreal) > float(adversary.judge(true, true)[0])


def test_a_stage_leaves_weights_that_become_an_engine(clips: Clips, person: list[Picture], tmp_path: Path) -> None:
    trainer = Trainer(replace(JOINT, minutes=1e-5), 0, CPU)  # over after its first step
    (line,) = train(trainer, clips, clips, tmp_path, 1.0)
    assert line["step"] == trainer.step == 1
    assert {"dev_psnr", "dev_freeze", "dev_sharp", "dev_drawn_mouth", "dev_two_psnr"} <= set(line)
    assert (tmp_path / "sheet_128_000001.png").exists()
    assert list(train(trainer, clips, None, tmp_path, 1.0)) == []  # the stage is over

    export(tmp_path / "128.part.safetensors", tmp_path)
    motion, generator = tmp_path / "compact_motion.safetensors", tmp_path / "compact_generator.safetensors"
    assert not [name for name in load_file(generator) if name.startswith(("mesh", "motion"))]
    engine = CompactEngine(motion, generator)
    canonical, own = engine.extract(person[0])
    assert engine.draw([(engine.prepare(person[0], canonical, own), 1.0)], own).shape == (256, 256, 3)


def test_the_next_stage_starts_from_the_weights_of_the_last(tmp_path: Path) -> None:
    first = Trainer(JOINT, 0, CPU)
    first.export(tmp_path / "weights.safetensors")
    weights = load_file(tmp_path / "weights.safetensors")
    second = Trainer(DRAWING, 9, CPU)
    assert second.initialise(weights) == []
    assert all(torch.equal(v.half(), weights[k]) for k, v in second.network.state_dict().items())
    weights.pop("motion.pose.bias")
    weights["generator.out.weight"] = torch.zeros(1)
    assert second.initialise(weights) == ["generator.out.weight", "motion.pose.bias"]


def test_evaluation_of_a_still_clip_finds_freezing_perfect(clips: Clips) -> None:
    still = replace(clips, frames=clips.frames[:1].expand(22, -1, -1, -1))
    scores, sheet = evaluate(Trainer(JOINT, 0, CPU).average, still, 128, drawing=True)
    assert scores["freeze"] == pytest.approx(80)
    assert scores["psnr"] < scores["freeze"]
    assert sheet.shape == (3 * 128, 2 * 128, 3)


def test_stages_are_chosen_by_name() -> None:
    assert chosen(None) == list(RECIPE)
    first, second = chosen("256=5,sharp", batch=3, minutes=7)
    assert (first.name, first.minutes, first.batch) == ("256", 5, 3)
    assert (second.name, second.minutes, second.adversary) == ("sharp", 7, True)
    with pytest.raises(ValueError, match="no stage 'blunt'"):
        chosen("blunt")
    with pytest.raises(ValueError, match="minutes are a number"):
        chosen("256=long")


def test_the_whole_recipe_runs_by_one_command_and_goes_on(folder: Path, wire_cache: Path, tmp_path: Path) -> None:
    command = [
        sys.executable, "-m", "weights.training.train", "--clips", str(folder), "--dev", str(folder), "--wire",
        str(wire_cache), "--run", str(tmp_path), "--minutes", "0.0001", "--batch", "2", "--device", "cpu",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["stage"] for line in lines] == [stage.name for stage in RECIPE]
    assert all(line["samples_per_s"] > 0 for line in lines)
    assert "dev_drawn_mouth" in lines[-1]
    assert "stage motion starts" in done.stdout
    assert (tmp_path / "sharp.safetensors").exists()
    (tmp_path / "sharp.safetensors").unlink()
    again = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "stage 256 is finished" in again.stdout
    assert "stage sharp goes on at step 1" in again.stdout


def test_who_is_asked_to_end_saves_first(clips: Clips, tmp_path: Path) -> None:
    stop, trainer = Stop(), Trainer(MOTION, 0, CPU)
    stop.requested = True
    assert len(list(train(trainer, clips, clips, tmp_path, 5, stop))) == 1
    again = Trainer(MOTION, 0, CPU)
    again.load(tmp_path / "128.pt")
    assert again.step == trainer.step == 1


def test_two_trainers_on_one_run_are_refused(folder: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "weights.training.train", "--clips", str(folder), "--run", str(tmp_path)]
    with sole_trainer(tmp_path):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "another trainer" in done.stderr


def test_a_step_waits_for_nothing(folder: Path, wire_cache: Path, base_folder: Path) -> None:
    """On a GPU each of these copies a number to the host, which waits until all before it is computed."""
    clips = Clips.load(folder, 128, 1, wire=wire_cache, bases=base_folder)
    waits = {"_local_scalar_dense", "nonzero", "is_nonzero", "equal", "item"}

    class Watched(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            assert func.overloadpacket.__name__ not in waits, func
            return func(*args, **(kwargs or {}))

    for stage in (MOTION, replace(DRAWING, adversary=True, sources=2, base=True)):
        trainer = Trainer(stage, 0, CPU)
        with Watched():
            trainer.step_on(clips)


def test_weights_of_two_sources_are_those_of_a_call() -> None:
    weights = fading(400, 2, torch.Generator().manual_seed(0))
    assert bool((weights >= 0).all()) and bool((weights.sum(1) > 0).all())
    alone, alike = (weights == 0).any(1).float().mean(), (weights[:, 0] == weights[:, 1]).float().mean()
    assert 0.2 < float(alone) < 0.3
    assert 0.2 < float(alike) < 0.3
    assert torch.equal(fading(3, 1, torch.Generator()), torch.ones(3, 1))


def test_a_larger_generator_is_trained_on_the_same_motion_network_and_drawn_with(
    clips: Clips, person: list[Picture], tmp_path: Path
) -> None:
    stage = replace(DRAWING, minutes=1e-5, sources=2)
    small, large = Trainer(stage, 0, CPU), Trainer(stage, 0, CPU, generator="standard")
    small.export(tmp_path / "small.safetensors")
    fresh = large.initialise(load_file(tmp_path / "small.safetensors"))
    assert fresh and not [name for name in fresh if name.startswith("motion.")]
    list(train(large, clips, None, tmp_path, 1.0))
    large.export(tmp_path / "large.safetensors")
    export(tmp_path / "large.safetensors", tmp_path)
    engine = CompactEngine(locate("compact-motion"), tmp_path / "standard_generator.safetensors")
    canonical, own = engine.extract(person[0])
    assert engine.draw([(engine.prepare(person[0], canonical, own), 1.0)], own).shape == (256, 256, 3)
    assert not (tmp_path / "compact_motion.safetensors").exists()
