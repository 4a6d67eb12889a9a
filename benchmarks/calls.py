"""python -m benchmarks.calls: real calls of clips on this machine, and what they cost. See --help."""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

from benchmarks.cache import Figures
from benchmarks.command import command
from benchmarks.processes import POLL_SECONDS, CallFailed, call
from benchmarks.progress import Progress
from benchmarks.quality import find_clips
from benchmarks.tables import markdown
from sender.call_recording import limited
from sender.capture import SourceError, open_source
from sender.profiles import PROFILES
from shared.call.report import report_path, write_report
from shared.models.registry import wire_hash

ABOUT = """\
Makes a real call of every clip with every profile: sender and receiver run as two processes of this machine, as a
user runs them, over WebRTC on loopback, each clip at its own speed. Both sides count what travels.

Rates in kbit/s are those that the sender reports as `steady`: from the first source held to the end. Those on the wire
are IPv4 and UDP bytes, out and back; payload is what they carry out, and motion its share for the face's motion. Delay
is from capture to display, as the receiver measures it over the same time. Frames and sources are the whole call's:
frames shown of those in the clip, and frames whose motion a sender that had fallen behind took from the frame before.
`worst` is the largest figure of any clip; of frames shown, the smallest. Run it on a machine that does nothing else:
other work makes delays longer, loses frames, and where frames are repeated the rates are too low.

A call that fails is said to have failed, the others go on, and the exit status is 1.
"""
EXAMPLES = """\
examples:
  python -m benchmarks.calls --clips DEV --json c.json                     all clips, all profiles
  python -m benchmarks.calls --clips DEV --profile thin --limit 2          two clips, one profile
  python -m benchmarks.calls --clips DEV --seconds 4                       the beginning of every clip
"""
CLIP_SIDE = 256
COLUMNS = {
    "shown_percent": ("frames shown", "{:.1f} %"),
    "repeated_percent": ("repeated", "{:.1f} %"),
    "sources": ("sources", "{:.3g}"),
    "wire_kbps_out": ("wire out", "{:.2f}"),
    "wire_kbps_back": ("wire back", "{:.2f}"),
    "payload_kbps": ("payload", "{:.2f}"),
    "motion_kbps": ("motion", "{:.2f}"),
    "delay_p50_ms": ("delay, ms", "{:.0f}"),
    "delay_p95_ms": ("p95, ms", "{:.0f}"),
}
"""The figures that a table shows and a summary sums up: title and form of each."""
_STARTING_SECONDS = 12.0
"""That both processes take before the clip plays, and after it, about; for the progress bar."""


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.calls", description=ABOUT, epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--clips", type=Path, required=True, metavar="FOLDER",
                        help=f"square clips of {CLIP_SIDE} px as .mp4; raw_* and *_512 are skipped")  # fmt: skip
    parser.add_argument("--profile", nargs="+", choices=tuple(PROFILES), default=list(PROFILES),
                        help="as the sender has it (default: all)")  # fmt: skip
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N clips")
    parser.add_argument("--seconds", type=float, metavar="S", help="only this much of every clip")
    parser.add_argument("--json", type=report_path, metavar="FILE",
                        help="write all figures, and all that both sides report; after every call")  # fmt: skip
    args = parser.parse_args(arguments)
    args.profile = list(dict.fromkeys(args.profile))
    if (args.limit is not None and args.limit < 1) or (args.seconds is not None and args.seconds <= 0):
        parser.error("--limit and --seconds must be positive")
    return args


def run(args: argparse.Namespace) -> Figures:
    """Makes all calls and writes the report after each; it comes back. Raises ValueError if there is no clip, OSError.

    A KeyboardInterrupt says how many calls were made.
    """
    paths = find_clips(args.clips, CLIP_SIDE, args.limit)
    seconds = {path: _seconds(path, args.seconds) for path in paths}
    progress = Progress(len(args.profile) * sum(seconds.values()))
    settings = {"seconds": args.seconds, "profiles": args.profile, "framing": "none", "wire_hash": wire_hash("compact")}
    clips: dict[str, dict[str, Figures]] = {path.stem: {} for path in paths}
    report = {"settings": settings, "clips": clips}
    made, count = 0, len(paths) * len(args.profile)
    try:
        for path, profile in product(paths, args.profile):
            progress.begin(f"{path.stem}, {profile}", seconds[path])
            advance = partial(progress.advance, POLL_SECONDS / seconds[path])
            clips[path.stem][profile] = make(path, profile, args.seconds, advance)
            made += 1
            report = {"settings": settings, "clips": clips, **summaries(clips)}
            if args.json is not None:
                write_report(args.json, report)
    except KeyboardInterrupt as stop:
        kept = f", which {args.json} holds" if args.json is not None and made else ""
        raise KeyboardInterrupt(f"interrupted after {made} of {count} calls{kept}") from stop
    progress.close(f"made {made} calls")
    return report


