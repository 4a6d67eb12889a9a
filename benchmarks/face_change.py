"""python -m benchmarks.face_change: how surely another face in a call is noticed. See --help."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.command import command
from benchmarks.quality import find_clips
from receiver.upscale import Upscaler, load_upscaler
from sender.capture import SourceError
from shared.call.report import report_path, write_report
from shared.codec.picture import DEFAULT_QUALITY, decode_picture, encode_picture
from shared.models.appearance import THRESHOLD, Appearances, load_appearances, nearest
from shared.models.engine import NATIVE_SIZE, EngineError, Picture
from shared.motion import FloatArray
from shared.progress import Bar
from weights.training.appearance import coarse, frames, lit, shifted

ABOUT = """\
Takes sources from clips that show one person each, as a receiver has them, and lets them come into calls: after the
earlier ones of their own clip, which must raise no alarm, and after those of another, which must.

usual   256 px at the usual quality          small   128 px at quality 50, enlarged as a receiver does
crop    up to 20 % larger, 8 % beside        light   brighter, darker, tinted, from one side

`alarms_after_one` has but one earlier source to compare with, any of the clip; `alarms` all earlier ones. `noticed` is
the share of another person's sources that raise the alarm after all of a clip, `noticed_by_person` of pairs of people
the share where more than half of the sources do. The threshold proposed lets through 99.5 % of the own sources of every
condition after all earlier ones, and 99 % after one.
"""
CONDITIONS = ("usual", "small", "crop", "light")
SMALL_SIZE, SMALL_QUALITY = 128, 50
_GRANTED, _GRANTED_AFTER_ONE = 0.995, 0.99

Distances = NDArray[np.float32]
Known = dict[str, dict[str, list[FloatArray]]]
"""Appearances by clip and condition."""


def as_received(rgb: Picture, condition: str, upscaler: Upscaler, chance: np.random.Generator) -> Picture:
    """A frame as a source that has come in."""
    if condition == "small":
        small = np.asarray(cv2.resize(rgb, (SMALL_SIZE,) * 2, interpolation=cv2.INTER_AREA), np.uint8)
        codec, data = encode_picture(small, SMALL_QUALITY)
        return upscaler.upscale(decode_picture(codec, data, SMALL_SIZE, SMALL_SIZE), NATIVE_SIZE)
    changed = shifted(rgb, chance) if condition == "crop" else lit(rgb, chance) if condition == "light" else rgb
    return coarse(changed, NATIVE_SIZE, DEFAULT_QUALITY)


def read(clips: Sequence[Path], every: int, appearances: Appearances, upscaler: Upscaler) -> Known:
    """What the clips' sources look like. Raises SourceError."""
    chance, known = np.random.default_rng(1), Known()
    for path in Bar(iterable=clips, desc="reading sources", unit="clip"):
        found: dict[str, list[FloatArray]] = {each: [] for each in CONDITIONS}
        for rgb in frames(path, every):
            for condition in CONDITIONS:
                found[condition].append(appearances(as_received(rgb, condition, upscaler, chance)))
        known[path.stem] = found
    return known


def own_distances(known: Known, condition: str) -> tuple[Distances, Distances]:
    """Of every source from the nearest earlier one of its clip, and from each other one."""
    after_all, after_one = [], []
    for found in known.values():
        before, comes = found["usual"], found[condition]
        after_all += [nearest(comes[i], before[:i]) for i in range(1, len(comes))]
        after_one += [nearest(comes[i], [before[j]]) for i in range(len(comes)) for j in range(len(before)) if i != j]
    return np.array(after_all, np.float32), np.array(after_one, np.float32)


def others_distances(known: Known, condition: str) -> list[Distances]:
    """Of every source from the nearest of another clip; an array for each pair of clips."""
    return [
        np.array([nearest(each, found["usual"]) for each in other[condition]], np.float32)
        for name, found in known.items()
        for other_name, other in known.items()
        if name != other_name
    ]


def figures(known: Known, threshold: float) -> dict[str, Any]:
    """Shares of sources, by condition, and the threshold proposed."""
    rows: dict[str, Any] = {}
    proposed = 0.0
    for condition in CONDITIONS:
        after_all, after_one = own_distances(known, condition)
        others = others_distances(known, condition)
        rows[condition] = {
            "own_sources": len(after_all),
            "alarms": round(float(np.mean(after_all >= threshold)), 5),
            "alarms_after_one": round(float(np.mean(after_one >= threshold)), 5),
            "others_sources": sum(map(len, others)),
            "noticed": round(float(np.mean(np.concatenate(others) >= threshold)), 4),
            "noticed_by_person": round(float(np.mean([np.mean(each >= threshold) > 0.5 for each in others])), 4),
        }
        granted = (np.quantile(after_all, _GRANTED), np.quantile(after_one, _GRANTED_AFTER_ONE))
        proposed = max(proposed, float(max(granted)))
    return {"threshold": threshold, "proposed": round(proposed, 3), "people": len(known), "conditions": rows}


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.face_change", description=ABOUT, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clips", type=Path, required=True, metavar="FOLDER",
                        help="square clips as .mp4, a person each; raw_* and *_512 are skipped")  # fmt: skip
    parser.add_argument("--every", type=int, default=12, metavar="N", help="take every Nth frame (default: 12)")
    parser.add_argument("--threshold", type=float, default=THRESHOLD, metavar="D",
                        help=f"distance that makes a face another (default: the receiver's, {THRESHOLD})")  # fmt: skip
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N clips")
    parser.add_argument("--json", type=report_path, metavar="FILE", help="write all figures")
    args = parser.parse_args(arguments)
    if args.every < 1 or (args.limit is not None and args.limit < 2):
        parser.error("--every is at least 1, --limit at least 2: alarms need two people")
    return args


@command("face_change", EngineError, SourceError, ValueError, OSError)
def main() -> None:
    """Runs the benchmark."""
    args = parse()
    clips = find_clips(args.clips, NATIVE_SIZE, args.limit)
    if len(clips) < 2:
        raise ValueError(f"'{args.clips}' holds one clip of {NATIVE_SIZE} px: alarms need two people")
    result = figures(read(clips, args.every, load_appearances(), load_upscaler("compact")), args.threshold)
    print(f"threshold {result['threshold']:g} (these clips propose {result['proposed']:g}), {result['people']} people")
    for name, row in result["conditions"].items():
        own = f"alarms {row['alarms']:.2%}, after one {row['alarms_after_one']:.2%}"
        others = f"noticed {row['noticed']:.1%}, by person {row['noticed_by_person']:.1%}"
        print(f"{name:6} own sources {row['own_sources']}: {own}; another's {row['others_sources']}: {others}")
    if args.json is not None:
        write_report(args.json, result)


if __name__ == "__main__":
    sys.exit(main())
