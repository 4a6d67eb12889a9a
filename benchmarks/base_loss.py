"""python -m benchmarks.base_loss: what a base layer costs, and how often one is there although bundles are lost."""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from heapq import heappop, heappush
from pathlib import Path
from statistics import mean

if not __package__:  # run as a script: Python then looks for modules in this folder, not beside it
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from benchmarks.accounting import kbps
from benchmarks.clip import read_clip
from benchmarks.command import command
from benchmarks.line import Conditions, Line
from benchmarks.metrics import Picture
from receiver.base_track import BaseTrack
from sender.capture import SourceError
from shared.call.report import report_path, write_report
from shared.codec.base_key import BaseKey
from shared.codec.base_section import BasePacket, pack_base
from shared.codec.base_video import MAX_CRF, SIZES, BaseDecoder, BaseEncoder, CodedBase
from shared.codec.bundle import Bundle

ABOUT = """\
Codes the base layer of clips, puts it into bundles, loses some, repairs them after a while, and asks the receiving side
at the moment each frame is drawn whether there is a base no older than 0.5 s. The packets of the bundle before are
repeated: not at all, those that others depend on, or all.
"""
EXAMPLES = """\
example:
  python -m benchmarks.base_loss --clips dev/d001_a.mp4 dev/d002_a.mp4 --loss 0.1 --json loss.json
"""
REPAIR, ROUND_TRIP, DELAY = 0.6, 0.1, 0.45
"""Seconds until a lost bundle is sent again, at first; there and back; and from capture to display."""
FRAMES = 5
"""In a bundle."""
REPEATS = ("none", "references", "all")


@dataclass(frozen=True)
class Row:
    """One clip with one way to repeat."""

    clip: str
    repeat: str
    loss: float
    section_kbps: float
    """Of the base sections."""
    with_base: float
    """Share of all frames, in time or not, that have a base no older than 0.5 s when they are due."""
    age_ms: float
    """Mean, where there is one."""


@dataclass(frozen=True)
class Layer:
    """The coded base of a clip. Frames of other rates are taken for ones of 25 a second."""

    coded: tuple[CodedBase, ...]
    size: int
    crf: int
    step: int
    encode_ms: float

    def packets(self) -> list[BasePacket]:
        """What follows the key, by frame."""
        found, sequence = [], 0
        for number, each in enumerate(self.coded[1:], 1):
            found.append(BasePacket(0, sequence % 128, each.droppable, number * self.step, each.data))
            sequence += not each.droppable
        return found


def code(pictures: Sequence[Picture], size: int, crf: int, step: int) -> Layer:
    """The base layer of (size, size, 3) pictures, every `step`th."""
    encoder, began = BaseEncoder(size, crf), time.perf_counter()
    coded = [encoder.encode(picture) for picture in pictures[::step]]
    took = time.perf_counter() - began
    kept = tuple(each for each in coded if each is not None)
    if len(kept) < len(coded) or sum(each.key for each in kept) > 1:
        raise SourceError("a picture of the base layer needed more bytes than may be sent: take a higher --crf")
    return Layer(kept, size, crf, step, 1000 * took / len(kept))


def decode_ms(layer: Layer) -> float:
    """Milliseconds that a picture takes to decode."""
    decoder, began = BaseDecoder(layer.size), time.perf_counter()
    for each in layer.coded:
        decoder.decode_key(each.data) if each.key else decoder.decode(each.data)
    return 1000 * (time.perf_counter() - began) / len(layer.coded)


def bundles(layer: Layer, repeat: str) -> list[tuple[BasePacket, ...]]:
    """Base packets of each bundle, their frames counted from its first."""
    packets, found = layer.packets(), []
    for first in range(0, len(layer.coded) * layer.step, FRAMES):
        earliest = first if repeat == "none" else first - FRAMES
        chosen = [
            each for each in packets
            if earliest <= each.frame < first + FRAMES and (
                each.frame >= first or repeat == "all" or not each.droppable)
        ]  # fmt: skip
        found.append(tuple(BasePacket(0, p.sequence, p.droppable, p.frame - first, p.data) for p in chosen))
    return found


