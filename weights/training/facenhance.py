"""Trains FacEnhance on base layers as the wire codes them: 64 px, 12.5 a second, SVT-AV1.

What it reads from the clips is kept in OUT/data and OUT/dev. It can be stopped and started again: it goes on from its
last checkpoint. Logs go to OUT/log.jsonl, a sheet to OUT/sheet.png, fp16 weights to OUT/facenhance.safetensors.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from shared.models.facenhance.algorithms import draw_video, training_loss
from shared.models.facenhance.enhancer import write_network
from shared.models.facenhance.network import (
    PREDICTIONS,
    Conditions,
    FacEnhanceNetwork,
    NetworkSettings,
    enlarged,
    parameters,
)
from shared.signals import ended_by_signals
from weights.training.checkpoint import write_checkpoint
from weights.training.facenhance_data import Videos, make_videos
from weights.training.stopping import Stop, sole_trainer

CHECKPOINT_SECONDS = 60
DEV_FRAMES, DEV_STEPS = 10, 2
"""Of each dev clip, or as many as the shortest has, and steps that draw one."""
_WARM_UP = 100


@dataclass(frozen=True)
class Training:
    """One run, but for the network."""

    minutes: float
    batch: int = 8
    rate: float = 1e-3
    seed: int = 0
    previous_noise: bool = True
    """False: the ablation without noise on the previous frame"""
    soft_previous: bool = True
    """False: the previous frame is always the true one"""


class Trainer:
    """Network, optimiser, moving average of the weights, and what is random."""

    def __init__(self, settings: NetworkSettings, training: Training, device: torch.device) -> None:
        torch.manual_seed(training.seed)
        self.training, self.device = training, device
        self.network = FacEnhanceNetwork(settings)
        self.network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimiser = torch.optim.Adam(self.network.parameters(), lr=training.rate, betas=(0.9, 0.99))
        self.average = {k: v.detach().clone() for k, v in self.network.state_dict().items()}
        self.rows, self.noise = np.random.default_rng(training.seed), torch.Generator().manual_seed(training.seed)
        self.step, self.seconds = 0, 0.0

    def advance(self, videos: Videos) -> float:
        """One step of the optimiser; the loss comes back."""
        training = self.training
        done = min(1.0, self.seconds / (60 * training.minutes))
        rate = training.rate * min(1, (self.step + 1) / _WARM_UP) * (0.02 + 0.98 * math.cos(done * math.pi / 2))
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        row = (each.to(self.device) for each in videos.batch(training.batch, self.rows, training.soft_previous))
        clean, identity, previous, low = row
        conditions = Conditions(identity, previous, low)
        loss = training_loss(self.network, clean, conditions, self.noise, training.previous_noise)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimiser.step()
        self.step += 1
        keep = min(0.998, self.step / (self.step + 20))
        with torch.no_grad():
            for name, value in self.network.state_dict().items():
                self.average[name].lerp_(value, 1 - keep)
        return float(loss.detach())

    def averaged(self) -> FacEnhanceNetwork:
        """The network with the moving-average weights, on the CPU."""
        network = FacEnhanceNetwork(self.network.settings).eval()
        network.load_state_dict({k: v.cpu() for k, v in self.average.items()})
        return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]

    def save(self, path: Path) -> None:
        """Writes the checkpoint."""
        state = {
            "network": self.network.state_dict(), "average": self.average, "optimiser": self.optimiser.state_dict(),
            "rows": json.dumps(self.rows.bit_generator.state), "noise": self.noise.get_state(), "step": self.step,
            "seconds": self.seconds,
        }  # fmt: skip
        write_checkpoint(path, state)

    def load(self, path: Path) -> None:
        """Goes on from a checkpoint of `save`. Raises ValueError if it is of another network."""
        state = torch.load(path, map_location="cpu", weights_only=True)
        try:
            self.network.load_state_dict(state["network"])
        except RuntimeError as error:
            raise ValueError(f"{path} is of another network: take the same settings or another --out") from error
        self.average = {k: v.to(self.device) for k, v in state["average"].items()}
        self.optimiser.load_state_dict(state["optimiser"])
        self.rows.bit_generator.state = json.loads(state["rows"])
        self.noise.set_state(state["noise"])
        self.step, self.seconds = state["step"], state["seconds"]


def train(trainer: Trainer, videos: Videos, dev: Videos | None, out: Path, stop: Stop) -> Iterator[dict[str, float]]:
    """Trains to the end or until asked to stop; yields a line for the log every minute."""
    offset, began = trainer.seconds, time.monotonic()
    last_save, last_dev, first = offset, offset, trainer.step
    losses: list[float] = []
    end = 60 * trainer.training.minutes
    while True:
        losses.append(trainer.advance(videos))
        trainer.seconds = offset + time.monotonic() - began
        done = trainer.seconds >= end or stop.requested
        if done or trainer.seconds - last_save >= CHECKPOINT_SECONDS:
            speed = (trainer.step - first) * trainer.training.batch / (trainer.seconds - offset)
            line = {
                "step": trainer.step, "minutes": trainer.seconds / 60, "rows_per_s": speed,
                "loss": float(np.mean(losses)),
            }  # fmt: skip
            last_save, losses = trainer.seconds, []
            network = trainer.averaged()
            if dev is not None and (done or trainer.seconds - last_dev >= 5 * CHECKPOINT_SECONDS):
                last_dev = trainer.seconds
                figures, sheet = evaluate(network, dev, trainer.training)
                line |= figures
                cv2.imwrite(str(out / "sheet.png"), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))
            trainer.save(out / "checkpoint.pt")
            write_network(out / "facenhance.safetensors", network, trainer.training.previous_noise)
            yield line
        if done:
            return


@torch.inference_mode()
def evaluate(network: FacEnhanceNetwork, dev: Videos, training: Training) -> tuple[dict[str, float], np.ndarray]:
    """Of the videos drawn and of bicubic enlargement: PSNR in dB over RGB, sharpness; and a sheet of their last frames.

    Sharpness is the mean gradient, as a share of the true one.
    """
    clips = range(len(dev.starts) - 1)
    count = min(DEV_FRAMES, *(dev.starts[clip + 1] - dev.starts[clip] for clip in clips))
    excerpts = [dev.excerpt(clip, count) for clip in clips]
    identity = torch.cat([first for first, _, _ in excerpts])
    true, low = (torch.stack([each[part] for each in excerpts], 1) for part in (1, 2))
    random = torch.Generator().manual_seed(0)
    drawn = torch.stack(list(draw_video(network, identity, low, random, DEV_STEPS, training.previous_noise)))
    plain = torch.stack([enlarged(each, true.shape[-1]) for each in low])
    figures = {}
    for name, video in (("drawn", drawn), ("bicubic", plain)):
        error = ((video - true) / 2).square().mean((0, 2, 3, 4))
        figures[f"psnr_{name}"] = float((-10 * error.log10()).mean())
        figures[f"sharp_{name}"] = float(gradient(video) / gradient(true))
    rows = [torch.cat([identity[i], plain[-1, i], drawn[-1, i], true[-1, i]], 2) for i in range(len(excerpts))]
    sheet = ((torch.cat(rows, 1) + 1) * 127.5).round().clamp(0, 255).byte()
    return figures, np.ascontiguousarray(sheet.permute(1, 2, 0).numpy())


def gradient(video: Tensor) -> Tensor:
    """Mean absolute difference of neighbours across and down."""
    return video.diff(dim=-1).abs().mean() + video.diff(dim=-2).abs().mean()


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m weights.training.facenhance", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--clips", type=Path, nargs="+", required=True, help="folders of square training clips")
    parser.add_argument("--dev", type=Path, nargs="+", default=[], metavar="FOLDER", help="clips of other people")
    parser.add_argument("--without", nargs="*", default=[], metavar="COLUMN=TEXT",
                        help="leave out clips of which clips.csv says so, as upstream=Multiface")  # fmt: skip
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--size", type=int, default=192, help="px of the frames drawn (default: 192)")
    parser.add_argument(
        "--width", type=int, default=32, help="channels of the first level; the paper's 128 (default: 32)"
    )
    parser.add_argument("--multipliers", type=int, nargs="+", default=[1, 1, 2, 2, 4, 8], metavar="N",
                        help="widths of each level (default: the paper's 1 1 2 2 4 8)")  # fmt: skip
    parser.add_argument("--prediction", choices=PREDICTIONS, default="x0")
    parser.add_argument("--guided", action="store_true",
                        help="the small frame, enlarged, is a condition, too: ours, far quicker to learn")  # fmt: skip
    parser.add_argument("--minutes", type=float, required=True, metavar="M", help="length; the rate falls over it")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rate", type=float, default=1e-3, help="learning rate at its height (default: 1e-3)")
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N clips of each folder")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    return parser.parse_args(arguments)


def run_training(args: argparse.Namespace, stop: Stop) -> None:
    """Trains or goes on training, as the command line says. Raises ValueError for what cannot be."""
    settings = NetworkSettings(args.size, args.width, tuple(args.multipliers), min(4, len(args.multipliers) - 1),
                               args.prediction, args.guided)  # fmt: skip
    training = Training(args.minutes, args.batch, args.rate, args.seed)
    videos = make_videos(args.clips, args.without, args.out / "data", args.size, args.limit, args.seed)
    dev = make_videos(args.dev, [], args.out / "dev", args.size, args.limit, args.seed) if args.dev else None
    trainer = Trainer(settings, training, torch.device(args.device))
    if (args.out / "checkpoint.pt").exists():
        trainer.load(args.out / "checkpoint.pt")
        print(f"going on at step {trainer.step}", flush=True)
    print(
        f"{videos.starts[-1]} frames of {len(videos.people)} people; {parameters(trainer.network)} parameters",
        flush=True,
    )
    with (args.out / "log.jsonl").open("a") as log:
        for line in train(trainer, videos, dev, args.out, stop):
            rounded = {k: round(v, 4) for k, v in line.items()}
            print(json.dumps(rounded), file=log, flush=True)
            print(" ".join(f"{k} {v}" for k, v in rounded.items()), flush=True)


@ended_by_signals("weights.training.facenhance", "interrupted; the same command goes on")
def main(arguments: list[str] | None = None) -> int:
    """0, or 1 with a sentence on stderr."""
    args = parse(arguments)
    try:
        with sole_trainer(args.out), Stop().listening() as stop:
            run_training(args, stop)
    except (ValueError, OSError) as error:
        print(f"python -m weights.training.facenhance: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
