"""python -m benchmarks.facenhance: FacEnhance beside other ways from a small video to a sharp one. See --help."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.base_layer import Film, Point, coded, drawn_with, play
from benchmarks.command import command
from benchmarks.facenhance_ablation import Plan, ablation
from benchmarks.facenhance_figures import HEAD, Eye, Video, figures, row
from benchmarks.metrics import Picture
from benchmarks.quality import find_clips, policy
from benchmarks.sheet import strip, write_sheet
from benchmarks.tables import markdown
from sender.capture import SourceError
from shared.call.report import write_report
from shared.codec.picture import DEFAULT_QUALITY
from shared.models.base_fusion import BasePicture
from shared.models.engine import EngineError
from shared.models.facenhance.diffusion import SAMPLERS
from shared.models.facenhance.enhancer import Enhancer, read_network
from shared.models.facenhance.network import LOW_SIDE
from shared.models.registry import load_engine
from weights.training.source_cache import through_the_codec
from weights.training.stopping import Stop

ABOUT = """\
With --weights: on dev clips, base layer of 64 px at 12.5 Hz and the first source, at 256 px: bicubic enlargement, the
engine alone, the engine with that base layer, and FacEnhance in some numbers of steps. Every second frame counts, those
with a new base picture.

With --ablation FOLDER: trains the small network five times, with one condition changed in each (it can be stopped and
started again), and measures each at its own size.
"""
_STEP = 2


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.facenhance", description=ABOUT,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--dev", type=Path, required=True, metavar="FOLDER", help="clips of people not trained on")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--weights", type=Path, metavar="FILE", help="of python -m weights.training.facenhance")
    what.add_argument("--ablation", type=Path, metavar="FOLDER", help="for trainings; needs --clips")
    parser.add_argument("--frames", type=int, default=40, metavar="N", help="base frames of each clip (default: 40)")
    parser.add_argument("--steps", type=int, nargs="+", default=[1, 2, 4], metavar="N",
                        help="of diffusion; the ablation takes the first (default: 1 2 4)")  # fmt: skip
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N clips of each folder")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures")
    one = parser.add_argument_group("with --weights")
    one.add_argument("--crf", type=int, default=50, help="of the base layer (default: 50)")
    one.add_argument("--sampler", choices=SAMPLERS, default=SAMPLERS[0])
    one.add_argument("--sheet", type=Path, metavar="FILE.png", help="a contact sheet, a row per clip")
    other = parser.add_argument_group("with --ablation")
    other.add_argument("--clips", type=Path, nargs="+", default=[], help="folders of square training clips")
    other.add_argument("--without", nargs="*", default=[], metavar="COLUMN=TEXT", help="as the recipe has it")
    other.add_argument("--size", type=int, default=64, help="px of the frames drawn (default: 64)")
    other.add_argument("--width", type=int, default=16, help="channels of the first level (default: 16)")
    other.add_argument("--minutes", type=float, default=4, help="of each training (default: 4)")
    args = parser.parse_args(arguments)
    if args.ablation is not None and not args.clips:
        parser.error("--ablation trains: give --clips")
    if args.frames < 4:
        parser.error("--frames is at least 4")
    return args


def compare(args: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Figures by what draws. Raises SourceError, EngineError, ValueError."""
    engine, point = load_engine("compact", "cpu"), Point(LOW_SIDE, args.crf, _STEP)
    shown: dict[str, list[Video]] = {}
    true: list[Video] = []
    rows, rates = [], []
    for path in find_clips(args.dev, 256, args.limit):
        film = play(path, argparse.Namespace(policy=policy("first"), frames=_STEP * args.frames), engine)
        bases, size, _ = coded(film, point)
        rates.append(8 * size / (len(film.truth) / film.fps) / 1000)
        drawn = {
            "bicubic": drawn_with(film, bases, "alone", engine),
            "engine alone": film.drawn,
            "engine with the base layer": drawn_with(film, bases, "fused", engine),
        }
        for steps in args.steps:
            drawn[f"FacEnhance, {steps} step{'s' * (steps > 1)}"] = enhanced(film, bases, args, steps)
        true.append(film.truth[::_STEP])
        for name, video in drawn.items():
            shown.setdefault(name, []).append(video[::_STEP])
        rows.append(_sheet_row(film, drawn))
    if args.sheet is not None:
        write_sheet(args.sheet, rows)
    print(f"{len(true)} clips, base layer of {LOW_SIDE} px, crf {args.crf}: {np.mean(rates):.1f} kbit/s\n")
    eye = Eye()
    return {name: figures(true, videos, eye) for name, videos in shown.items()}


def enhanced(film: Film, bases: Sequence[BasePicture | None], args: argparse.Namespace, steps: int) -> list[Picture]:
    """What FacEnhance draws of a film: a picture for each new base picture, from the first source as it is decoded."""
    network, previous_noise = read_network(args.weights)
    enhancer = Enhancer(network, previous_noise, steps=steps, sampler=args.sampler)
    identity = through_the_codec(film.truth[0], DEFAULT_QUALITY)
    out: list[Picture] = []
    before: Any = None
    for without, base in zip(film.drawn, bases, strict=True):
        if base is not None and base.picture is before:
            out.append(out[-1])
            continue
        before = None if base is None else base.picture
        out.append(enhancer.enhance(without if base is None else base.picture, identity, len(without)))
    return out


def _sheet_row(film: Film, drawn: dict[str, list[Picture]]) -> Picture:
    """The true frame three quarters into a film, and what each draws of it."""
    at = 3 * len(film.truth) // 4 // _STEP * _STEP
    return strip(film.name, [("true", film.truth[at]), *((name, video[at]) for name, video in drawn.items())])


@command("facenhance", SourceError, EngineError, ValueError, OSError)
def main(arguments: Sequence[str] | None = None) -> None:
    """Raises as `compare` and `ablation`."""
    args = parse(arguments)
    if args.ablation is None:
        found = compare(args)
    else:
        plan = Plan(args.clips, args.without, args.dev, args.ablation, args.size, args.width, args.minutes,
                    args.frames, args.steps[0], limit=args.limit)  # fmt: skip
        with Stop().listening() as stop:
            found = dict(ablation(plan, stop))
    print(markdown(HEAD, [row(name, each) for name, each in found.items()]))
    if args.json is not None:
        write_report(args.json, found)


if __name__ == "__main__":
    raise SystemExit(main())