def make(path: Path, profile: str, seconds: float | None, waiting: Callable[[], object]) -> Figures:
    """A call of a clip: its figures and both sides' reports, or `error`, a text, if it failed."""
    options: list[str | Path] = ["--source", path, "--framing", "none", "--profile", profile]
    if seconds is not None:
        options += ["--seconds", str(seconds)]
    try:
        with open_source(str(path)) as capture:
            frames = sum(1 for _ in limited(capture, seconds))
        both = call(options, waiting=waiting)
        return figures(frames, both["sender"], both["receiver"]) | both
    except (CallFailed, SourceError) as error:
        return {"error": str(error)}


def figures(frames: int, sender: Mapping[str, Any], receiver: Mapping[str, Any]) -> Figures:
    """The figures of a call of so many frames, from what both sides report. Raises CallFailed if nothing was shown.

    Motion may be sent of every second frame only, while all are shown: frames are counted by those of the clip.
    """
    shown, steady = receiver["frames_shown"], sender["steady"]
    if not shown:
        raise CallFailed(f"none of the {frames} frames was shown")
    motion = steady["payload_bytes_by_channel"]["motion"]
    delay = receiver["steady"]["delay_ms"]
    return {
        "frames": frames,
        "frames_shown": shown,
        "shown_percent": round(100 * shown / frames, 2),
        "repeated_percent": round(100 * sender["frames_repeated"] / frames, 2),
        "sources": sender["sources_sent"],
        "wire_kbps_out": steady["wire_kbps_out"],
        "wire_kbps_back": steady["wire_kbps_in"],
        "payload_kbps": steady["payload_kbps"],
        "motion_kbps": round(motion * 8 / max(steady["duration_s"], 1e-9) / 1000, 2),
        "delay_p50_ms": delay["p50"],
        "delay_p95_ms": delay["p95"],
    }


def summaries(clips: Mapping[str, Mapping[str, Figures]]) -> dict[str, dict[str, Figures]]:
    """`mean`, `median` and `worst` over clips, by profile, of calls that did not fail."""
    together: dict[str, dict[str, Figures]] = {"mean": {}, "median": {}, "worst": {}}
    for profile in _profiles(clips):
        calls = [made for made in _of(clips, profile).values() if "error" not in made]
        for name in together if calls else ():
            together[name][profile] = {key: _summed_up(name, key, [made[key] for made in calls]) for key in COLUMNS}
    return together


def text(report: Figures) -> str:
    """A table for every profile, a row for every clip and three for all; then what went wrong, if anything did."""
    clips = report["clips"]
    parts = [table(report, profile) for profile in _profiles(clips)]
    for profile in _profiles(clips):
        for name, made in _of(clips, profile).items():
            if "error" in made:
                parts.append(f"{name}, {profile}: {made['error']}")
    return "\n\n".join(parts)


def table(report: Figures, profile: str) -> str:
    """The calls of a profile, in Markdown."""
    rows = []
    for name, made in _of(report["clips"], profile).items():
        if "error" in made:
            rows.append([name, "failed", *["-"] * (len(COLUMNS) - 1)])
        else:
            rows.append([name, f"{made['frames_shown']} of {made['frames']}", *_cells(made)[1:]])
    for name in ("mean", "median", "worst"):
        if profile in report[name]:
            rows.append([name, *_cells(report[name][profile])])
    return markdown([f"{profile}, kbit/s", *(title for title, _ in COLUMNS.values())], rows)


@command("calls", CallFailed, ValueError, OSError)
def main(arguments: Sequence[str] | None = None) -> None:
    """Makes the calls, writes what was asked for and prints the tables."""
    report = run(parse(arguments))
    print(text(report))
    made = [made for profiles in report["clips"].values() for made in profiles.values()]
    failed = sum("error" in each for each in made)
    if failed:
        raise CallFailed(f"{failed} of {len(made)} calls failed; what they printed stands below the tables")


def _seconds(path: Path, seconds: float | None) -> float:
    """About how long a call of a clip takes."""
    try:
        with open_source(str(path)) as capture:
            length = capture.duration or 0.0
    except SourceError:  # the call will say what is wrong with it
        length = 0.0
    return _STARTING_SECONDS + min(length, seconds or length)


def _profiles(clips: Mapping[str, Mapping[str, Figures]]) -> list[str]:
    return list(dict.fromkeys(profile for profiles in clips.values() for profile in profiles))


def _of(clips: Mapping[str, Mapping[str, Figures]], profile: str) -> dict[str, Figures]:
    """The calls of a profile by clip."""
    return {name: profiles[profile] for name, profiles in clips.items() if profile in profiles}


def _summed_up(name: str, key: str, values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    if not known:
        return None
    if name == "worst":
        return min(known) if key == "shown_percent" else max(known)
    return round(statistics.fmean(known) if name == "mean" else statistics.median(known), 4)


def _cells(made: Figures) -> list[str]:
    return ["-" if made[key] is None else form.format(made[key]) for key, (_, form) in COLUMNS.items()]


if __name__ == "__main__":
    sys.exit(main())
