"""python -m benchmarks.motion_codec: bytes of motion against what they cost the keypoints. See --help."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

if not __package__:  # run as a script: Python then looks for modules in this folder, not beside it
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.command import command
from benchmarks.metrics import luma, psnr
from benchmarks.motions import SIZE, Recording, openings, record
from benchmarks.one_euro import OneEuro, rise_frames
from benchmarks.progress import Progress
from benchmarks.quality import find_clips
from shared.call.report import report_path, write_report
from shared.codec.bundle import HOLD, Bundle, BundleEncoder, held, quantise
from shared.codec.motion_basis import MotionBasis
from shared.codec.range_coder import TOTAL, FrequencyTable, context_tables
from shared.models.registry import load_basis, load_engine
from shared.motion import FloatArray, Motion, keypoints
from weights.training.data import read_frames
from weights.training.fit_codec import PIXELS, TARGET_ERROR, fit, keypoint_importance

Floats = NDArray[np.float64]

ABOUT = """\
Codes the motion of clips and measures payload bytes a frame (header included), the RMS keypoint error against motion
that was not quantised, in px of a 256 px picture, and how well the opening of lips and eyelids survives: correlation
with the opening before coding, and with that of the clips' landmarks (NAME.npz) where they have some. All are means
over clips. With --fit, bases are fitted to other clips, which gives the curve and what each part of the codec brings.
"""
TARGETS = (0.25, 0.35, TARGET_ERROR, 0.7, 1.0, 1.4)
"""RMS errors in px to fit to, for the curve."""
FRAMES = 5
"""Of a bundle."""
HEADER_BYTES = 7
_ESCAPE_BITS = 16
POSE_FILTER, EXPRESSION_FILTER = (1.5, 0.3), (3.0, 0.5)
"""Minimum cutoff in Hz and its growth, in Hz for each quantiser step a second."""
FPS = 25.0
DRAWN_EVERY = 20
"""Frames from one picture that is drawn to the next."""


@dataclass(frozen=True)
class Coding:
    """A way to code; the defaults are the codec's."""

    entropy: bool = True
    """False: each number in as many bits as its range in the clip needs."""
    predict: bool = True
    """False: every frame by itself."""
    dead_zone: float = HOLD
    filtered: str = ""
    """`pose` or `all`: what goes through a One-Euro filter first."""
    step: int = 1
    """Every so many-th frame is sent."""


@dataclass(frozen=True)
class Figures:
    """Of one way to code; means over clips."""

    bytes_per_frame: float
    error_px: float
    lips: float
    """Correlation of the opening with the one before coding."""
    eyelids: float
    lips_true: float | None
    """Correlation of the opening with that of the landmarks; None without landmarks."""
    eyelids_true: float | None
    trembling_px: float
    """RMS second difference of the keypoints in time."""


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.motion_codec",
        description=ABOUT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--clips", type=Path, required=True, metavar="FOLDER", help="square clips at 25 frames/s")
    parser.add_argument("--fit", type=Path, metavar="FOLDER", help="clips of other people to fit to")
    parser.add_argument("--every", type=int, default=4, metavar="N", help="fit to every N-th of them (default: 4)")
    parser.add_argument("--limit", type=int, metavar="N", help="measure the first N clips only")
    parser.add_argument("--json", type=report_path, metavar="FILE", help="write all figures")
    return parser.parse_args(arguments)


def measure(basis: MotionBasis, clips: Sequence[Recording], coding: Coding) -> Figures:
    """The figures of coding these clips."""
    rows = np.array([_measure_clip(basis, clip, coding) for clip in clips], np.float64)
    means = [float(np.nanmean(column)) if np.isfinite(column).any() else None for column in rows.T]
    rounded = [None if mean is None else round(mean, 4) for mean in means]
    return Figures(*rounded)  # type: ignore[arg-type]


