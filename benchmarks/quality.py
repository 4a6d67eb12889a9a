"""python -m benchmarks.quality: how near the drawn pictures come to the real ones. See --help."""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.accounting import Message, kbps, messages_on_wire
from benchmarks.command import command
from benchmarks.face_figures import Track, changes, pump_ratio
from benchmarks.face_figures import figures as figures_of
from benchmarks.loopback import Loopback, Unpaced
from benchmarks.metrics import Picture, luma, psnr
from benchmarks.sheet import moments, row, write_sheet
from receiver.output.recorder import Recorder, RecordError
from receiver.upscale import DEFAULT_UPSCALER, UPSCALERS, Upscaler, load_upscaler
from sender.capture import SourceError, open_source
from sender.encoder import EncoderSettings
from sender.options import picture_quality, refresh_policy
from sender.profiles import DEFAULT_PROFILE, PROFILES, BasePoint
from sender.refresh import RefreshPolicy
from shared.call.report import write_report
from shared.codec.motion_basis import MotionBasis
from shared.codec.picture import DEFAULT_QUALITY
from shared.gallery import FADE_FRAMES, MOST, Mixture
from shared.models.engine import NATIVE_SIZE, SIZES, Engine, EngineError
from shared.models.layers import LANDMARKS
from shared.models.registry import ENGINES, choose_device, load_basis, load_engine, locate, wire_hash
from shared.motion import FloatArray, keypoints
from shared.transport.link import Channel
from weights.training.data import read_mesh

ABOUT = """\
Plays clips through the whole call except its network: sources through picture codec and upscaler, motion through the
motion codec, then the engine draws. Beside it stands `freeze`, which repeats the first decoded source. Figures are
means over the frames of a clip, its first left out, then over clips; pictures are compared by their luma.

psnr, ms_ssim        the whole picture; mouth_psnr and eyes_psnr: those parts, where a clip has landmarks (NAME.npz) by
                     them, else by our own keypoints of the true frame
keypoint_error_px    what the motion network reads off the drawn picture, against those points, at 256 px
sharp, fade_sharp    Laplacian energy in the face over the true one; the latter while sources change
jump_ratio           change from frame to frame in the face over the true one, frames weighted by how much their sources
                     change
settled_psnr         about fifteen frames after a change of sources began
flicker              second difference in time over the true one
pump_ratio           change from frame to frame where a new base picture came, over the same between, both over truth
wire_kbps            computed bytes on the wire, out and back together; of freeze, of its one picture
"""


policy = refresh_policy


