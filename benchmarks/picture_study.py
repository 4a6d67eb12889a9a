"""python -m benchmarks.picture_study: which size and quality of pictures is worth its bytes. See --help."""

from __future__ import annotations

import argparse
import hashlib
import statistics
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.cache import Figures
from benchmarks.clip import read_clip
from benchmarks.command import command
from benchmarks.means import mean
from benchmarks.pictures import Film, Setting, Trial
from benchmarks.progress import Progress
from benchmarks.quality import find_clips
from benchmarks.tables import markdown
from receiver.synthesis import Synthesis
from receiver.upscale import DEFAULT_UPSCALER, load_upscaler
from sender.capture import SourceError
from sender.profiles import DEFAULT_PROFILE, PROFILES
from shared.call.report import report_path, write_report
from shared.codec import av1
from shared.codec.picture import DEFAULT_QUALITY
from shared.models.engine import EngineError
from shared.models.registry import load_engine, locate, wire_hash

PROGRAM = "python -m benchmarks.picture_study"
ENGINE = "compact"
SIZE = 256
SIZES, QUALITIES, RATE_QUALITIES = [64, 128, 256], [20, 35, 50, 65, 80], [35, 50, 65]
KBPS = [1.6, 3.0, 6.0]
PRESENT = Setting(PROFILES[DEFAULT_PROFILE].picture_size, DEFAULT_QUALITY)
"""What a call uses unless it is told otherwise."""
_METRICS = {"psnr": ("PSNR", 2), "ms_ssim": ("MS-SSIM", 4)}

ABOUT = f"""\
Which size and quality of source pictures is worth its bytes? Pictures are judged after all that happens to them: coded,
sent, decoded, enlarged by the embedded upscaler, and frames of the clip drawn from them with the motion extracted from
those frames (not quantised). Two questions:

  one source    the frame that a sender takes as its first source, at every size and quality: bytes of its message
                against PSNR and MS-SSIM on luma, and against sharpness (Laplacian energy in the middle of the picture,
                over the true one). Small sizes also enlarged without a network (bicubic). A * means that no other
                setting is both smaller and nearer.
  equal bytes   a budget of picture payload over the clip, spent on as many evenly spaced sources as it pays for: a
                large one rarely, or small ones often? A frame is drawn from the source that both ends of a call would
                choose of those sent so far; a source is held as soon as it is sent. `fits` counts the clips whose first
                source the budget pays for, the others went over it; `nearest` those where the setting was best of
                all that fit.

All figures are means over clips, and belong to the weights of the day: the report names them. The present default is
{PRESENT}.

example:
  {PROGRAM} --clips clips/dev --json study.json
"""


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog=PROGRAM, description=ABOUT, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    sizes = _several("64, 128 or 256, with commas between", int, SIZES.__contains__)
    qualities = _several("qualities of 0 to 100, with commas between", int, lambda quality: 0 <= quality <= 100)
    rates = _several("rates above 0, with commas between", float, lambda kbps: 0 < kbps < float("inf"))
    parser.add_argument("--clips", type=Path, required=True, metavar="FOLDER",
                        help="square clips as .mp4; raw_* and *_512 are skipped")  # fmt: skip
    parser.add_argument("--json", type=report_path, metavar="FILE", help="write all figures, of each clip too")
    parser.add_argument("--sizes", type=sizes, default=SIZES, metavar="PX,...",
                        help=f"sides of the pictures: 64, 128, 256 (default: {_text(SIZES)})")  # fmt: skip
    parser.add_argument("--qualities", type=qualities, default=QUALITIES, metavar="Q,...",
                        help=f"0 to 100, for one source (default: {_text(QUALITIES)})")  # fmt: skip
    parser.add_argument("--rate-qualities", type=qualities, default=RATE_QUALITIES, metavar="Q,...",
                        help=f"those for equal bytes (default: {_text(RATE_QUALITIES)})")  # fmt: skip
    parser.add_argument("--kbps", type=rates, default=KBPS, metavar="RATE,...",
                        help=f"kbit/s of picture payload, for equal bytes (default: {_text(KBPS)})")  # fmt: skip
    parser.add_argument("--every", type=_interval, default=20, metavar="N",
                        help="measure every N-th frame, at least 2: the lower, the slower (default: 20)")  # fmt: skip
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N clips")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="cpu", help="(default: cpu)")
    return parser.parse_args(arguments)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """All figures. Raises ValueError where clips are missing or unfit, SourceError, EngineError."""
    torch.set_num_threads(1)
    paths = find_clips(args.clips, SIZE, args.limit)
    engine = load_engine(ENGINE, args.device)
    upscalers = {name: load_upscaler(name) for name in (DEFAULT_UPSCALER, "bicubic")}
    synthesis = {name: Synthesis(engine, upscaler) for name, upscaler in upscalers.items()}
    settings = settings_of(args.sizes, sorted({*args.qualities, *args.rate_qualities}))
    alone: dict[Setting, dict[str, Figures]] = {setting: {} for setting in settings}
    spent: dict[float, dict[Setting, dict[str, Figures]]] = {
        kbps: {s: {} for s in settings if s.upscaler == DEFAULT_UPSCALER and s.quality in args.rate_qualities}
        for kbps in args.kbps
    }
    progress = Progress(len(paths))
    measured = 0
    for path in paths:
        progress.begin(f"{path.stem}: extracting motion", 0.1)
        film = Film(read_clip(str(path), None, SIZE), engine, args.every, progress.advance)
        measured += len(film.measured)
        for setting in settings:
            progress.begin(f"{film.name}: {setting}", 0.9 / len(settings))
            trial = Trial(film, setting, synthesis[setting.upscaler])
            alone[setting][film.name] = trial.alone()
            for kbps, by_setting in spent.items():
                if setting in by_setting:
                    by_setting[setting][film.name] = trial.within(kbps)
    progress.close("")
    return {
        "settings": _settings(args, measured),
        "clips": [path.stem for path in paths],
        "one_source": [_row(setting, clips) for setting, clips in alone.items()],
        "equal_bytes": [{"kbps": kbps, "rows": _with_wins(by_setting)} for kbps, by_setting in spent.items()],
    }


