"""python -m benchmarks.bandwidth: a call beside video codecs, in bytes and in what is seen. See --help."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

if not __package__:  # run as a script: Python then looks for modules in this folder, not beside it
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from benchmarks import plots, side_by_side, tables, vmaf
from benchmarks.base_alone import LADDER
from benchmarks.cache import Cache, Figures, default_folder
from benchmarks.clip import SAMPLE_SECONDS, read_clip
from benchmarks.codecs import CODECS, H264, H264_CRF, VARIANTS, CodecError, versions
from benchmarks.command import command
from benchmarks.compare import BasePlan, Comparison, Plan
from benchmarks.judging import Judge, JudgeError
from benchmarks.means import margins, mean, wins
from benchmarks.metrics import Picture
from benchmarks.ours import CallSettings, OurSide
from benchmarks.plots import PlotError
from benchmarks.progress import Progress
from benchmarks.quality import find_clips
from benchmarks.sheet import write_sheet
from benchmarks.sweep import FRAMES, WORK, Sweep, intervals
from benchmarks.tables import OURS
from receiver.upscale import DEFAULT_UPSCALER, UPSCALERS
from sender.capture import SourceError
from sender.options import picture_quality, refresh_policy
from sender.profiles import DEFAULT_PROFILE, PROFILES, USUAL_BASE
from sender.refresh import WhenWorse
from shared.call.report import report_path, write_report
from shared.models.engine import NATIVE_SIZE, EngineError
from shared.models.registry import ENGINES, wire_hash

QUICK_SECONDS = 4.0
SMALL = 64
"""Side in pixels of the pictures of a second call, which are upscaled by 4."""

ABOUT = """\
Counts the bytes of a Pinhole call of a clip and those of video codecs at real-time settings for the same pictures:
payload, and on the wire with IPv4 and UDP headers, both directions. Beside them: PSNR and MS-SSIM on luma, sharpness
of the face over the true one (where the clip has landmarks, NAME.npz, beside it; else of the middle), mean over all
frames but the first, VMAF where vmaf-torch is installed, and the figures of an independent judge, if you have one.

Pinhole's messages are those that both halves of a call send each other; their bytes on the wire are computed from
sizes and times as the link packs and acknowledges them, nothing lost. A real call reports counted bytes. The codecs'
frames travel in RTP, with RTCP. Connection set-up, about 1.7 KB each way, is in none of them; ICE's consent checks are
in all.

Each codec codes all frames and every second one, at 256, 192 and 128 px, enlarged bicubically: six variants, each at a
few quantisers, and at finer ones until it takes our rate. "At our rate" means: the variant with the best PSNR on that
clip, interpolated, at our rate on the wire, both directions together; or the lowest rate of all variants, if that is
more, said to be its floor. A rival, too, is our base layer alone: its video in our bundles, without motion and sources,
interpolated over its quantiser. What is judged, and what a sheet shows, is coded at the coarsest quantiser that takes
as much as ours or more. Codecs send a packet a frame, as calls do, without delay; bundles share the packet's headers
among several frames, at the price of waiting for them: at such rates that is a large part of what bundles gain.

What was measured is kept, so the same command goes on from where it was stopped; what rivals show does not depend on
ours, so --rivals measures all of it beforehand.
"""
EXAMPLES = """\
examples:
  python -m benchmarks.bandwidth --freq 15                      the built-in sample, a source every 15 frames
  python -m benchmarks.bandwidth --video talk.mp4 --json b.json --plot b.png --sheet s.png
  python -m benchmarks.bandwidth --clips DEV --json b.json      all clips of a folder, and their mean
  python -m benchmarks.bandwidth --sweep 1:100 --plot b.png     bytes against source interval, in b_sweep.png
  python -m benchmarks.bandwidth --clips DEV --judge .judge/bin/python judge.py
  python -m benchmarks.bandwidth --clips DEV --rivals 14        rivals only, at 14 kbit/s, without an engine
  python -m benchmarks.bandwidth --clips DEV --rungs thin sparing sharp video --plot b.png
