"""python -m benchmarks.speed: milliseconds a frame of each stage, and the frames/s that either end sustains."""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.command import command
from benchmarks.engine_speed import BATCHES, UPSCALED_FROM, Budget, Stage, engine_figures, engine_table, stage
from receiver.output.recorder import Recorder
from receiver.upscale import DEFAULT_UPSCALER, load_upscaler
from sender.call_recording import play
from sender.capture import SampleCapture
from sender.crop import cut, whole_square
from sender.encoder import CallEncoder, EncoderSettings
from sender.framing import Framer
from sender.refresh import DEFAULT_POSE_THRESHOLD, PoseMoved
from sender.sample import sample_frames
from shared.call.report import write_report
from shared.codec.bundle import Bundle, decode_bundle, encode_bundle
from shared.codec.motion_basis import MotionBasis
from shared.codec.picture import decode_picture, encode_picture
from shared.cores import DRAWERS, Work, available, settle, workers
from shared.models.batching import warm_up
from shared.models.engine import SIZES, Engine, EngineError, Picture
from shared.models.registry import ENGINES, choose_device, load_basis, load_engine
from shared.motion import FloatArray, Motion, keypoints
from shared.transport.pacing import FIRST_RATE, PicturePacer

ABOUT = """\
Times each stage of a call on the built-in sample, one after the other with nothing else going on: median and 95th
percentile in milliseconds a frame, or a source. Thread counts are those of sender and receiver. Then the whole chain
of either end runs as fast as it can, without a network. Last, every engine whose weights are on this machine: its
stages, frames drawn in batches, and memory. Other work on the machine shows in every figure.
"""

FPS = 25.0
BUNDLE = 5
CANVAS = (640, 480)
"""Width and height of the camera picture that framing is timed on."""
_SAMPLE_FRAMES = 50


