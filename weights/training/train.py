"""Trains the `compact` engine from a folder of clips: `python -m weights.training.train --help`.

All stages of the recipe one after the other, or those named. It can be stopped at any time and started again with the
same command: it goes on from the last checkpoint, at most a minute old. In RUN: log.jsonl, sheet_*.png, and
STAGE.safetensors for each finished stage, then weights.safetensors.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import torch
from safetensors.torch import load_file
from torch import Tensor

from shared.models.dense_motion import GENERATORS
from weights.training.data import Clips
from weights.training.evaluate import evaluate
from weights.training.stages import RECIPE, Stage, chosen
from weights.training.stopping import Stop, sole_trainer
from weights.training.trainer import Trainer

CHECKPOINT_SECONDS = 60
_EMBEDDED = Path(__file__).parent.parent


def train(
    trainer: Trainer, clips: Clips, dev: Clips | None, run: Path, dev_minutes: float, stop: Stop | None = None
) -> Iterator[dict[str, float]]:
    """Trains to the end of the stage, or until `stop` is requested; yields a line for the log every minute."""
    name, length = trainer.stage.name, trainer.stage.minutes * 60
    checkpoint, began = run / f"{name}.pt", time.monotonic()
    average: dict[str, float] = {}
    last_save = last_dev = offset = trainer.seconds
    first_step, paused = trainer.step, 0.0
    while trainer.seconds < length:
        for key, value in trainer.advance(clips).items():
            average[key] = 0.98 * average.get(key, value) + 0.02 * value
        trainer.seconds = offset + time.monotonic() - began - paused
        stopped = stop is not None and stop.requested
        done = trainer.seconds >= length or stopped
        if not done and trainer.seconds - last_save < CHECKPOINT_SECONDS:
            continue
        last_save = trainer.seconds
        trainer.save(checkpoint)
        speed = (trainer.step - first_step) * trainer.stage.batch / (trainer.seconds - offset)
        line = {"step": trainer.step, "minutes": trainer.seconds / 60, "samples_per_s": speed, **average}
        if dev is not None and not stopped and (done or trainer.seconds - last_dev >= dev_minutes * 60):
            last_dev, before = trainer.seconds, time.monotonic()
            weights = {k: v.cpu() for k, v in trainer.average.items()}
            scores, sheet = evaluate(weights, dev, trainer.stage.size, trainer.stage.drawing, trainer.generator)
            line |= {f"dev_{k}": v for k, v in scores.items()}
            cv2.imwrite(str(run / f"sheet_{name}_{trainer.step:06d}.png"), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))
            trainer.export(run / f"{name}.part.safetensors")
            paused += time.monotonic() - before  # looking is not training
        yield line
        if stopped:
            return


class Library:
    """The clips of a run, decoded once for each picture size."""

    def __init__(self, args: argparse.Namespace) -> None:
        self._args, self._clips = args, dict[int, tuple[Clips, Clips | None]]()

    def at(self, size: int) -> tuple[Clips, Clips | None]:
        """Training clips on the device and dev clips."""
        if size not in self._clips:
            args = self._args
            self._clips.clear()
            clips = Clips.load(
                args.clips, size, args.step, args.limit, args.wire, without=args.without, bases=args.bases,
                store=args.store and args.store.with_suffix(f".{size}"),
            ).to(torch.device(args.device))  # fmt: skip
            dev = None
            if args.dev:
                dev = Clips.load(args.dev, size, 1 if args.dev_bases else 5, args.limit, bases=args.dev_bases)
            print(f"{len(clips.names)} clips, {len(clips.frames)} frames at {size} px on {args.device}", flush=True)
            self._clips[size] = clips, dev
        return self._clips[size]


def run_stage(
    args: argparse.Namespace, stage: Stage, library: Library, init: dict[str, Tensor] | None, stop: Stop
) -> dict[str, Tensor]:
    """One stage from its checkpoint or from the weights before it; the weights it ends with, or is stopped with."""
    run, device = args.run, torch.device(args.device)
    finished = run / f"{stage.name}.safetensors"
    if finished.exists():
        print(f"stage {stage.name} is finished", flush=True)
        return load_file(finished)
    trainer = Trainer(stage, args.seed, device, args.compile, args.generator, perceptual=args.perceptual)
    if (run / f"{stage.name}.pt").exists():
        trainer.load(run / f"{stage.name}.pt")
        print(f"stage {stage.name} goes on at step {trainer.step}, minute {trainer.seconds / 60:.1f}", flush=True)
    else:
        fresh = trainer.initialise(init or {})
        print(f"stage {stage.name} starts; {len(fresh)} tensors at random", flush=True)
    clips, dev = library.at(stage.size)
    with (run / "log.jsonl").open("a") as log:
        for line in train(trainer, clips, dev, run, args.dev_minutes, stop):
            rounded = {k: round(v, 4) for k, v in line.items()}
            print(json.dumps({"stage": stage.name, **rounded}), file=log, flush=True)
            print(stage.name, *(f"{k} {v}" for k, v in rounded.items()), flush=True)
    if stop.requested:
        return trainer.average
    trainer.export(finished)
    return load_file(finished)


def initial(text: str) -> dict[str, Tensor]:
    """Weights of a file, or the embedded ones. Raises OSError or SafetensorError if there are none."""
    if text != "embedded":
        return load_file(text)
    motion = load_file(_EMBEDDED / "compact_motion.safetensors")
    return {f"motion.{k}": v for k, v in motion.items()} | load_file(_EMBEDDED / "compact_generator.safetensors")


def main() -> int:
    """0, 1 with a sentence on stderr, or 130 when a signal ended it (after saving; a second one ends it at once)."""
    recipe = ", ".join(f"{s.name} ({s.size} px, {s.minutes:g} min)" for s in RECIPE)
    parser = argparse.ArgumentParser(prog="python -m weights.training.train", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--clips", type=Path, nargs="+", required=True,
                        help="folders of training clips (NAME.mp4, NAME.npz; clips.csv says who is who)")  # fmt: skip
    parser.add_argument("--without", nargs="*", default=[], metavar="COLUMN=TEXT",
                        help="leave out clips of which clips.csv says so, as upstream=Multiface")  # fmt: skip
    parser.add_argument("--dev", type=Path, help="folder of clips of other people, for the metrics in the log")
    parser.add_argument("--wire", type=Path, help="cache of coded sources, see python -m weights.training.source_cache")
    parser.add_argument("--bases", type=Path, help="folder of coded base layers, see python -m weights.training.bases")
    parser.add_argument("--dev-bases", type=Path, help="the same of the clips of --dev")
    parser.add_argument("--perceptual", type=Path, metavar="FILE",
                        help="of weights.training.perceptual: faces should look alike to it, too")  # fmt: skip
    parser.add_argument("--store", type=Path, metavar="FILE",
                        help="keep frames in this file and not in memory: 200 KB each at 256 px")  # fmt: skip
    parser.add_argument("--run", type=Path, required=True, help="folder for checkpoints, log, sheets and weights")
    parser.add_argument("--init", metavar="FILE|embedded", help="weights to start from; what does not fit is random")
    parser.add_argument("--generator", choices=tuple(GENERATORS), default="compact",
                        help="what draws: compact, or standard, ten times the compute, for receivers with a GPU; train "
                        "it with --init embedded --stages 256,sharp,fused on the frozen motion network")  # fmt: skip
    parser.add_argument("--stages", metavar="NAME[=MINUTES],...", help=f"default, all: {recipe}")
    parser.add_argument("--minutes", type=float, help="length of each stage; its learning rate falls over it")
    parser.add_argument("--batch", type=int, help="pairs a step, instead of each stage's own (for two CPU cores)")
    parser.add_argument("--step", type=int, default=3, help="use every STEP-th frame of a clip (default: 3)")
    parser.add_argument("--limit", type=int, help="use only the first LIMIT clips")
    parser.add_argument("--dev-minutes", type=float, default=5, help="minutes between dev metrics (default: 5)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--compile", action="store_true", help="compile the losses first: minutes, then faster")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args = parser.parse_args()
    torch.set_float32_matmul_precision("high")
    try:
        with sole_trainer(args.run), Stop().listening() as stop:
            weights, library = initial(args.init) if args.init else None, Library(args)
            for stage in chosen(args.stages, args.batch, args.minutes):
                weights = run_stage(args, stage, library, weights, stop)
                if stop.requested:
                    raise KeyboardInterrupt
    except (ValueError, OSError) as error:
        print(f"python -m weights.training.train: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; the same command goes on from the last checkpoint", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