def _measure_clip(basis: MotionBasis, clip: Recording, coding: Coding) -> list[float]:
    vectors, canonical, mesh = clip.vectors[:: coding.step], clip.canonical[:: coding.step], clip.mesh
    count = len(vectors) // FRAMES * FRAMES
    motions = [Motion.from_vector(vector) for vector in vectors[:count]]
    numbers = np.stack([basis.numbers(motion) for motion in motions])
    if coding.filtered:
        numbers = filtered(numbers, len(basis.coded_pose), coding)
    integers = quantised(numbers, coding)
    size = HEADER_BYTES * count / FRAMES + coded_bytes(integers, basis, coding)
    before = _keypoints(canonical, motions)
    after = _keypoints(canonical, [basis.motion(row) for row in integers])
    error = np.sqrt(((after - before)[..., :2] ** 2).sum(-1).mean())
    trembling = np.sqrt((np.diff(after[..., :2], n=2, axis=0) ** 2).sum(-1).mean())
    lips, eyelids = openings(after)
    lips_before, eyelids_before = openings(before)
    true = (float("nan"), float("nan"))
    if mesh is not None:
        points, ok = mesh.points[:: coding.step][:count], mesh.ok[:: coding.step][:count]
        lips_mesh, eyelids_mesh = openings(points, of_mesh=True)
        true = correlation(lips[ok], lips_mesh[ok]), correlation(eyelids[ok], eyelids_mesh[ok])
    return [size / count, error, correlation(lips, lips_before), correlation(eyelids, eyelids_before), *true, trembling]


def filtered(numbers: Floats, pose_count: int, coding: Coding) -> Floats:
    """(T, D) numbers after One-Euro filters."""
    parts = [numbers[:, :pose_count], numbers[:, pose_count:]]
    for index, (cutoff, growth) in enumerate((POSE_FILTER, EXPRESSION_FILTER)[: 1 + (coding.filtered == "all")]):
        smooth = OneEuro(cutoff, growth)
        parts[index] = np.stack([smooth(row, coding.step / FPS) for row in parts[index]])
    return np.concatenate(parts, axis=1)


def quantised(numbers: Floats, coding: Coding) -> NDArray[np.int64]:
    """(T, D) integers."""
    integers: list[NDArray[np.int64]] = []
    for row in numbers:
        integers.append(held(row, integers[-1] if integers else None, coding.dead_zone))
    return np.stack(integers)


def coded_bytes(integers: NDArray[np.int64], basis: MotionBasis, coding: Coding) -> float:
    """Bytes of (T, D) integers in bundles, headers left out; the range coder's loss of less than a byte is counted."""
    bundles = len(integers) // FRAMES
    if not coding.entropy:
        spans = integers.max(0) - integers.min(0) + 1
        return len(integers) * float(np.ceil(np.log2(np.maximum(spans, 2))).sum()) / 8
    is_first = np.arange(len(integers)) % FRAMES == 0
    if not coding.predict:
        is_first[:] = True
    bits = code_length(integers[is_first], basis.intra_tables, basis.reach)
    if coding.predict:
        changes = np.diff(integers[: bundles * FRAMES].reshape(bundles, FRAMES, -1), axis=1)
        context = context_tables(changes, basis.activity, basis.context_edges)
        for number, tables in enumerate(basis.inter_tables):
            chosen = context == number
            bits += code_length(changes, tables, basis.reach, chosen)
    return bits / 8 + 0.5 * bundles


def code_length(
    integers: NDArray[np.int64],
    tables: Sequence[FrequencyTable],
    reach: int,
    chosen: NDArray[np.bool_] | None = None,
) -> float:
    """Bits that an ideal coder with these tables takes for (..., D) integers, or the chosen ones; escapes included."""
    bits = 0.0
    for number, table in enumerate(tables):
        column = integers[..., number]
        if chosen is not None:
            column = column[chosen[..., number]]
        frequencies = np.array(table.frequencies, np.float64)
        at = np.where(np.abs(column) <= reach, column + reach, len(frequencies) - 1)
        at = np.where(frequencies[at] > 0, at, len(frequencies) - 1)
        bits += float(np.log2(TOTAL / frequencies[at]).sum()) + _ESCAPE_BITS * int((at == len(frequencies) - 1).sum())
    return bits