@dataclass(frozen=True, eq=False)
class Material:
    """What the stages work on: two seconds of the sample."""

    engine: Engine
    basis: MotionBasis
    pictures: list[Picture]
    canonical: FloatArray
    motions: list[Motion]
    repeats: int

    @staticmethod
    def make(engine: Engine, basis: MotionBasis, repeats: int) -> Material:
        """Draws the sample and extracts its motions."""
        pictures = [picture for _, picture in sample_frames(FPS, _SAMPLE_FRAMES / FPS, engine.size)]
        found = [engine.extract(picture) for picture in pictures]
        return Material(engine, basis, pictures, found[0][0], [motion for _, motion in found], repeats)

    def bundles(self) -> Iterator[Bundle]:
        """Bundles of consecutive frames, again and again."""
        starts = range(0, _SAMPLE_FRAMES - BUNDLE + 1, BUNDLE)
        made = [Bundle(at, 40 * at, 1, 1000 / FPS, tuple(self.motions[at : at + BUNDLE])) for at in starts]
        return cycle(made)


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.speed", description=ABOUT, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures")
    parser.add_argument("--seconds", type=float, default=6.0, metavar="S",
                        help="of the sample that each chain works through (default: 6)")  # fmt: skip
    parser.add_argument("--repeats", type=int, default=60, metavar="N", help="of every stage (default: 60)")
    parser.add_argument("--engine", choices=ENGINES, default="compact", help="of the chains (default: %(default)s)")
    parser.add_argument("--engines", choices=ENGINES, nargs="+", default=ENGINES, metavar="NAME",
                        help=f"of the comparison (default: {' '.join(ENGINES)})")  # fmt: skip
    parser.add_argument("--sizes", type=int, choices=SIZES, nargs="+", default=SIZES, metavar="PX",
                        help=f"of the comparison (default: {' '.join(map(str, SIZES))})")  # fmt: skip
    parser.add_argument("--batches", type=int, nargs="+", default=BATCHES, metavar="N",
                        help=f"of the comparison (default: {' '.join(map(str, BATCHES))})")  # fmt: skip
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    args = parser.parse_args(arguments)
    if args.repeats < 1 or args.seconds <= 0 or min(args.batches) < 1:
        parser.error("--repeats, --seconds and --batches must be positive")
    return args


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Every figure. Raises EngineError."""
    device = choose_device(args.device)
    basis = load_basis(args.engine)
    settle(Work(extracts=True))
    material = Material.make(load_engine(args.engine, args.device), basis, args.repeats)
    settings = {"repeats": args.repeats, "seconds": args.seconds, "precision": material.engine.precision}
    report: dict[str, Any] = {"machine": _machine(), "settings": settings}
    report["sender"] = sender_stages(material) | {"fps": sender_fps(args, basis)}
    report["receiver"] = receiver_stages(material)
    report["receiver"] |= {"fps": receiver_fps(material, args.seconds)}
    budget = Budget(args.repeats, args.seconds)
    report["engines"] = engine_figures(device, args.engines, args.sizes, args.batches, budget)
    return report


def sender_stages(material: Material) -> dict[str, Stage]:
    """Stages of the sender, one thread."""
    pictures, repeats = cycle(material.pictures), material.repeats
    bundles, basis = material.bundles(), material.basis
    return {
        "framing": time_framing(material),
        "motion": timed(lambda: material.engine.extract(next(pictures)), repeats),
        "motion_encode": timed(lambda: encode_bundle(next(bundles), basis), repeats, BUNDLE),
        "picture_encode": timed(lambda: encode_picture(next(pictures)), repeats),
    }


def receiver_stages(material: Material) -> dict[str, Stage]:
    """Stages of the receiver; synthesis with all cores and with one thread."""
    engine, repeats, first = material.engine, material.repeats, material.pictures[0]
    own = material.motions[0]
    bundles = material.bundles()
    messages = cycle([encode_bundle(next(bundles), material.basis) for _ in range(_SAMPLE_FRAMES // BUNDLE)])
    codec, data = encode_picture(first)
    small, upscaler = cut(first, whole_square(first), UPSCALED_FROM), load_upscaler(DEFAULT_UPSCALER)
    torch.set_num_threads(available())
    warm_up(engine)
    source, motions = engine.prepare(first, material.canonical, own), cycle(material.motions)
    stages = {
        "motion_decode": timed(lambda: decode_bundle(next(messages), material.basis), repeats, BUNDLE),
        "picture_decode": timed(lambda: decode_picture(codec, data, *first.shape[1::-1]), repeats),
        "upscale": timed(lambda: upscaler.upscale(small, engine.size), repeats),
        "synthesis": timed(lambda: engine.draw([(source, 1.0)], next(motions)), repeats),
        "synthesis_two_sources": timed(lambda: engine.draw([(source, 1.0)] * 2, next(motions)), repeats),
    }
    torch.set_num_threads(1)
    stages["source"] = timed(lambda: engine.prepare(first, material.canonical, own), repeats)
    stages["synthesis_one_thread"] = timed(lambda: engine.draw([(source, 1.0)], next(motions)), repeats)
    with tempfile.TemporaryDirectory() as folder, Recorder(Path(folder) / "o.mp4", FPS, engine.size) as recorder:
        pictures = cycle(material.pictures)
        stages["recording"] = timed(lambda: recorder.write(next(pictures)), repeats)
    return stages


def time_framing(material: Material) -> Stage:
    """Framing without the motion extraction that it follows by: the crop is found, cut and corrected every frame."""
    width, height = CANVAS
    canvases = _canvases(height, width, min(material.repeats, _SAMPLE_FRAMES))
    framer, frames, times = Framer(FPS), cycle(canvases), []
    for _ in range(material.repeats):
        canvas = next(frames)
        began = time.perf_counter()
        framed = framer.update(canvas)
        picture = cut(canvas, framed.crop or whole_square(canvas), material.engine.size)
        times.append(time.perf_counter() - began)
        canonical, motion = material.engine.extract(picture)
        began = time.perf_counter()
        framer.follow(keypoints(canonical, motion))
        times[-1] += time.perf_counter() - began
    return stage(times)


def sender_fps(args: argparse.Namespace, basis: MotionBasis) -> float:
    """Frames/s of the sender's chain on the sample, drawing the sample included; picture coding too, in this thread."""
    engine = load_engine(args.engine, args.device, draws=False)
    pacer = PicturePacer(later_rate=FIRST_RATE)
    half = CallEncoder(EncoderSettings(FPS, BUNDLE), engine, basis, PoseMoved(DEFAULT_POSE_THRESHOLD), pacer)
    began = time.perf_counter()
    for _ in play(half, SampleCapture(), args.seconds):
        pass
    return round(half.counts.frames_sent / (time.perf_counter() - began), 2)


