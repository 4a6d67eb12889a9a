"""Trains the `compact` engine from a folder of clips: `python -m weights.training.train --help`.

One call is one stage at one picture size; the next stage starts from the weights of the last (`--init`). A stage can be
stopped and started again: it goes on from its last checkpoint. Logs go to RUN/log.jsonl, sheets to RUN/sheet_*.png.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor

from shared.models.compact import MOTION_INPUT, CompactNetwork, MotionTensors, keypoints
from weights.training import losses
from weights.training.data import Batch, Clips

CHECKPOINT_SECONDS = 60


@dataclass(frozen=True)
class Stage:
    """One stage of training."""

    size: int
    minutes: float
    batch: int
    rate: float
    freeze_motion: bool
    seed: int


def motion_input(picture: Tensor) -> Tensor:
    """(B, 3, 128, 128) from (B, 3, S, S), S a multiple of 128."""
    return F.avg_pool2d(picture, picture.shape[-1] // MOTION_INPUT) if picture.shape[-1] > MOTION_INPUT else picture


class Trainer:
    """Network, optimiser and moving-average weights of a stage."""

    def __init__(self, stage: Stage, device: torch.device, compiled: bool = False) -> None:
        torch.manual_seed(stage.seed)
        self.stage, self.device = stage, device
        self.network = CompactNetwork().to(device)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.network.motion.requires_grad_(not stage.freeze_motion)
        trained = [p for p in self.network.parameters() if p.requires_grad]
        self.optimiser = torch.optim.AdamW(trained, lr=stage.rate, betas=(0.9, 0.99), weight_decay=1e-4)
        self.generator = torch.Generator().manual_seed(stage.seed)
        self.average = {k: v.detach().clone().float() for k, v in self.network.state_dict().items()}
        self.step, self.seconds = 0, 0.0
        # bf16 pays only where the processor multiplies it
        self.half = device.type == "cuda" or torch.backends.cpu.get_cpu_capability() == "AVX512_BF16"
        self._loss = torch.compile(self.loss) if compiled else self.loss

    def initialise(self, weights: dict[str, Tensor]) -> list[str]:
        """Copies weights that fit by name and shape; the names of those left at their random start come back."""
        own = self.network.state_dict()
        fitting = {k: v.to(own[k].dtype) for k, v in weights.items() if k in own and own[k].shape == v.shape}
        self.network.load_state_dict(own | fitting)
        self.average = {k: v.detach().clone().float() for k, v in self.network.state_dict().items()}
        return sorted(set(own) - set(fitting))

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of a batch and its parts."""
        network = self.network
        both = torch.cat([batch.source, batch.driving]).contiguous(memory_format=torch.channels_last)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.half):
            with torch.set_grad_enabled(not self.stage.freeze_motion):
                motion = network.motion(motion_input(both))
            source, driving = (
                MotionTensors(*halves) for halves in zip(*(t.float().chunk(2) for t in motion), strict=True)
            )
            features = network.encoder(both[: len(batch.source)])
            drawn = network.draw(features, source.canonical, source, driving)
        picture, warped, painted = (t.float() for t in drawn)
        weight = losses.attention(batch.driving_landmarks, batch.driving_ok, picture.shape[-1])
        parts = {
            "picture": losses.pyramid(picture, batch.driving, weight),
            "gradient": losses.gradient(picture, batch.driving, weight),
            "warp": losses.pyramid(warped, batch.driving, weight),
            # of its own, or the blend shuts the unlearned painting out and it never learns
            "paint": losses.pyramid(painted, batch.driving, weight),
        }
        total = 2 * parts["picture"] + parts["gradient"] + 0.7 * parts["warp"] + 0.5 * parts["paint"]
        if not self.stage.freeze_motion:
            ks, kd = keypoints(source.canonical, source), keypoints(source.canonical, driving)
            parts["landmark"] = losses.landmark(kd, batch.driving_landmarks, batch.driving_ok) + losses.landmark(
                ks, batch.source_landmarks, batch.source_ok
            )
            total = total + 2 * parts["landmark"] + 0.1 * driving.expression.square().mean()
        return total, parts

    def advance(self, clips: Clips) -> dict[str, float]:
        """One step of the optimiser."""
        share = min(1.0, self.seconds / (60 * self.stage.minutes))
        cosine = 0.5 * (1 + math.cos(math.pi * max(0.0, (share - 0.3) / 0.7)))
        rate = self.stage.rate * min(1.0, (self.step + 1) / 50) * (0.03 + 0.97 * cosine)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        total, parts = self._loss(clips.batch(self.stage.batch, self.stage.size, self.generator))
        self.optimiser.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_([p for p in self.network.parameters() if p.requires_grad], 1.0)
        self.optimiser.step()
        self.step += 1
        keep = min(0.999, self.step / (self.step + 20))
        with torch.no_grad():
            for name, value in self.network.state_dict().items():
                self.average[name].lerp_(value.float(), 1 - keep)
        return {name: float(value.detach()) for name, value in parts.items()}

    def save(self, path: Path) -> None:
        """Writes the checkpoint; a file being written never replaces a good one."""
        state = {
            "network": self.network.state_dict(), "average": self.average, "optimiser": self.optimiser.state_dict(),
            "generator": self.generator.get_state(), "step": self.step, "seconds": self.seconds,
        }  # fmt: skip
        torch.save(state, path.with_suffix(".part"))
        path.with_suffix(".part").replace(path)

    def load(self, path: Path) -> None:
        """Goes on from a checkpoint of `save`."""
        state = torch.load(path, map_location="cpu", weights_only=True)
        self.network.load_state_dict(state["network"])
        self.average = {k: v.to(self.device) for k, v in state["average"].items()}
        self.optimiser.load_state_dict(state["optimiser"])
        self.generator.set_state(state["generator"])
        self.step, self.seconds = state["step"], state["seconds"]

    def export(self, path: Path) -> None:
        """Writes the moving-average weights as fp16 safetensors."""
        save_file({k: v.half().contiguous().cpu() for k, v in self.average.items()}, path)