def settings_of(sizes: Sequence[int], qualities: Sequence[int]) -> list[Setting]:
    """Everything that one source is measured with; what need not be enlarged is measured once."""
    return [
        Setting(size, quality, upscaler)
        for upscaler in (DEFAULT_UPSCALER, "bicubic")
        for size in sizes
        if size < SIZE or upscaler == DEFAULT_UPSCALER
        for quality in qualities
    ]


def table(report: dict[str, Any]) -> str:
    """The figures for people."""
    count, frames = len(report["clips"]), report["settings"]["frames_measured"]
    parts = [f"{count} clips, {frames} frames; one source", one_source_table(report["one_source"])]
    for budget in report["equal_bytes"]:
        parts += [f"equal bytes: pictures at {budget['kbps']:g} kbit/s", equal_bytes_table(budget["rows"])]
        parts.append("\n".join(verdicts(budget["rows"])))
    return "\n\n".join(part for part in parts if part)


def one_source_table(rows: Sequence[dict[str, Any]]) -> str:
    """Bytes of one source against what comes of it."""
    fronts = {key: on_front([row["mean"] for row in rows], key) for key in _METRICS}
    lines = []
    for at, row in enumerate(rows):
        figures = [f"{row['mean'][key]:.{digits}f}{'*' if fronts[key][at] else ' '}"
                   for key, (_, digits) in _METRICS.items()]  # fmt: skip
        lines.append([row["setting"], f"{row['mean']['bytes']:.0f}", *figures, f"{row['mean']['sharp']:.3f}"])
    return markdown(["one source", "bytes", "PSNR ", "MS-SSIM ", "sharpness"], lines)


def equal_bytes_table(rows: Sequence[dict[str, Any]]) -> str:
    """What the same bytes give."""
    head = ["as many as are paid for", "sources", "bytes", "fits", "PSNR", "MS-SSIM", "sharpness",
            "nearest, PSNR", "nearest, MS-SSIM"]  # fmt: skip
    lines = []
    for row in rows:
        of = row["mean"]
        lines.append([
            row["setting"], f"{of['sources']:.1f}", f"{of['bytes']:.0f}", f"{of['fits']}", f"{of['psnr']:.2f}",
            f"{of['ms_ssim']:.4f}", f"{of['sharp']:.3f}", *(f"{row['nearest'][key]}" for key in _METRICS),
        ])  # fmt: skip
    return markdown(head, lines)


