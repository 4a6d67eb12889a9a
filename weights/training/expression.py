"""python -m weights.training.expression: trains the network that performs expressions. See --help."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from shared.models.engine import EngineError
from shared.models.registry import load_engine
from shared.models.stored_weights import check_finite
from weights.training.checkpoint import write_checkpoint, write_weights
from weights.training.expression_data import HELD_OUT, LABELLED, Performances, read_labels
from weights.training.expression_motions import ClipMotions, load_motions, read_motions, save_motions
from weights.training.expression_trainer import ExpressionTrainer, Losses
from weights.training.stopping import Stop, sole_trainer

ABOUT = """\
Reads the motions off clips (five minutes for 455 of them on one core, once: they are kept in the folder of --out),
makes trajectories of the labelled parts and of the facial action coding system, and trains a generator of trajectories
against a discriminator (minutes). It can be stopped and started again, and goes on where it was. Then copy
expression.safetensors from that folder to weights/, and run `python -m weights.catalogue`.
"""
STEPS, EVERY = 10_000, 500
SHOWN_TIMES, SAID = 40, 6_000
"""Examples made of each labelled part of a clip, and of the facial action coding system."""
FRAMES_BETWEEN = 5
"""Of clips that nothing is labelled in, every so many frames are read."""


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m weights.training.expression", description=ABOUT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--clips", type=Path, nargs="+", required=True, metavar="FOLDER",
                        help="of square clips with face-mesh landmarks (NAME.mp4, NAME.npz, clips.csv)")  # fmt: skip
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="of checkpoint, motions and weights")
    parser.add_argument("--labels", type=Path, default=LABELLED, metavar="FILE.csv",
                        help=f"which part of which clip shows what (default: {LABELLED.name})")  # fmt: skip
    parser.add_argument("--without", nargs="*", default=HELD_OUT, metavar="PERSON",
                        help=f"people kept for measuring (default: {' '.join(HELD_OUT)})")  # fmt: skip
    parser.add_argument("--steps", type=int, default=STEPS, metavar="N", help=f"of both networks (default: {STEPS})")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args(arguments)


def motions_of(folder: Path, clips: Sequence[Path], labels: Path) -> dict[str, ClipMotions]:
    """The motions of all clips, read once. Raises ValueError or EngineError."""
    kept = folder / "motions.npz"
    if not kept.exists():
        whole = {row.file for row in read_labels(labels)}
        read = read_motions(clips, whole, FRAMES_BETWEEN, load_engine("compact", "cpu", draws=False))
        save_motions(kept.with_suffix(".part"), read)
        kept.with_suffix(".part").replace(kept)
    return load_motions(kept)


def run(args: argparse.Namespace, stop: Stop) -> None:
    """Trains to the end or to a stop. Raises ValueError, EngineError or OSError."""
    performances = Performances(motions_of(args.out, args.clips, args.labels), read_labels(args.labels), args.without)
    print("labelled parts:", ", ".join(f"{n} {label}" for label, n in performances.counts.items()), file=sys.stderr)
    chance = np.random.default_rng(args.seed)
    shown, said = performances.labelled(SHOWN_TIMES, chance), performances.by_actions(SAID, chance)
    trainer, checkpoint = ExpressionTrainer(shown, said, args.seed), args.out / "checkpoint.pt"
    if checkpoint.exists():
        trainer.restore(torch.load(checkpoint, weights_only=False))
    began, summed, count = time.monotonic(), np.zeros(len(Losses._fields)), 0
    while trainer.steps < args.steps and not stop.requested:
        summed, count = summed + trainer.step(), count + 1
        if trainer.steps % EVERY == 0 or trainer.steps == args.steps:
            means = ", ".join(f"{n} {v:.4f}" for n, v in zip(Losses._fields, summed / count, strict=True))
            print(f"{trainer.steps} steps, {time.monotonic() - began:.0f} s: {means}", file=sys.stderr, flush=True)
            summed, count = np.zeros(len(Losses._fields)), 0
            write_checkpoint(checkpoint, trainer.state())
    write_checkpoint(checkpoint, trainer.state())
    check_finite(trainer.averaged, "expression.safetensors")
    write_weights(args.out / "expression.safetensors", trainer.averaged)


def main(arguments: list[str] | None = None) -> int:
    """0, or 1 with a sentence on stderr."""
    args = parse(arguments)
    torch.set_num_threads(1)
    try:
        with sole_trainer(args.out), Stop().listening() as stop:
            run(args, stop)
    except (EngineError, ValueError, OSError) as error:
        print(f"python -m weights.training.expression: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
