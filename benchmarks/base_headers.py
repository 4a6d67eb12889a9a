"""python -m benchmarks.base_headers: counts what base packets begin with, for `shared.codec.av1_headers`."""

from __future__ import annotations

import argparse
import sys
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import product
from pathlib import Path

if not __package__:  # run as a script: Python then looks for modules in this folder, not beside it
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import cv2
import numpy as np

from benchmarks.base_loss import code
from benchmarks.clip import read_clip
from benchmarks.command import command
from sender.capture import SourceError
from shared.codec.av1_headers import PHASES, known_apart, pack_tables, phase
from shared.codec.base_video import SIZES

QUANTISERS, STEPS = (50, 55, 60, 63, 66, 70), (1, 2, 3, 4)
EVERY = 11
"""Of the points for each clip, other ones each time."""
SECONDS = 8.0


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    about = "Codes clips at many points and writes the tables of what packets begin with: another wire format."
    parser = argparse.ArgumentParser(prog="python -m benchmarks.base_headers", description=about)
    parser.add_argument("clips", nargs="+", metavar="FILE", help="their centre squares")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="shared/codec/base_headers.bin")
    return parser.parse_args(arguments)


@command("base_headers", SourceError, OSError)
def main(arguments: Sequence[str] | None = None) -> None:
    """Codes, counts and writes."""
    args = parse(arguments)
    counts: defaultdict[tuple[int, int], Counter[int]] = defaultdict(Counter)
    points = list(product(SIZES, QUANTISERS, STEPS))
    for number, path in enumerate(args.clips):
        large = read_clip(path, SECONDS, max(SIZES)).pictures
        for size, crf, step in points[number % EVERY :: EVERY]:
            smaller = [np.asarray(cv2.resize(p, (size, size), interpolation=cv2.INTER_AREA), np.uint8) for p in large]
            try:
                layer = code(smaller, size, crf, step)
            except SourceError:  # a cut, of more bytes than a packet may have
                continue
            for packet in layer.packets():
                place = phase(packet.sequence, packet.droppable)
                for at, value in enumerate(known_apart(packet.data, place)):
                    counts[place % PHASES, at][value] += 1
    args.out.write_bytes(pack_tables({place: dict(seen) for place, seen in counts.items()}))


if __name__ == "__main__":
    sys.exit(main())
