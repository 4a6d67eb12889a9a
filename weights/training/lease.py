"""Training on a GPU that is lent for minutes: `python -m weights.training.lease --help`, and weights/README.md.

Everything by the wall clock: the motion network, then the compact generator through its stages, then the standard one
on the same motion network. Every minute the best weights go to OUT, in pieces small enough to be sent, with a log and a
sheet; the state stays in a folder of this machine. `--resume` goes on from that state, or, on another machine, from the
weights in OUT of the call before. Signals save and end it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import torch
from safetensors import SafetensorError
from torch import Tensor

from shared.models.engine import EngineError
from weights.training import gpu_check
from weights.training.evaluate import evaluate
from weights.training.lease_plan import PLAN, Leg, parsed, scaled, stage_of
from weights.training.lease_state import Progress, Published, score
from weights.training.pack_format import PATTERN
from weights.training.packed_clips import packed_clips
from weights.training.stopping import Stop, sole_trainer
from weights.training.train import initial
from weights.training.trainer import Trainer
from weights.training.unpack import unpack

Clock = Callable[[], float]
_BEGAN = time.monotonic()
"""Of the process: starting Python counts, too."""
_FIGURES_EVERY = 100
"""Steps from one look at the losses to the next: each look waits for the GPU."""
_SAVING_SECONDS = 8.0
"""Kept for the last save."""
_REHEARSED = 1.75
"""On a CPU the plan is made to last so many times one call's minutes: two calls see all of it."""


class Lease:
    """One call."""

    def __init__(self, args: argparse.Namespace, stop: Stop, began: float, clock: Clock) -> None:
        self._args, self._stop, self._device = args, stop, torch.device(args.device)
        self._began, self._clock = began, clock
        self._published = Published(args.out)
        total = args.total or (args.minutes * _REHEARSED if args.device == "cpu" else sum(x.minutes for x in PLAN))
        self._legs = scaled(parsed(args.plan), total)
        self._ends = began + 60 * args.minutes - min(_SAVING_SECONDS, 6 * args.minutes)

    def run(self) -> None:
        """Trains as long as it may."""
        args = self._args
        layout = unpack(sorted(args.data.glob(PATTERN)), args.state / "data", args.jobs)
        self._clips = packed_clips(args.state / "data", layout).to(self._device)
        self._dev = packed_clips(args.state / "data", layout, "dev") if "dev" in layout else None
        self._perceptual = args.state / "data" / layout["perceptual"] if "perceptual" in layout else None
        self._progress = Progress.load(args.state, args.resume)
        if not self._progress.weights:
            self._progress.weights["compact"] = initial(args.init) if args.init else {}
        self._published.begin(self._progress, args.resume)
        self._say({"frames": len(self._clips.frames), "ready_s": round(self._clock() - self._began, 1)})
        for leg in self._legs:
            if not self._over():
                self._train(leg)
        self._published.end(self._progress)

    def check(self) -> None:
        """Speeds and parity, after the training."""
        pictures = None
        if self._dev is not None:
            pictures = [self._dev.frames[i].numpy().copy() for i in range(min(8, len(self._dev.frames)))]
        figures = gpu_check.run(self._args.out, self._args.device, pictures)
        self._published.text("gpu_check.json", json.dumps(figures, indent=1))

    def _over(self) -> bool:
        return self._stop.requested or self._clock() >= self._ends

    def _train(self, leg: Leg) -> None:
        """A leg from where it is to its end, or to that of the call."""
        args, progress = self._args, self._progress
        stage = stage_of(leg, args.batch, self._device.type == "cuda")
        if progress.seconds.get(leg.name, 0.0) >= 60 * leg.minutes:
            return
        trainer = Trainer(stage, args.seed, self._device, args.compile, leg.generator, perceptual=self._perceptual)
        fresh = progress.begin(leg, trainer)
        self._say({"leg": leg.name, "batch": stage.batch, "rate": stage.rate, "at_random": fresh})
        began, offset, first = self._clock(), trainer.seconds, trainer.step
        looked, parts = began, dict[str, Tensor]()
        while True:
            parts = trainer.step_on(self._clips)
            now = self._clock()
            trainer.seconds = offset + now - began  # looking counts, too: a leg has its time by the wall clock
            done = trainer.seconds >= 60 * leg.minutes or self._over()
            if (trainer.step - first) % _FIGURES_EVERY == 0:
                self._say({"leg": leg.name, "step": trainer.step, **_floats(parts)}, quiet=True)
            if not done and now - looked < args.every:
                continue
            looked = self._clock()
            speed = (trainer.step - first) * stage.batch / max(trainer.seconds - offset, 1e-6)
            self._say({
                "leg": leg.name, "step": trainer.step, "minute": round((now - self._began) / 60, 2),
                "leg_minutes": round(trainer.seconds / 60, 2), "samples_per_s": round(speed, 1),
                **_fullness(self._device), **_floats(parts),
            })  # fmt: skip
            self._look(leg, trainer)
            if done:
                return

    def _look(self, leg: Leg, trainer: Trainer) -> None:
        """Saves, measures, publishes."""
        self._progress.save(leg, trainer)
        average, quality = {k: v.cpu() for k, v in trainer.average.items()}, None
        if self._dev is not None and not self._stop.requested:
            figures, sheet = evaluate(
                average, self._dev, trainer.stage.size, trainer.stage.drawing, leg.generator, self._device
            )
            quality = score(figures, trainer.stage.drawing)
            self._say({"leg": leg.name, **{f"dev_{k}": round(v, 4) for k, v in figures.items()}})
            self._published.sheet(cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))
        if self._progress.improved(leg, average, quality):
            self._published.weights(leg.generator, average, f"{leg.name}, step {trainer.step}")
        self._published.progress(self._progress)

    def _say(self, line: dict[str, Any], quiet: bool = False) -> None:
        self._published.log(line)
        if not quiet:
            print(*(f"{key} {value}" for key, value in line.items()), flush=True)


