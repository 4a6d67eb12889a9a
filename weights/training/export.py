"""Puts trained weights in their place: `python -m weights.training.export RUN/fused.safetensors`, then the codec.

Splits the networks into motion (what the wire depends on) and generator (the receiver's own choice), as fp16. Of a
larger generator only the generator is written: it was trained on the motion network that is there.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from safetensors.torch import load_file, save_file

from shared.models.engine import generator_of

_FOLDER = Path(__file__).parent.parent


def export(trained: Path, folder: Path) -> None:
    """Writes `compact_motion.safetensors` and `compact_generator.safetensors`, or a `standard_` one, into `folder`."""
    half = {k: v.half().contiguous() for k, v in load_file(trained).items() if not k.startswith("mesh.")}
    prefix = "motion."
    motion = {k.removeprefix(prefix): v for k, v in half.items() if k.startswith(prefix)}
    generator = {k: v for k, v in half.items() if not k.startswith(prefix)}
    name = generator_of(generator)
    if name == "compact":
        save_file(motion, folder / "compact_motion.safetensors")
    save_file(generator, folder / f"{name}_generator.safetensors")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m weights.training.export", description=__doc__)
    parser.add_argument("trained", type=Path, help="safetensors of a finished stage")
    export(parser.parse_args().trained, _FOLDER)


if __name__ == "__main__":
    main()