def base_point(text: str) -> BasePoint | None:
    """A base layer from SIZE:CRF:RATE, or none from `off`. Raises ArgumentTypeError."""
    usual = PROFILES[DEFAULT_PROFILE].base
    if text == "off" or usual is None:
        return None
    try:
        size, crf, rate = text.split(":")
        return usual.changed(int(size), int(crf), float(rate))
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not SIZE:CRF:RATE, as in 128:63:12.5, nor off ({error})"
        ) from None


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.quality", description=ABOUT, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clips", type=Path, required=True, metavar="FOLDER",
                        help="square clips as .mp4; raw_* are skipped, *_512 used with --size 512 only")  # fmt: skip
    parser.add_argument("--policy", type=policy, default="first", metavar="first|quality|freq:N|pose:DEG",
                        help="when a new source is sent (default: first, and never again)")  # fmt: skip
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures")
    parser.add_argument("--sheet", type=Path, metavar="FILE.png", help="a contact sheet, a row per clip")
    parser.add_argument("--save", type=Path, metavar="FOLDER", help="write what is drawn of each clip as .mp4")
    parser.add_argument("--picture-size", type=int, default=256, choices=(64, 128, 256, 512), metavar="PX")
    parser.add_argument("--picture-quality", type=picture_quality, default=DEFAULT_QUALITY, metavar="Q",
                        help=f"0 to 100, or max for lossless (default: {DEFAULT_QUALITY})")  # fmt: skip
    parser.add_argument("--size", type=int, default=256, choices=SIZES,
                        help="side of the clips and of what is drawn (default: 256)")  # fmt: skip
    parser.add_argument("--enlarge", action="store_true",
                        help="with --size 512: draw 256 px and enlarge it bicubically, for comparison")  # fmt: skip
    parser.add_argument("--base", type=base_point, default=PROFILES[DEFAULT_PROFILE].base, metavar="SIZE:CRF:RATE|off",
                        help="the base layer (default: that of a call, %(default)s)")  # fmt: skip
    parser.add_argument("--bundle", type=int, default=5, metavar="N", help="frames of motion a message (default: 5)")
    parser.add_argument("--sources", type=int, default=MOST, metavar="N",
                        help=f"that a frame is drawn from at most (default: {MOST})")  # fmt: skip
    parser.add_argument(
        "--fade",
        type=int,
        default=FADE_FRAMES,
        metavar="N",
        help=f"frames in which a source comes into use; 1: a hard cut (default: {FADE_FRAMES})",
    )
    parser.add_argument("--generator", default="auto", metavar="NAME|FILE", help="as the receiver has it")
    parser.add_argument("--upscaler", choices=UPSCALERS, default=DEFAULT_UPSCALER)
    parser.add_argument("--upscaler-weights", type=Path, metavar="FILE")
    parser.add_argument("--engine", choices=ENGINES, default="compact")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N clips")
    args = parser.parse_args(arguments)
    if args.sources < 1 or args.fade < 1 or args.bundle < 1:
        parser.error("--sources, --fade and --bundle are at least 1")
    return args


@dataclass(frozen=True, eq=False)
class Setup:
    """What all clips share."""

    policy: RefreshPolicy
    engine: Engine
    basis: MotionBasis
    upscaler: Upscaler
    bundle: int
    picture_size: int
    picture_quality: Any
    size: int
    sources: int
    fade: int
    base: BasePoint | None


@dataclass(frozen=True, eq=False)
class ClipResult:
    """One clip."""

    figures: dict[str, Any]
    source: Picture
    pairs: list[tuple[Picture, Picture]]
    """(driving, drawn) of every frame."""
    psnrs: list[float]
    """Of the drawn pictures, frame 0 left out: index 0 is frame 1."""
    fps: float


def find_clips(folder: Path, size: int, limit: int | None = None) -> list[Path]:
    """The clips of a folder in order of their names. Raises ValueError if there is none."""
    found = [p for p in sorted(folder.glob("*.mp4")) if not p.name.startswith("raw_")]
    clips = [p for p in found if p.stem.endswith("_512") == (size == 512)][:limit]
    if not clips:
        raise ValueError(f"'{folder}' holds no clip of {size} px: give a folder with .mp4 files, see --help")
    return clips