@torch.no_grad()
def evaluate(
    average: dict[str, Tensor], dev: Clips, size: int, per_clip: int = 6
) -> tuple[dict[str, float], np.ndarray]:
    """PSNR of drawn and of repeated first frames of dev clips, and a sheet (source, driving, drawn per column)."""
    network = CompactNetwork().eval()
    network.load_state_dict(average)
    scores: dict[str, list[float]] = {"engine": [], "freeze": []}
    columns = []
    for start, end in zip(dev.starts[:-1].tolist(), dev.starts[1:].tolist(), strict=True):
        index = torch.linspace(start, end - 1, per_clip + 1).long()
        frames = dev.frames[index].permute(0, 3, 1, 2).float() / 255
        if frames.shape[-1] != size:
            frames = F.avg_pool2d(frames, frames.shape[-1] // size)
        motion = network.motion(motion_input(frames))
        first = MotionTensors(*(t[:1].expand(per_clip, *t.shape[1:]) for t in motion))
        driving = MotionTensors(*(t[1:] for t in motion))
        features = network.encoder(frames[:1].expand(per_clip, -1, -1, -1))
        drawn, _, _ = network.draw(features, first.canonical, first, driving)
        for name, picture in (("engine", drawn), ("freeze", frames[:1])):
            error = (picture - frames[1:]).square().mean((1, 2, 3)).clamp_min(1e-8)
            scores[name].append(float((-10 * error.log10()).mean()))
        worst = int((drawn - frames[1:]).square().mean((1, 2, 3)).argmax())
        columns.append(torch.cat([frames[0], frames[1 + worst], drawn[worst]], 1))
    sheet = (torch.cat(columns, 2).permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
    return {name: float(np.mean(values)) for name, values in scores.items()}, sheet


def train(
    trainer: Trainer, clips: Clips, dev: Clips | None, run: Path, dev_minutes: float
) -> Iterator[dict[str, float]]:
    """Trains to the end of the stage; yields a line for the log every minute."""
    checkpoint, began = run / "checkpoint.pt", time.monotonic()
    average: dict[str, float] = {}
    last_save = last_dev = trainer.seconds
    offset, first_step = trainer.seconds, trainer.step
    while trainer.seconds < trainer.stage.minutes * 60:
        for name, value in trainer.advance(clips).items():
            average[name] = 0.98 * average.get(name, value) + 0.02 * value
        trainer.seconds = offset + time.monotonic() - began
        done = trainer.seconds >= trainer.stage.minutes * 60
        if done or trainer.seconds - last_save >= CHECKPOINT_SECONDS:
            last_save = trainer.seconds
            trainer.save(checkpoint)
            speed = (trainer.step - first_step) * trainer.stage.batch / (trainer.seconds - offset)
            line = {"step": trainer.step, "minutes": trainer.seconds / 60, "samples_per_s": speed, **average}
            if dev is not None and (done or trainer.seconds - last_dev >= dev_minutes * 60):
                last_dev = trainer.seconds
                scores, sheet = evaluate({k: v.cpu() for k, v in trainer.average.items()}, dev, trainer.stage.size)
                line |= {f"dev_{k}_psnr": v for k, v in scores.items()}
                cv2.imwrite(str(run / f"sheet_{trainer.step:06d}.png"), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))
                trainer.export(run / "weights.safetensors")
            yield line
    trainer.export(run / "weights.safetensors")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m weights.training.train", description=__doc__)
    parser.add_argument("--clips", type=Path, required=True, help="folder of training clips (NAME.mp4, NAME.npz)")
    parser.add_argument("--dev", type=Path, help="folder of clips of other people, for the metrics in the log")
    parser.add_argument("--run", type=Path, required=True, help="folder for checkpoint, log, sheets and weights")
    parser.add_argument("--init", type=Path, help="safetensors to start from; what does not fit starts at random")
    parser.add_argument("--size", type=int, default=256, choices=(128, 256), help="picture size in px")
    parser.add_argument("--minutes", type=float, default=60, help="length of the stage; the rate falls over it")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rate", type=float, default=4e-4, help="learning rate at its height")
    parser.add_argument("--freeze-motion", action="store_true", help="train encoder, dense motion and generator only")
    parser.add_argument("--step", type=int, default=3, help="use every STEP-th frame of a clip")
    parser.add_argument("--limit", type=int, help="use only the first LIMIT clips")
    parser.add_argument("--dev-minutes", type=float, default=5, help="minutes between dev metrics")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--compile", action="store_true", help="compile the network first: minutes, then faster")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args = parser.parse_args()
    device = torch.device(args.device)
    args.run.mkdir(parents=True, exist_ok=True)
    trainer = Trainer(
        Stage(args.size, args.minutes, args.batch, args.rate, args.freeze_motion, args.seed), device, args.compile
    )
    if (args.run / "checkpoint.pt").exists():
        trainer.load(args.run / "checkpoint.pt")
        print(f"going on at step {trainer.step}, minute {trainer.seconds / 60:.1f}", flush=True)
    elif args.init:
        fresh = trainer.initialise(load_file(args.init))
        print(f"started from {args.init}; {len(fresh)} tensors start at random", flush=True)
    clips = Clips.load(args.clips, args.size, args.step, args.limit).to(device)
    dev = Clips.load(args.dev, args.size, 5, args.limit) if args.dev else None
    print(f"{len(clips.names)} clips, {len(clips.frames)} frames at {args.size} px on {device}", flush=True)
    with (args.run / "log.jsonl").open("a") as log:
        for line in train(trainer, clips, dev, args.run, args.dev_minutes):
            rounded = {k: round(v, 4) for k, v in line.items()}
            print(json.dumps(rounded), file=log, flush=True)
            print(" ".join(f"{k} {v}" for k, v in rounded.items()), flush=True)


if __name__ == "__main__":
    main()