def play(name: str, layer: Layer, repeat: str, loss: float, seed: int) -> Row:
    """One call, its key held before it begins."""
    made, track, ages = bundles(layer, repeat), BaseTrack(), list[float]()
    line: Line[int] = Line(Conditions(delay=ROUND_TRIP / 2, loss=loss), random.Random(seed))
    unsent = [((number * FRAMES + FRAMES - 1) / 25, number, REPAIR) for number in range(len(made))]
    """When each bundle goes next, and how long after that it goes again if it is lost."""
    track.add_bundle(Bundle(0, 0, 0, 40.0, (None,), (), ()), 0, 0.0, -1.0)
    track.add_key(BaseKey(0, 0, layer.size, layer.crf, 0, 0, layer.coded[0].data), -1.0)
    frames = len(layer.coded) * layer.step
    for frame in range(frames):
        now = frame / 25 + DELAY
        while unsent and unsent[0][0] <= now:
            at, number, wait = heappop(unsent)
            if not line.offer(number, 0, at):
                noticed = ROUND_TRIP if wait == REPAIR else 0.0
                heappush(unsent, (at + noticed + wait, number, 2 * wait))
        for number in line.take(now):
            first = number * FRAMES
            clock = round(40 * first) % (1 << 20)
            bundle = Bundle(first & 0xFFFF, clock, 0, 40.0, (None,) * FRAMES, (), made[number])
            track.add_bundle(bundle, first, first / 25, now)
        newest = track.at(frame, frame / 25, 0)
        if newest is not None:
            ages.append(frame / 25 - newest.clock)
    size = sum(len(pack_base(base)) for base in made if base)
    return Row(name, repeat, loss, kbps(size, frames / 25), len(ages) / frames, 1000 * mean(ages or [0.0]))


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.base_loss", description=ABOUT, epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--clips", nargs="+", default=["sample"], metavar="FILE", help="their centre squares")
    parser.add_argument("--size", type=int, default=128, choices=SIZES, help="side in pixels (default: 128)")
    parser.add_argument("--crf", type=int, default=63, choices=range(1, MAX_CRF + 1), metavar="N", help="default: 63")
    parser.add_argument("--step", type=int, default=2, choices=range(1, 9), metavar="N",
                        help="frames from one base frame to the next (default: 2)")  # fmt: skip
    parser.add_argument("--loss", type=float, nargs="+", default=[0.1], metavar="P", help="of bundles (default: 0.1)")
    parser.add_argument("--calls", type=int, default=10, metavar="N", help="with other losses (default: 10)")
    parser.add_argument("--json", type=report_path, metavar="FILE", help="write all figures")
    args = parser.parse_args(arguments)
    if not all(0 <= each < 1 for each in args.loss) or args.calls < 1:
        parser.error("--loss is 0 to below 1, --calls at least 1")
    return args


@command("base_loss", SourceError, OSError)
def main(arguments: Sequence[str] | None = None) -> None:
    """Codes, loses and counts."""
    args = parse(arguments)
    rows: list[Row] = []
    for path in args.clips:
        clip = read_clip(path, None, args.size)
        layer = code(clip.pictures, args.size, args.crf, args.step)
        sizes = {kind: [len(e.data) for e in layer.coded[1:] if e.droppable is kind] for kind in (False, True)}
        every = mean(sizes[False] + sizes[True])
        print(f"{clip.name}: key {len(layer.coded[0].data)} bytes, then {every:.1f} a picture "
              f"(references {mean(sizes[False]):.1f}, droppable {mean(sizes[True]):.1f}); "
              f"{layer.encode_ms:.2f} ms to encode, {decode_ms(layer):.2f} to decode")  # fmt: skip
        for loss in args.loss:
            for repeat in REPEATS:
                rows += [play(clip.name, layer, repeat, loss, seed) for seed in range(args.calls)]
    print(f"{'loss':>5} {'repeated':<11} {'kbit/s':>7} {'with a base':>12} {'age':>7}")
    for loss in args.loss:
        for repeat in REPEATS:
            same = [row for row in rows if (row.loss, row.repeat) == (loss, repeat)]
            print(f"{loss:>5.0%} {repeat:<11} {mean(r.section_kbps for r in same):>7.2f} "
                  f"{mean(r.with_base for r in same):>12.1%} {mean(r.age_ms for r in same):>4.0f} ms")  # fmt: skip
    if args.json is not None:
        write_report(args.json, {"rows": [asdict(row) for row in rows]})


if __name__ == "__main__":
    sys.exit(main())
