"""Weights as files small enough to be sent: `python -m weights.training.pieces FOLDER --out weights.safetensors`.

Each piece is a safetensors file with some of the tensors, so that joining is reading all. A piece that is written never
replaces a good one half way; pieces of two different minutes fit together, though not perfectly.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from shared.signals import ended_by_signals

LARGEST = 15 << 20
"""Bytes of a piece at most."""
_HEADER = 200
"""Bytes a tensor of the file's header, at most."""


def write_pieces(
    folder: Path, name: str, weights: Mapping[str, Tensor], when: str, largest: int = LARGEST
) -> list[Path]:
    """Writes weights as fp16 pieces NAME-1.safetensors and so on; pieces of that name beyond them are removed."""
    parts, room = list[dict[str, Tensor]](), 0
    for key, value in sorted(weights.items()):
        half = value.detach().half().contiguous().cpu()
        size = half.nbytes + _HEADER
        if not parts or size > room:
            parts.append({})
            room = largest - _HEADER
        parts[-1][key] = half
        room -= size
    paths = []
    for number, part in enumerate(parts, 1):
        paths.append(folder / f"{name}-{number}.safetensors")
        temporary = folder / f".{name}.part"
        save_file(part, temporary, {"when": when})
        temporary.replace(paths[-1])
    for old in set(folder.glob(f"{name}-*.safetensors")) - set(paths):
        old.unlink()
    return paths


def read_pieces(folder: Path, name: str) -> dict[str, Tensor]:
    """The weights of all pieces of a name; empty if there are none. Raises ValueError if one is damaged."""
    weights: dict[str, Tensor] = {}
    for path in sorted(folder.glob(f"{name}-*.safetensors")):
        try:
            weights |= load_file(path)
        except (SafetensorError, OSError) as error:
            raise ValueError(f"{path.name} is damaged ({error}): fetch it again, or take an earlier one") from error
    return weights


def ages(folder: Path, name: str) -> set[str]:
    """When each piece was written: more than one if the run was cut off while it wrote them."""
    found = set()
    for path in folder.glob(f"{name}-*.safetensors"):
        with safe_open(path, "pt") as file:
            found.add((file.metadata() or {}).get("when", "unknown"))
    return found


@ended_by_signals("weights.training.pieces")
def main(given: list[str] | None = None) -> int:
    """0, or 1 with a sentence on stderr."""
    parser = argparse.ArgumentParser(prog="python -m weights.training.pieces", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("folder", type=Path, help="what the lease wrote")
    parser.add_argument("--name", default="compact", help="compact or standard (default: compact)")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="safetensors to write, for the export")
    args = parser.parse_args(given)
    try:
        weights = read_pieces(args.folder, args.name)
        if not weights:
            raise ValueError(f"there are no pieces {args.name}-*.safetensors in {args.folder}")
        if len(ages(args.folder, args.name)) > 1:
            print("the pieces are of different minutes: the run was cut off as it wrote them", file=sys.stderr)
        save_file(weights, args.out)
    except (ValueError, OSError) as error:
        print(f"python -m weights.training.pieces: {error}", file=sys.stderr)
        return 1
    print(f"{args.out}: {len(weights)} tensors")
    return 0


if __name__ == "__main__":
    sys.exit(main())
