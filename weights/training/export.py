"""Puts trained weights in their place: `python -m weights.training.export RUN/fused.safetensors`, then the codec.

Splits the networks into motion (what the wire depends on) and generator (the receiver's own choice), as fp16. Of a
larger generator only the generator is written: it was trained on the motion network that is there.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from shared.models.engine import generator_of
from shared.models.stored_weights import check_finite
from shared.signals import ended_by_signals

_FOLDER = Path(__file__).parent.parent


def export(trained: Path, folder: Path) -> None:
    """Writes `compact_motion.safetensors` and `compact_generator.safetensors`, or a `standard_` one, into `folder`.

    `trained`: what a stage ended with, or its checkpoint. Raises ValueError for numbers that are none.
    """
    half = {k: v.half().contiguous() for k, v in _weights(trained).items() if not k.startswith("mesh.")}
    check_finite(half, trained.name)
    folder.mkdir(parents=True, exist_ok=True)
    prefix = "motion."
    motion = {k.removeprefix(prefix): v for k, v in half.items() if k.startswith(prefix)}
    generator = {k: v for k, v in half.items() if not k.startswith(prefix)}
    name = generator_of(generator)
    if name == "compact":
        save_file(motion, folder / "compact_motion.safetensors")
    save_file(generator, folder / f"{name}_generator.safetensors")


def _weights(trained: Path) -> Mapping[str, Tensor]:
    if trained.suffix != ".pt":
        return load_file(trained)
    average: Mapping[str, Tensor] = torch.load(trained, map_location="cpu", weights_only=True)["average"]
    return average


@ended_by_signals("weights.training.export")
def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m weights.training.export", description=__doc__)
    parser.add_argument("trained", type=Path, help="safetensors of a finished stage, or its checkpoint (.pt)")
    parser.add_argument("--folder", type=Path, default=_FOLDER, help="where to write (default: the embedded weights)")
    args = parser.parse_args()
    export(args.trained, args.folder)


if __name__ == "__main__":
    sys.exit(main())
