"""Trains the `compact` upscaler, a small ESRGAN x4 that also repairs what the picture codec did.

First `--make_pairs` makes a cache of pairs (coded small picture, true large one), which needs the codec; training needs
only that cache. It can be stopped and started again: it goes on from its last checkpoint. Logs go to RUN/log.jsonl,
sheets to RUN/sheet_*.png, fp16 weights to RUN/weights.safetensors.
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
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from shared.models.esrgan import RRDBNet
from shared.models.precision import narrow_pays
from shared.signals import ended_by_signals
from weights.training.checkpoint import write_checkpoint, write_weights
from weights.training.upscaler_figures import evaluate
from weights.training.upscaler_pairs import Pairs, batch, load, make_pairs

BLOCKS, CHANNELS, GROWTH = 2, 32, 32
"""0.9 million parameters: 1.8 MB as fp16, about 0.1 s for 64 to 256 px on one core."""
CHECKPOINT_SECONDS = 60
_WARM_UP = 200
_EPSILON = 0.03
"""Charbonnier's epsilon: errors well under eight grey levels count as squares, larger ones as they are."""


@dataclass(frozen=True)
class Settings:
    """One training run."""

    steps: int
    """Length of the training; the learning rate falls over it."""
    batch: int
    rate: float
    patch: int
    """Side of the small patches in px."""
    gradient: float
    """Weight of the gradient loss."""
    seed: int


def near_identity(network: RRDBNet) -> None:
    """Starts the network as plain enlargement: what it has to learn is the difference."""
    tail = (network.upconv1, network.upconv2, network.HRconv, network.conv_last)
    with torch.no_grad():
        for layer in network.modules():
            if isinstance(layer, nn.Conv2d):
                assert layer.bias is not None
                nn.init.kaiming_normal_(layer.weight, a=0.2)
                layer.weight *= 0.1
                nn.init.zeros_(layer.bias)
        for layer in (network.conv_first, *tail):
            layer.weight += nn.init.dirac_(torch.empty_like(layer.weight))


class Trainer:
    """Network, optimiser and moving-average weights."""

    def __init__(
        self, settings: Settings, device: torch.device, compiled: bool = False, half: bool | None = None
    ) -> None:
        """`half`: whether convolutions compute in bf16; None: where that pays."""
        torch.manual_seed(settings.seed)
        self.settings, self.device = settings, device
        self.network = RRDBNet(BLOCKS, CHANNELS, GROWTH)
        near_identity(self.network)
        self.network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimiser = torch.optim.Adam(self.network.parameters(), lr=settings.rate, betas=(0.9, 0.99))
        self.generator = torch.Generator().manual_seed(settings.seed)
        self.average = {k: v.detach().clone() for k, v in self.network.state_dict().items()}
        self.step, self.seconds = 0, 0.0
        self.half = narrow_pays(device) if half is None else half
        self._draw = torch.compile(self.network) if compiled else self.network

    def advance(self, pairs: dict[int, Pairs]) -> dict[str, float]:
        """One step of the optimiser; the losses come back."""
        fall = 0.02 + 0.98 * math.cos(min(1.0, self.step / self.settings.steps) * math.pi / 2)
        rate = self.settings.rate * min(1, (self.step + 1) / _WARM_UP) * fall
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        low, truth = batch(pairs, self.settings.batch, self.settings.patch, self.generator)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.half):
            drawn = self._draw(low.contiguous(memory_format=torch.channels_last))
        parts = losses(drawn.float(), truth)
        total = parts["pixel"] + self.settings.gradient * parts["gradient"]
        self.optimiser.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 0.1)
        self.optimiser.step()
        self.step += 1
        keep = min(0.999, self.step / (self.step + 20))
        with torch.no_grad():
            for name, value in self.network.state_dict().items():
                self.average[name].lerp_(value, 1 - keep)
        return {name: float(value.detach()) for name, value in parts.items()}

    def initialise(self, weights: dict[str, Tensor]) -> None:
        """Starts from the weights of another run. Raises ValueError if they are of another network."""
        try:
            self.network.load_state_dict({k: v.float() for k, v in weights.items()})
        except RuntimeError as error:
            raise ValueError(
                f"--init holds weights of another network: {str(error).splitlines()[-1].strip()}"
            ) from error
        self.average = {k: v.detach().clone() for k, v in self.network.state_dict().items()}

    def save(self, path: Path) -> None:
        """Writes the checkpoint."""
        state = {
            "network": self.network.state_dict(), "average": self.average, "optimiser": self.optimiser.state_dict(),
            "generator": self.generator.get_state(), "step": self.step, "seconds": self.seconds,
        }  # fmt: skip
        write_checkpoint(path, state)

    def load(self, path: Path) -> None:
        """Goes on from a checkpoint of `save`."""
        state = torch.load(path, map_location="cpu", weights_only=True)
        self.network.load_state_dict(state["network"])
        self.average = {k: v.to(self.device) for k, v in state["average"].items()}
        self.optimiser.load_state_dict(state["optimiser"])
        self.generator.set_state(state["generator"])
        self.step, self.seconds = state["step"], state["seconds"]

    def averaged(self) -> RRDBNet:
        """The network with the moving-average weights, on the CPU."""
        network = RRDBNet(BLOCKS, CHANNELS, GROWTH).eval()
        network.load_state_dict({k: v.cpu() for k, v in self.average.items()})
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return network

    def export(self, path: Path) -> None:
        """Writes the moving-average weights as fp16 safetensors."""
        write_weights(path, self.average)