def encoded_bytes(basis: MotionBasis, clips: Sequence[Recording], step: int = 1) -> float:
    """Payload bytes a frame that the codec itself writes, mean over clips: the computed figures must agree."""
    means = []
    for clip in clips:
        motions = [Motion.from_vector(vector) for vector in clip.vectors[::step]]
        encoder = BundleEncoder(basis)
        sizes = [
            len(encoder.encode(Bundle(at, 0, 0, 40.0 * step, tuple(motions[at : at + FRAMES]))))
            for at in range(0, len(motions) - FRAMES + 1, FRAMES)
        ]
        means.append(np.mean(sizes) / FRAMES)
    return round(float(np.mean(means)), 4)


def picture_loss(paths: Sequence[Path], clips: Sequence[Recording], basis: MotionBasis) -> float:
    """dB of PSNR (luma) that coding the motion costs the picture drawn from a clip's first frame; mean over clips."""
    engine, lost = load_engine("compact", "cpu"), []
    for path, clip in zip(paths, clips, strict=True):
        frames = read_frames(path, SIZE)
        motions = [Motion.from_vector(vector) for vector in clip.vectors]
        source = [(engine.prepare(frames[0], clip.canonical[0], motions[0]), 1.0)]
        received = quantise(motions, basis)
        for at in range(2 * FRAMES - 1, len(motions), DRAWN_EVERY):
            coded = received[at]
            assert coded is not None
            true, before, after = (
                luma(p) for p in (frames[at], engine.draw(source, motions[at]), engine.draw(source, coded))
            )
            lost.append(psnr(true, before) - psnr(true, after))
    return round(float(np.mean(lost)), 4)


def correlation(a: Floats, b: Floats) -> float:
    """Pearson's; NaN where one does not move."""
    return float(np.corrcoef(a, b)[0, 1]) if len(a) > 1 and a.std() and b.std() else float("nan")


def study(clips: Sequence[Recording], others: Sequence[Recording], progress: Progress) -> dict[str, Any]:
    """The curve and the parts, with bases fitted to `others`."""
    vectors = [clip.vectors for clip in others]
    canonical = np.asarray(np.concatenate([clip.canonical for clip in others]).mean(0), np.float32)
    importance = keypoint_importance()
    k = len(importance)
    in_plane = np.eye(3 * k).reshape(k, 3, 3 * k)[:, :2].reshape(2 * k, 3 * k)

    def fitted(name: str, **options: Any) -> MotionBasis:
        progress.begin(f"fitting: {name}", 4.0)
        return fit(vectors, canonical, **({"importance": importance} | options))

    curve, full = [], None
    for target in TARGETS:
        try:
            basis = fitted(f"{target:g} px", target_error=target)
        except ValueError as error:
            if target == TARGET_ERROR:
                raise
            print(f"\nleft out of the curve: {error}", file=sys.stderr)
            continue
        full = basis if target == TARGET_ERROR else full
        curve.append({"target_px": target, "components": len(basis.components)} | {
            f"{FPS / step:g}_hz": asdict(measure(basis, clips, Coding(step=step))) for step in (1, 2)
        })  # fmt: skip
    assert full is not None
    parts: dict[str, tuple[MotionBasis, Coding]] = {
        "the codec": (full, Coding()),
        "without entropy coding": (full, Coding(entropy=False, predict=False)),
        "without PCA": (fitted("without PCA", directions=in_plane), Coding()),
        "without prediction": (full, Coding(predict=False, dead_zone=0.5)),
        "without contexts": (fitted("without contexts", edges=()), Coding()),
        "without hold": (fitted("without hold", dead_zone=0.5), Coding(dead_zone=0.5)),
        "without importance": (fitted("without importance", importance=None), Coding()),
        "with One-Euro on pose": (full, Coding(filtered="pose")),
        "with One-Euro on all": (full, Coding(filtered="all")),
    }
    return {
        "curve": curve,
        "parts": {name: asdict(measure(basis, clips, coding)) for name, (basis, coding) in parts.items()},
        "one_euro_frames_to_90_percent": {
            f"step of {size} quantiser steps, {name}": rise_frames(OneEuro(*settings), size, 1 / FPS)
            for name, settings in (("pose", POSE_FILTER), ("expression", EXPRESSION_FILTER))
            for size in (2, 10, 40)
        },
    }