def measure_clip(path: Path, setup: Setup) -> ClipResult:
    """Plays one clip. Raises SourceError, and ValueError if it has fewer than two frames or another size."""
    with open_source(str(path)) as capture:
        settings = EncoderSettings(
            capture.fps, setup.bundle, setup.picture_size, setup.picture_quality, "none", base=setup.base
        )
        mixture = Mixture(setup.sources, setup.fade)
        call = Loopback(settings, setup.policy, setup.engine, setup.basis, setup.upscaler, Unpaced(), mixture=mixture)
        pairs = [(driving, _enlarged(drawn, setup.size)) for driving, drawn in call.play(capture)]
    if len(pairs) < 2:
        raise ValueError(f"'{path}' has {len(pairs)} frames: quality needs at least two")
    if pairs[0][0].shape[0] != setup.size:
        raise ValueError(f"'{path}' is {pairs[0][0].shape[0]} px: clips of {setup.size} px are measured, see --size")
    assert call.first_source is not None
    source = _enlarged(call.first_source, setup.size)
    truth, drawn = (list(pictures) for pictures in zip(*pairs, strict=True))
    track = Track(truth, true_points(path, truth, setup.engine), changes(call.shares))
    still = replace(track, changes=np.zeros(len(truth)))
    figures: dict[str, Any] = {
        "engine": figures_of(track, drawn, [read_points(setup.engine, p) for p in drawn]),
        "freeze": figures_of(still, [source] * len(truth), [read_points(setup.engine, source)] * len(truth)),
        "frames": len(pairs),
        "sources": len(call.source_sizes),
        "source_bytes": sum(call.source_sizes),
        "motion_bytes_per_frame": round(_bytes(call, Channel.MOTION) / len(pairs), 2),
    }
    if setup.base is not None:
        new = [age == 0 for age in call.base_ages]
        ratio = pump_ratio([luma(p) for p in truth], [luma(p) for p in drawn], new)
        figures["engine"]["pump_ratio"] = None if np.isnan(ratio) else round(ratio, 4)
        figures["frames_with_base"] = sum(age is not None for age in call.base_ages)
        figures["base_bytes_per_frame"] = round(call.base_bytes / len(pairs), 2)
    seconds = len(pairs) / capture.fps
    for name, messages in (("engine", call.messages), ("freeze", _first_picture(call))):
        wire = messages_on_wire(messages, seconds)
        figures[name]["wire_kbps"] = kbps(wire.sent.size + wire.received.size, seconds)
    psnrs = [psnr(luma(driving), luma(drawn)) for driving, drawn in pairs[1:]]
    return ClipResult(figures, source, pairs, psnrs, capture.fps)


def true_points(path: Path, truth: Sequence[Picture], engine: Engine) -> list[FloatArray]:
    """(23, 2) of every frame: from the landmarks beside the clip, or where there are none read by the engine."""
    mesh, found = read_mesh(path.with_suffix(".npz"), len(truth), 1)
    return [
        mesh[n][list(LANDMARKS), :2] if found[n] else read_points(engine, picture) for n, picture in enumerate(truth)
    ]


def read_points(engine: Engine, picture: Picture) -> FloatArray:
    """(23, 2) supervised keypoints that the engine finds in a picture."""
    return keypoints(*engine.extract(picture))[: len(LANDMARKS), :2]


def _bytes(call: Loopback, channel: Channel) -> int:
    return sum(m.size for m in call.messages if m.forward and m.channel is channel)


def _first_picture(call: Loopback) -> list[Message]:
    """The messages that bring the first source."""
    out, left = [], call.source_sizes[0]
    for message in call.messages:
        if message.forward and message.channel is Channel.PICTURES and left > 0:
            out.append(message)
            left -= message.size
    return out