def receiver_fps(material: Material, seconds: float) -> float:
    """Frames/s of the receiver's chain: bundles decoded here, frames drawn in as many threads as in a call."""
    bundles, count = material.bundles(), max(1, round(seconds * FPS / BUNDLE))
    messages = [encode_bundle(next(bundles), material.basis) for _ in range(count)]
    source = material.engine.prepare(material.pictures[0], material.canonical, material.motions[0])
    drawing: deque[Future[Picture]] = deque()
    with workers(DRAWERS, "drawing", settle(Work(draws=True)).drawing) as pool:
        for ready in [pool.submit(warm_up, material.engine) for _ in range(DRAWERS)]:
            ready.result()
        began = time.perf_counter()
        for data in messages:
            for motion in decode_bundle(data, material.basis).frames:
                assert motion is not None
                drawing.append(pool.submit(material.engine.draw, [(source, 1.0)], motion))
                while len(drawing) > DRAWERS:
                    drawing.popleft().result()
        while drawing:
            drawing.popleft().result()
        return round(count * BUNDLE / (time.perf_counter() - began), 2)


def timed(work: Callable[[], object], repeats: int, frames: int = 1) -> Stage:
    """Median and 95th percentile in ms a frame of `repeats` runs, each of which does `frames` frames."""
    work()  # the first run pays for what is set up once
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        times.append((time.perf_counter() - began) / frames)
    return stage(times)


def table(report: dict[str, Any]) -> str:
    """The figures for people."""
    machine = report["machine"]
    lines = [f"{machine['cpu']}, {machine['cores']} cores, torch {machine['torch']}, "
             f"load {machine['load']} before the measurement, {report['settings']['precision']}"]  # fmt: skip
    for end, does in (("sender", "captures, analyses and codes"), ("receiver", "decodes and draws")):
        lines += ["", f"{end + ', ms a frame':28}{'median':>9}{'p95':>9}"]
        for name, each in report[end].items():
            if isinstance(each, dict):
                lines.append(f"  {name.replace('_', ' '):26}{each['median_ms']:>9.2f}{each['p95_ms']:>9.2f}")
        lines.append(f"  {does} {report[end]['fps']:.1f} frames/s")
    lines += [
        "",
        f"Framing is on {CANVAS[0]}x{CANVAS[1]} px. Picture encode and decode, upscale ({DEFAULT_UPSCALER}, "
        f"from {UPSCALED_FROM} px) and source happen",
        f"once a source, not once a frame. Synthesis uses {machine['cores']} threads; in a call {DRAWERS} frames are "
        "drawn at a time.",
        "",
        engine_table(report["engines"]),
    ]
    return "\n".join(lines)


@command("speed", EngineError, OSError)
def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, prints the figures and writes them where that was asked for."""
    args = parse(arguments)
    report = run(args)
    print(table(report))
    if args.json is not None:
        write_report(args.json, report)


def _canvases(height: int, width: int, count: int) -> list[Picture]:
    """The sample in the middle of a camera picture, its background continued to the sides."""
    side = (width - height) // 2
    padding = ((0, 0), (side, width - height - side), (0, 0))
    frames = sample_frames(FPS, count / FPS, height)
    return [np.asarray(np.pad(picture, padding, mode="edge"), np.uint8) for _, picture in frames]


def _machine() -> dict[str, Any]:
    cpuinfo = Path("/proc/cpuinfo")
    models = [
        line.partition(":")[2].strip()
        for line in (cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.is_file() else [])
        if line.startswith("model name")
    ]
    load = round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None
    return {
        "cores": available(),
        "cpu": models[0] if models else platform.processor() or platform.machine(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "load": load,
    }


if __name__ == "__main__":
    sys.exit(main())