"""


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.bandwidth", description=ABOUT, epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--video", nargs="+", default=["sample"], metavar="FILE", help="the centre square is used "
                      f"(default: the built-in sample, {SAMPLE_SECONDS:g} s)")  # fmt: skip
    what.add_argument("--clips", type=Path, metavar="FOLDER", help="all square clips of a folder, and their mean")
    refresh = parser.add_mutually_exclusive_group()
    refresh.add_argument("--refresh", type=refresh_policy, metavar="POLICY", default=WhenWorse(),
                         help="when a new source is sent, as the sender has it (default: %(default)s)")  # fmt: skip
    refresh.add_argument("--freq", dest="refresh", type=lambda n: refresh_policy(f"freq:{n}"), metavar="N",
                         help="send a new source every N frames")  # fmt: skip
    refresh.add_argument("--pose-threshold", dest="refresh", type=lambda degrees: refresh_policy(f"pose:{degrees}"),
                         metavar="DEG", help="send one when the head is turned so far from every one held")  # fmt: skip
    parser.add_argument("--budget", type=float, metavar="KBPS", help="of sources, as the sender has it")
    parser.add_argument("--profile", choices=tuple(PROFILES), default=DEFAULT_PROFILE,
                        help="how motion is sent, as the sender has it (default: %(default)s)")  # fmt: skip
    parser.add_argument("--rungs", nargs="+", choices=tuple(PROFILES), default=[], metavar="PROFILE",
                        help="also draw calls of these profiles, which the plot joins by a line")  # fmt: skip
    parser.add_argument("--seconds", type=float, metavar="S", help="use only this much of every video")
    parser.add_argument("--picture-size", type=int, choices=(64, 128, 256), metavar="PX",
                        help="side of the source pictures (default: the profile's)")  # fmt: skip
    parser.add_argument("--picture-quality", type=picture_quality, metavar="Q",
                        help="0 to 100, or max for lossless (default: the profile's)")  # fmt: skip
    parser.add_argument("--upscaler", choices=UPSCALERS, default=DEFAULT_UPSCALER,
                        help=f"of small pictures; a second call has {SMALL} px (default: %(default)s)")  # fmt: skip
    parser.add_argument("--upscaler-weights", type=Path, metavar="FILE",
                        help="for --upscaler esrgan, or a SavedModel folder for tfhub")  # fmt: skip
    parser.add_argument("--engine", choices=ENGINES, default="compact")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--rivals", type=_rate, metavar="KBPS", help="measure only what is not drawn by an engine, and "
                        "compare it at this rate on the wire, both directions together")  # fmt: skip
    parser.add_argument("--quick", action="store_true",
                        help=f"{QUICK_SECONDS:g} s of every video, two points a variant, no VMAF")  # fmt: skip
    parser.add_argument("--json", type=report_path, metavar="FILE", help="write all figures")
    parser.add_argument("--plot", type=report_path, metavar="FILE.png", help="draw rate against quality")
    parser.add_argument(
        "--sheet", type=report_path, metavar="FILE.png", help="our frames beside every codec's at our rate"
    )
    parser.add_argument("--sweep", type=_intervals, metavar="FIRST:LAST", help=f"bytes of {FRAMES} frames of the "
                        "first video against the interval between sources; drawn as FILE_sweep.png")  # fmt: skip
    parser.add_argument("--judge", type=Path, nargs=2, metavar=("PYTHON", "JUDGE.py"),
                        help="a judge of faces: called with two videos, prints a line of JSON with sharp, mouth_corr, "
                        "blink_corr, akd_px, pose_err_deg, lost")  # fmt: skip
    cache = parser.add_mutually_exclusive_group()
    cache.add_argument("--cache", type=Path, default=default_folder(), metavar="DIR",
                       help="where results are kept (default: %(default)s)")  # fmt: skip
    cache.add_argument("--no-cache", dest="cache", action="store_const", const=None, help="measure all anew")
    args = parser.parse_args(arguments)
    if args.rivals is not None and (args.sweep or args.rungs):
        parser.error("--sweep and --rungs are about calls of ours, --rivals leaves them out")
    return args


@command("bandwidth", EngineError, JudgeError, PlotError, SourceError, ValueError, OSError)
def main(arguments: Sequence[str] | None = None) -> None:
    """Compares, writes what was asked for and prints the tables."""
    args = parse(arguments)
    try:
        report = run(args)
    except KeyboardInterrupt as stop:
        kept = "" if args.cache is None else "; the same command goes on from here"
        raise KeyboardInterrupt(f"stopped{kept}") from stop
    print(tables.text(report))


def run(args: argparse.Namespace) -> Figures:
    """Measures all videos and writes what was asked for; the report comes back.

    Raises EngineError, JudgeError, PlotError, SourceError, ValueError and OSError.
    """
    if args.plot is not None:
        plots.check()
    plan, began = make_plan(args), time.monotonic()
    videos = args.video if args.clips is None else [str(path) for path in find_clips(args.clips, 256)]
    ours = None if args.rivals is not None else OurSide(args.engine, args.device)
    side, cache = NATIVE_SIZE if ours is None else ours.engine.size, Cache(args.cache)
    swept_calls = {name: call for name, call in plan.calls.items() if name in OURS}
    swept = len(swept_calls) * len(args.sweep or ())
    progress = Progress(plan.work * len(videos) + WORK * swept)
    seconds = min(args.seconds or QUICK_SECONDS, QUICK_SECONDS) if args.quick else args.seconds
    clips: dict[str, Figures] = {}
    rows: list[Picture] = []
    first: Comparison | None = None
    for video in videos:
        clip = read_clip(video, seconds, side)
        if clip.name in clips:
            raise ValueError(f"two of the videos are called '{clip.name}': rename one, reports tell them apart by name")
        comparison = Comparison(clip, plan, ours, cache, progress)
        first = first or comparison
        clips[clip.name] = comparison.run()
        if args.sheet is not None:
            rows += side_by_side.rows(comparison, clips[clip.name], 4 if len(videos) == 1 else 2)
    report = {"settings": settings_of(args, videos), **together(clips), "notes": notes(args, clips)}
    if args.sweep and first is not None and ours is not None:
        sweep = Sweep(ours, first.clip, cache, progress)
        report["sweep"] = sweep.run(swept_calls, args.sweep) | sweep.lines(clips[first.clip.name], _default(first))
    progress.close(f"compared {len(videos)} videos in {time.monotonic() - began:.0f} s")
    write(args, report, rows)
    return report


def make_plan(args: argparse.Namespace) -> Plan:
    """What is to be compared. Raises JudgeError if the judge is not there."""
    size = args.picture_size or PROFILES[args.profile].picture_size
    upscaler, weights = args.upscaler, args.upscaler_weights
    quality = PROFILES[args.profile].picture_quality if args.picture_quality is None else args.picture_quality
    call = CallSettings(str(args.refresh), args.budget, args.profile, size, quality, upscaler, weights)
    calls = {"ours": call}
    if size > SMALL:
        calls["ours_upscaled"] = replace(call, picture_size=SMALL)
    for name in args.rungs:
        if name != args.profile:
            rung = PROFILES[name]
            calls[f"ours_{name}"] = replace(
                call, profile=name, picture_size=rung.picture_size, picture_quality=rung.picture_quality
            )
    if args.rivals is not None:
        calls = {}
    judge = None if args.judge is None else Judge(*args.judge)
    each = 2 if args.quick else 1
    ladders = {name: {variant: codec.ladder(variant)[::each] for variant in VARIANTS} for name, codec in CODECS.items()}
    profile, scored = PROFILES[args.profile], not args.quick and vmaf.missing() is None
    looked_at = judge is not None or args.sheet is not None
    base = BasePlan(profile.base or USUAL_BASE, LADDER[::each], profile.bundle_seconds)
    return Plan(calls, ladders, base, args.rivals, scored, judge, looked_at)


def together(clips: dict[str, Figures]) -> Figures:
    """The report of one clip, or the mean of several with each beside it."""
    if len(clips) == 1:
        return next(iter(clips.values()))
    report: Figures = mean(list(clips.values())) | {"clips": clips}
    if "ours" in report:
        report |= {"wins": wins(clips), "margins": margins(clips)}
    return report


def settings_of(args: argparse.Namespace, videos: Sequence[str]) -> Figures:
    """How it was measured."""
    return {
        "videos": [Path(video).name for video in videos],
        "seconds": args.seconds,
        "refresh": str(args.refresh),
        "budget": None if args.budget is None else str(args.budget),
        "profile": args.profile,
        "picture_quality": args.picture_quality,
        "upscaler": args.upscaler,
        "engine": args.engine,
        "wire_hash": wire_hash(args.engine),
        "rivals": args.rivals,
        "quick": args.quick,
        **versions(),
    }


def notes(args: argparse.Namespace, clips: dict[str, Figures]) -> list[str]:
    """What a reader must know to read the tables right."""
    reason = "left out by --quick" if args.quick else vmaf.missing()
    said = [] if reason is None else [f"No VMAF: {reason}."]
    left_out: Figures = next(iter(clips.values()))["left_out"]
    said += [f"Left out: {reason}." for reason in left_out.values()]
    said.append("Codecs are interpolated at our rate on the wire, both ways, in the variant that is best on each clip.")
    said.append("Pinhole's wire figures are computed, see --help; a real call reports counted ones.")
    return said


def write(args: argparse.Namespace, report: Figures, rows: Sequence[Picture]) -> None:
    """Writes the files that were asked for. Raises OSError."""
    if args.json is not None:
        write_report(args.json, report)
    if args.sheet is not None:
        write_sheet(args.sheet, rows)
    if args.plot is not None:
        plots.rate_quality(report, args.plot)
        if "sweep" in report:
            plots.sweep(report, plots.sweep_path(args.plot))


def _default(comparison: Comparison) -> Figures | None:
    """H.264 at its default quality, if it can be had."""
    try:
        return comparison.point(H264, H264_CRF)
    except CodecError:
        return None


def _rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = 0.0
    if not 1 <= rate <= 1000:
        raise argparse.ArgumentTypeError(f"{text!r} is no rate of 1 to 1000 kbit/s")
    return rate


def _intervals(text: str) -> list[int]:
    try:
        first, last = map(int, text.split(":"))
        return intervals(first, last)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not FIRST:LAST, such as 1:100 ({error})") from error


if __name__ == "__main__":
    sys.exit(main())