def losses(drawn: Tensor, truth: Tensor) -> dict[str, Tensor]:
    """Charbonnier of the pixels and mean absolute difference of horizontal and vertical gradients."""
    error = drawn - truth
    across, down = error.diff(dim=3).abs().mean(), error.diff(dim=2).abs().mean()
    return {"pixel": (error.square() + _EPSILON**2).sqrt().mean() - _EPSILON, "gradient": across + down}


def train(
    trainer: Trainer, pairs: dict[int, Pairs], dev: dict[int, Pairs], run: Path, dev_minutes: float
) -> Iterator[dict[str, float]]:
    """Trains to the end; yields a line for the log every minute."""
    began, steps = time.monotonic(), trainer.settings.steps
    average: dict[str, float] = {}
    last_save = last_dev = offset = trainer.seconds
    first_step = trainer.step
    while trainer.step < steps:
        for name, value in trainer.advance(pairs).items():
            average[name] = 0.98 * average.get(name, value) + 0.02 * value
        trainer.seconds = offset + time.monotonic() - began
        done = trainer.step >= steps
        if done or trainer.seconds - last_save >= CHECKPOINT_SECONDS:
            last_save = trainer.seconds
            trainer.save(run / "checkpoint.pt")
            speed = (trainer.step - first_step) * trainer.settings.batch / (trainer.seconds - offset)
            line = {"step": trainer.step, "minutes": trainer.seconds / 60, "samples_per_s": speed, **average}
            if done or trainer.seconds - last_dev >= dev_minutes * 60:
                last_dev = trainer.seconds
                scores, sheet = evaluate(trainer.averaged(), dev, everything=done)
                line |= scores
                cv2.imwrite(str(run / f"sheet_{trainer.step:06d}.png"), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))
                trainer.export(run / "weights.safetensors")
            yield line
    trainer.export(run / "weights.safetensors")


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m weights.training.upscaler", description=__doc__)
    parser.add_argument("--cache", type=Path, required=True, metavar="FILE.npz", help="pairs that --prepare wrote")
    parser.add_argument("--prepare", action="store_true", help="write the cache from --clips and --dev, and stop")
    parser.add_argument("--clips", type=Path, nargs="+", default=[], metavar="FOLDER", help="folders of training clips")
    parser.add_argument("--dev", type=Path, nargs="+", default=[], metavar="FOLDER", help="clips of other people")
    parser.add_argument("--run", type=Path, metavar="FOLDER", help="for checkpoint, log, sheets and weights")
    parser.add_argument("--init", type=Path, metavar="FILE", help="safetensors to start from: weights of another run")
    parser.add_argument("--steps", type=int, default=10000, help="length; the rate falls over it (default: 10000)")
    parser.add_argument("--batch", type=int, default=8, help="patches a step (default: 8)")
    parser.add_argument("--patch", type=int, default=32, help="side of the small patches in px (default: 32)")
    parser.add_argument("--rate", type=float, default=1.2e-3, help="learning rate at its height (default: 1.2e-3)")
    parser.add_argument("--gradient", type=float, default=0.5, help="weight of the gradient loss (default: 0.5)")
    parser.add_argument("--dev-minutes", type=float, default=5, help="minutes between dev metrics")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--compile", action="store_true", help="compile the network first: minutes, then faster")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args = parser.parse_args(arguments)
    if args.prepare and not (args.clips and args.dev):
        parser.error("--prepare needs --clips FOLDER and --dev FOLDER")
    if not args.prepare and args.run is None:
        parser.error("give --run FOLDER to train, or --prepare to write the cache")
    return args


def run_training(args: argparse.Namespace) -> None:
    """Trains or goes on training, as the command line says. Raises ValueError for a cache that cannot be used."""
    device = torch.device(args.device)
    pairs = {side: p.to(device) for side, p in load(args.cache, dev=False).items()}
    dev = load(args.cache, dev=True)
    args.run.mkdir(parents=True, exist_ok=True)
    settings = Settings(args.steps, args.batch, args.rate, args.patch, args.gradient, args.seed)
    trainer = Trainer(settings, device, args.compile)
    if (args.run / "checkpoint.pt").exists():
        trainer.load(args.run / "checkpoint.pt")
        print(f"going on at step {trainer.step}", flush=True)
    elif args.init is not None:
        trainer.initialise(load_file(args.init))
    counts = ", ".join(f"{len(p.low)} to {side} px" for side, p in pairs.items())
    print(f"pairs: {counts}; on {device}{', bf16' if trainer.half else ''}", flush=True)
    with (args.run / "log.jsonl").open("a") as log:
        for line in train(trainer, pairs, dev, args.run, args.dev_minutes):
            rounded = {k: round(v, 4) for k, v in line.items()}
            print(json.dumps(rounded), file=log, flush=True)
            print(" ".join(f"{k} {v}" for k, v in rounded.items()), flush=True)


@ended_by_signals("weights.training.upscaler", "interrupted; the same command goes on")
def main(arguments: list[str] | None = None) -> int:
    """0, or 1 with a sentence on stderr."""
    args = parse(arguments)
    try:
        if args.prepare:
            make_pairs(args.clips, args.dev, args.cache, args.seed)
        else:
            run_training(args)
    except (ValueError, OSError) as error:
        print(f"python -m weights.training.upscaler: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