def verdicts(rows: Sequence[dict[str, Any]]) -> list[str]:
    """The best setting by each measure, of those that fit on every clip, and how far it is from the present one."""
    present = next((row for row in rows if row["setting"] == str(PRESENT)), None)
    fitting = [row for row in rows if all(clip["fits"] for clip in row["clips"].values())]
    if not fitting:
        return ["No setting fits this budget on every clip."]
    lines = []
    for key, (title, digits) in _METRICS.items():
        best = max(fitting, key=lambda row: row["mean"][key])
        line = f"Best by {title}: {best['setting']}, {best['mean']['sources']:.1f} sources"
        if best is present:
            line += ", the present default"
        elif present is not None:
            gain, doubt, better = compare(best["clips"], present["clips"], key)
            over = len(present["clips"]) - present["mean"]["fits"]
            line += (f"; {gain:+.{digits}f} ± {doubt:.{digits}f} (standard error) against the present default, better "
                     f"on {better} of {len(present['clips'])} clips")  # fmt: skip
            line += f"; the default goes over the budget on {over}" if over else ""
        lines.append(f"{line}.")
    return lines


def compare(ours: dict[str, Figures], theirs: dict[str, Figures], key: str) -> tuple[float, float, int]:
    """Mean gain over the same clips, its standard error (0 for one clip), and on how many clips there is one."""
    gains = [ours[name][key] - theirs[name][key] for name in ours]
    doubt = statistics.stdev(gains) / len(gains) ** 0.5 if len(gains) > 1 else 0.0
    return statistics.fmean(gains), doubt, sum(gain > 0 for gain in gains)


def on_front(figures: Sequence[Figures], key: str) -> list[bool]:
    """Of each, whether no other takes no more bytes and is better, or fewer and is as good."""

    def beaten(by: Figures, of: Figures) -> bool:
        gain, saving = by[key] - of[key], of["bytes"] - by["bytes"]
        return bool(gain >= 0 and saving >= 0 and gain + saving > 0)

    return [not any(beaten(other, each) for other in figures) for each in figures]


@command("picture_study", EngineError, SourceError, ValueError, OSError)
def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, prints the tables and writes the figures where that was asked for."""
    args = parse(arguments)
    report = run(args)
    print(table(report))
    if args.json is not None:
        write_report(args.json, report)


def _row(setting: Setting, clips: dict[str, Figures]) -> dict[str, Any]:
    size, quality, upscaler = setting.size, setting.quality, setting.upscaler
    return {"setting": str(setting), "size": size, "quality": quality, "upscaler": upscaler,
            "mean": mean(list(clips.values())), "clips": clips}  # fmt: skip


def _with_wins(by_setting: dict[Setting, dict[str, Figures]]) -> list[dict[str, Any]]:
    """Rows with the number of clips on which each is best of those that fit, by each measure."""
    rows = [_row(setting, clips) | {"nearest": dict.fromkeys(_METRICS, 0)} for setting, clips in by_setting.items()]
    for name in rows[0]["clips"] if rows else ():
        for key in _METRICS:
            fitting = [row for row in rows if row["clips"][name]["fits"]]
            if fitting:
                max(fitting, key=lambda row: row["clips"][name][key])["nearest"][key] += 1
    return rows


def _settings(args: argparse.Namespace, measured: int) -> dict[str, Any]:
    return {
        "wire_hash": wire_hash(ENGINE),
        **{f"{part}_sha256": hashlib.sha256(locate(f"{ENGINE}-{part}").read_bytes()).hexdigest()[:16]
           for part in ("generator", "upscaler")},
        "codec": "av1" if av1.available() else "the fallback: bytes are not those of AV1",
        "every": args.every,
        "frames_measured": measured,
        "present": str(PRESENT),
        "luma": "BT.601, 8 bit",
    }  # fmt: skip


def _several(what: str, kind: Callable[[str], Any], fits: Callable[[Any], bool]) -> Callable[[str], list[Any]]:
    """Reads numbers with commas between them."""

    def read(text: str) -> list[Any]:
        try:
            values = [kind(part) for part in text.split(",")]
        except ValueError:
            values = []
        if not values or not all(map(fits, values)):
            raise argparse.ArgumentTypeError(f"this takes {what}, not {text!r}")
        return list(dict.fromkeys(values))

    return read


def _interval(text: str) -> int:
    if not text.isdecimal() or int(text) < 2:
        raise argparse.ArgumentTypeError(f"frames are measured every 2 or more, not {text!r}")
    return int(text)


def _text(values: Sequence[float]) -> str:
    return ",".join(f"{value:g}" for value in values)


if __name__ == "__main__":
    sys.exit(main())