def run(args: argparse.Namespace) -> dict[str, Any]:
    """All figures. Raises ValueError where clips are missing, EngineError."""
    torch.set_num_threads(1)
    paths = find_clips(args.clips, SIZE, args.limit)
    others = find_clips(args.fit, SIZE)[:: args.every] if args.fit else []
    progress = Progress(len(paths) + len(others) + (4.0 * (len(TARGETS) + 4) if others else 0.0))
    clips = [record(path, progress) for path in paths]
    basis = load_basis("compact")
    report: dict[str, Any] = {
        "clips": [clip.name for clip in clips],
        "raw_fp16_bytes": 2 * clips[0].vectors.shape[1],
        "embedded": {
            "hash": basis.hash, "components": len(basis.components),
            **{f"{FPS / step:g}_hz": asdict(measure(basis, clips, Coding(step=step))) | {
                "encoded_bytes_per_frame": encoded_bytes(basis, clips, step)} for step in (1, 2)},
            "picture_db_lost": picture_loss(paths, clips, basis),
        },
    }  # fmt: skip
    if others:
        report["fitted_to"] = len(others)
        report |= study(clips, [record(path, progress) for path in others], progress)
    progress.close("")
    return report


def table(report: dict[str, Any]) -> str:
    """The figures for people."""
    head = f"{'':30}{'bytes a':>9}{'error':>8}{'lips':>8}{'lids':>8}{'lips to':>9}{'lids to':>9}{'trem-':>8}"
    units = f"{'':30}{'frame':>9}{'px':>8}{'kept':>8}{'kept':>8}{'truth':>9}{'truth':>9}{'bling':>8}"
    count, raw = len(report["clips"]), report["raw_fp16_bytes"]
    lines = [f"{count} clips, {FRAMES} frames a bundle; raw fp16: {raw} bytes a frame", "", head, units]
    for rate in ("25_hz", "12.5_hz"):
        lines.append(_row(f"embedded basis, {rate.replace('_hz', ' Hz')}", report["embedded"][rate]))
    for point in report.get("curve", ()):
        for rate in ("25_hz", "12.5_hz"):
            name = f"fitted to {point['target_px']:g} px, {rate.replace('_hz', ' Hz')}"
            lines.append(_row(name, point[rate]))
    lines += [
        f"PSNR of the drawn picture lost by coding the motion: {report['embedded']['picture_db_lost']:.3f} dB",
        "",
    ]
    for name, figures in report.get("parts", {}).items():
        lines.append(_row(name, figures))
    for name, frames in report.get("one_euro_frames_to_90_percent", {}).items():
        lines.append(f"One-Euro, {name}: 90 % reached after {frames} frames")
    return "\n".join(lines).rstrip()


@command("motion_codec", ValueError, OSError)
def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, prints the figures and writes them where that was asked for."""
    args = parse(arguments)
    report = run(args)
    print(table(report))
    if args.json is not None:
        write_report(args.json, report)


def _keypoints(canonical: FloatArray, motions: Sequence[Motion]) -> Floats:
    """(T, K, 3) in px."""
    points = [keypoints(c, motion) for c, motion in zip(canonical, motions, strict=False)]
    return np.asarray(np.stack(points) * PIXELS, np.float64)


def _row(name: str, figures: dict[str, float | None]) -> str:
    def show(key: str, form: str, width: int) -> str:
        value = figures[key]
        return f"{'-' if value is None else format(value, form):>{width}}"

    return (
        f"{name:30}{show('bytes_per_frame', '.2f', 9)}{show('error_px', '.3f', 8)}{show('lips', '.3f', 8)}"
        f"{show('eyelids', '.3f', 8)}{show('lips_true', '.3f', 9)}{show('eyelids_true', '.3f', 9)}"
        f"{show('trembling_px', '.2f', 8)}"
    )


if __name__ == "__main__":
    sys.exit(main())