def overall(clips: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Mean over clips of every figure; over those that have it."""
    first = next(iter(clips.values()))
    mean: dict[str, Any] = {}
    for name, value in first.items():
        if isinstance(value, dict):
            mean[name] = {key: _known_mean([clip[name][key] for clip in clips.values()]) for key in value}
        else:
            mean[name] = round(float(np.mean([clip[name] for clip in clips.values()])), 2)
    return mean


def sheet_row(name: str, result: ClipResult) -> Picture:
    """A clip's row of the contact sheet."""
    engine, freeze = result.figures["engine"], result.figures["freeze"]
    title = (
        f"{name}: drawn {engine['psnr']:.2f} dB {engine['ms_ssim']:.3f}, freeze {freeze['psnr']:.2f} dB "
        f"{freeze['ms_ssim']:.3f}, {result.figures['sources']} source(s)"
    )
    worst = int(np.argmin(result.psnrs))
    pairs = []
    for index in moments(result.psnrs):
        driving, drawn = result.pairs[index + 1]
        label = f"drawn, {result.psnrs[index]:.1f} dB{' (worst)' if index == worst else ''}"
        pairs.append((f"driving, frame {index + 1}", driving, label, drawn))
    return row(title, result.source, pairs)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Measures all clips and writes what was asked for; the report comes back."""
    clips = find_clips(args.clips, args.size, args.limit)
    if args.save is not None:
        args.save.mkdir(parents=True, exist_ok=True)
    drawn = NATIVE_SIZE if args.enlarge else args.size
    engine = load_engine(args.engine, args.device, size=drawn, generator=args.generator)
    upscaler = load_upscaler(args.upscaler, args.upscaler_weights, choose_device(args.device))
    setup = Setup(
        args.policy, engine, load_basis(args.engine), upscaler, args.bundle, args.picture_size, args.picture_quality,
        args.size, args.sources, args.fade, args.base,
    )  # fmt: skip
    figures: dict[str, dict[str, Any]] = {}
    rows: list[Picture] = []
    for number, path in enumerate(clips, 1):
        result = measure_clip(path, setup)
        figures[path.stem] = result.figures
        print(f"{number}/{len(clips)} {_line(path.stem, result.figures)}", file=sys.stderr, flush=True)
        if args.sheet is not None:
            rows.append(sheet_row(path.stem, result))
        if args.save is not None:
            _save(args.save / f"{path.stem}.mp4", result)
    report = {"settings": _settings(args, engine), "mean": overall(figures), "clips": figures}
    if args.sheet is not None:
        write_sheet(args.sheet, rows)
    if args.json is not None:
        write_report(args.json, report)
    return report


@command("quality", EngineError, RecordError, SourceError, ValueError, OSError)
def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, writes what was asked for and prints the means."""
    print(_line("mean", run(parse(arguments))["mean"]))


def _settings(args: argparse.Namespace, engine: Engine) -> dict[str, Any]:
    generator = hashlib.sha256(locate(f"{args.engine}-generator").read_bytes()).hexdigest()[:16]
    settings: dict[str, Any] = {
        "policy": str(args.policy),
        "picture_size": args.picture_size,
        "picture_quality": args.picture_quality,
        "bundle": args.bundle,
        "upscaler": args.upscaler,
        "sources_a_frame": args.sources,
        "fade_frames": args.fade,
        "base": None if args.base is None else args.base._asdict(),
        "engine": args.engine,
        "wire_hash": wire_hash(args.engine),
        "generator_sha256": generator,
        "size": args.size,
        "luma": "BT.601, 8 bit",
        "frame_0": "left out",
    }
    if engine.size != args.size:
        settings["enlarged"] = f"drawn at {engine.size} px and enlarged bicubically to {args.size} px, freeze too"
    return settings


def _line(name: str, figures: dict[str, Any]) -> str:
    engine, freeze = figures["engine"], figures["freeze"]
    jump = "" if engine["jump_ratio"] is None else f", jump {engine['jump_ratio']:.2f}"
    jump += "" if engine.get("pump_ratio") is None else f", pump {engine['pump_ratio']:.2f}"
    return (
        f"{name}: drawn {engine['psnr']:.2f} dB, MS-SSIM {engine['ms_ssim']:.4f} (freeze {freeze['psnr']:.2f}, "
        f"{freeze['ms_ssim']:.4f}); mouth {engine['mouth_psnr']:.1f} dB, eyes {engine['eyes_psnr']:.1f} dB, keypoints "
        f"{engine['keypoint_error_px']:.2f} px, sharp {engine['sharp']:.2f}, flicker {engine['flicker']:.2f}{jump}; "
        f"{figures['sources']} sources of {figures['source_bytes']} bytes together, motion "
        f"{figures['motion_bytes_per_frame']} bytes a frame, wire {engine['wire_kbps']:.1f} kbit/s"
    )


def _enlarged(picture: Picture, size: int) -> Picture:
    if picture.shape[0] == size:
        return picture
    return np.asarray(cv2.resize(picture, (size, size), interpolation=cv2.INTER_CUBIC), np.uint8)


def _save(path: Path, result: ClipResult) -> None:
    with Recorder(path, result.fps, result.source.shape[0]) as recorder:
        for _, drawn in result.pairs:
            recorder.write(drawn)


def _known_mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(float(np.mean(known)), 4) if known else None


if __name__ == "__main__":
    sys.exit(main())