def _floats(parts: dict[str, Tensor]) -> dict[str, float]:
    """All at once: each copy from a GPU waits for it."""
    values = torch.stack([value.float() for value in parts.values()]).tolist() if parts else []
    return {name: round(value, 4) for name, value in zip(parts, values, strict=True)}


def _fullness(device: torch.device) -> dict[str, Any]:
    """How full the GPU is; nothing on a CPU."""
    if device.type != "cuda":
        return {}
    out: dict[str, Any] = {"memory_gib": round(torch.cuda.max_memory_allocated() / (1 << 30), 1)}
    ask = ["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits"]
    try:
        asked = subprocess.run(ask, capture_output=True, text=True, timeout=3, check=True)
        out["utilisation"] = int(asked.stdout.split()[0])
    except (OSError, ValueError, IndexError, subprocess.SubprocessError):
        pass  # a figure less, and training goes on
    return out


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    plan = ",".join(f"{leg.name}={leg.minutes:g}" for leg in PLAN)
    parser = argparse.ArgumentParser(prog="python -m weights.training.lease", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument(
        "--minutes", type=float, required=True, help="of this call, from its start; the check comes after"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="at most 8 files to be sent back")
    parser.add_argument("--resume", type=Path, metavar="FOLDER", help="OUT of the call before, or what it sent back")
    parser.add_argument("--data", type=Path, default=Path("runs/packs"), metavar="FOLDER",
                        help=f"packed data, {PATTERN} (default: runs/packs)")  # fmt: skip
    parser.add_argument("--state", type=Path, default=Path("runs/lease"), metavar="FOLDER",
                        help="what stays on this machine (default: runs/lease)")  # fmt: skip
    parser.add_argument("--plan", metavar="[GENERATOR:]STAGE=MINUTES,...", help=f"default: {plan}")
    parser.add_argument(
        "--total", type=float, metavar="MINUTES", help="length of the plan over all calls (default: its own)"
    )
    parser.add_argument("--init", default="embedded", metavar="FILE|embedded", help="weights to begin with")
    parser.add_argument("--batch", type=int, help="pairs a step, instead of the table's")
    parser.add_argument("--every", type=float, default=60, metavar="SECONDS", help="between two saves (default: 60)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--compile", action="store_true", help="compile the losses first: minutes, then faster")
    parser.add_argument("--no-check", action="store_true", help="leave out the GPU check at the end")
    parser.add_argument("--jobs", type=int, help="processes that unpack (default: one a core)")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    return parser


def main(given: list[str] | None = None, clock: Clock = time.monotonic, began: float = _BEGAN) -> int:
    """0, also when a signal ended it; 1 with a sentence on stderr. clock: seconds, as `began` is."""
    args = arguments().parse_args(given)
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.benchmark = True
    try:
        with sole_trainer(args.state), Stop().listening() as stop:
            lease = Lease(args, stop, began, clock)
            lease.run()
            if not args.no_check and not stop.requested:
                lease.check()
    except (ValueError, OSError, SafetensorError, EngineError) as error:
        print(f"python -m weights.training.lease: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped at once; what was saved last is at most a minute old", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
