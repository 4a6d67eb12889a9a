"""What a GPU makes of the engines: `python -m weights.training.gpu_check --help`.

Pictures of the GPU beside those of the CPU, CUDA graphs beside single steps, milliseconds and frames a second of every
engine. It needs what training needs: torch, numpy, OpenCV, safetensors. Without a GPU it does the same in small on the
CPU, where it measures nothing of interest but shows that all of it runs.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from shared.models.base_fusion import BasePicture
from shared.models.compact import CompactNetwork
from shared.models.dense_motion import GENERATORS
from shared.models.engine import SIZES, CompactEngine, EngineError, Picture, Request
from shared.models.frame import Frame, frame_numbers
from shared.models.graphs import StaticFrames, repeated
from shared.models.vox256.generator import Generator
from shared.models.vox256.motion import KEYPOINTS as VOX_KEYPOINTS
from shared.signals import ended_by_signals
from weights.training.export import export
from weights.training.pieces import read_pieces

_EMBEDDED = Path(__file__).parent.parent
_BASE_SIDE, _BASE_CRF = 128, 63


@dataclass(frozen=True)
class Effort:
    """How much is measured."""

    batches: tuple[int, ...]
    sizes: tuple[int, ...]
    seconds: float
    """For each figure, a first run not counted"""
    pictures: int
    every: bool
    """Engine, not `compact` alone: the published one takes 20 s a frame on a CPU"""


FULL = Effort((1, 8, 32, 128), SIZES, 0.4, 8, True)
SMALL = Effort((1,), SIZES[:1], 0.0, 2, False)


@dataclass(frozen=True, eq=False)
class Case:
    """An engine with something to draw."""

    engine: CompactEngine
    requests: list[Request]

    @staticmethod
    def make(engine: CompactEngine, pictures: Sequence[Picture], sources: int = 1, based: bool = False) -> Case:
        """Frames of `pictures`, (S, S, 3) of any size, from the first of them (and the last)."""
        side = engine.size
        own = [np.asarray(cv2.resize(each, (side, side), interpolation=cv2.INTER_CUBIC), np.uint8) for each in pictures]
        found = [engine.extract(picture) for picture in own]
        held = [(engine.prepare(own[at], *found[at]), 1.0) for at in (0, -1)[:sources]]
        requests = []
        for picture, (_, motion) in zip(own, found, strict=True):
            small = cv2.resize(picture, (_BASE_SIDE, _BASE_SIDE), interpolation=cv2.INTER_AREA)
            base = BasePicture(np.asarray(small, np.uint8), motion, 0.04, _BASE_CRF) if based else None
            requests.append(Request(held, motion, base))
        return Case(engine, requests)

    def some(self, count: int) -> list[Request]:
        """So many requests, the same ones again and again."""
        return list(islice(cycle(self.requests), count))


def check(
    weights: dict[str, tuple[Path, Path]], pictures: Sequence[Picture], device: str, effort: Effort
) -> dict[str, Any]:
    """All figures, to be written as JSON. weights: files of motion network and generator by the engine's name."""
    out: dict[str, Any] = {
        "device": torch.cuda.get_device_name() if device == "cuda" else "the CPU, in small: no GPU was found",
        "torch": torch.__version__, "parity": {}, "graphs": {}, "engines": {}, "player": {}, "left_out": {},
    }  # fmt: skip
    for name, files in weights.items():
        for size in effort.sizes:
            print(f"checking {name} at {size} px", file=sys.stderr, flush=True)
            label = f"{name} {size}"
            engine = CompactEngine(*files, device, size)
            out["parity"][label] = _parity(engine, CompactEngine(*files, "cpu", size), pictures)
            out["graphs"][label] = _graphs(files, pictures, device, effort)
            out["engines"][label] = _engine(engine, pictures, device, effort)
            case = Case.make(engine, pictures, sources=2, based=True)
            out["player"][label] = _by_batch(case, device, effort)
    if effort.every:
        for size in effort.sizes:
            out["engines"][f"vox256 {size}, weights at random"] = _published(size, device, effort)
    else:
        out["left_out"] = {"standard": "ten times the compute, for a GPU", "vox256": "one frame takes 20 s on a CPU"}
    if device == "cuda":
        out["peak_memory_mib"] = round(torch.cuda.max_memory_reserved() / (1 << 20))
    return out


def timed(work: Callable[[], object], device: str, effort: Effort, frames: int = 1) -> dict[str, float]:
    """Median milliseconds of a run, and frames a second if it draws so many."""

    def once() -> float:
        began = time.perf_counter()
        work()
        if device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - began

    if effort.seconds:
        once()
    end, times = time.perf_counter() + effort.seconds, [once()]
    while time.perf_counter() < end:
        times.append(once())
    median = float(np.median(times))
    return {"ms": round(1000 * median, 3), "frames_per_s": round(frames / median, 1)}


def apart(ours: Sequence[Picture], theirs: Sequence[Picture]) -> dict[str, float]:
    """How far pictures are from each other: the worst PSNR in dB (100: equal) and the largest difference in levels."""
    gaps = [np.abs(a.astype(np.int16) - b) for a, b in zip(ours, theirs, strict=True)]
    error = max(float((gap.astype(np.float64) ** 2).mean()) for gap in gaps)
    psnr = 100.0 if error == 0 else min(100.0, float(10 * np.log10(255**2 / error)))
    return {"worst_psnr": round(psnr, 2), "largest": int(max(gap.max() for gap in gaps))}


def _parity(engine: CompactEngine, cpu: CompactEngine, pictures: Sequence[Picture]) -> dict[str, Any]:
    """Pictures of the device against the CPU's in single precision, each with its own motions and sources."""
    out: dict[str, Any] = {}
    for label, sources, based in (("one source", 1, False), ("two sources", 2, False), ("with a base", 1, True)):
        drawn = [
            each.engine.draw_many(each.requests)
            for each in (Case.make(e, pictures, sources, based) for e in (engine, cpu))
        ]
        out[label] = apart(*drawn)
    ours, theirs = (np.stack([np.ravel(e.extract(p)[0]) for p in pictures]) for e in (engine, cpu))
    return out | {"keypoints": float(np.abs(ours - theirs).max())}


def _graphs(files: tuple[Path, Path], pictures: Sequence[Picture], device: str, effort: Effort) -> dict[str, Any]:
    """The drawing networks captured, against step by step; the whole batch at once."""
    cpu = CompactEngine(*files, "cpu")
    network, where = cpu._network.to(device), torch.device(device)
    case = Case.make(CompactEngine(*files, device), pictures)
    rows = [[source for source, _ in request.sources] for request in case.requests]
    numbers = np.stack([frame_numbers([1.0], request.driving) for request in case.requests])
    frame = Frame(network)
    stepwise = StaticFrames(frame, where, repeated)
    captured = StaticFrames(frame, where) if device == "cuda" else StaticFrames(frame, where, repeated)
    out: dict[str, Any] = apart(list(captured.draw(numbers, rows)), list(stepwise.draw(numbers, rows)))
    for batch in effort.batches:
        given = np.stack(list(islice(cycle(numbers), batch))), list(islice(cycle(rows), batch))
        out[str(batch)] = {
            "captured": timed(partial(captured.draw, *given), device, effort, batch),
            "step by step": timed(partial(stepwise.draw, *given), device, effort, batch),
        }
    return out


def _engine(engine: CompactEngine, pictures: Sequence[Picture], device: str, effort: Effort) -> dict[str, Any]:
    case = Case.make(engine, pictures)
    side = engine.size
    first = np.asarray(cv2.resize(pictures[0], (side, side)), np.uint8)
    canonical, motion = engine.extract(first)
    out: dict[str, Any] = {
        "motion": timed(lambda: engine.extract(first), device, effort),
        "source": timed(lambda: engine.prepare(first, canonical, motion), device, effort),
    }
    return out | _by_batch(case, device, effort)


def _by_batch(case: Case, device: str, effort: Effort) -> dict[str, Any]:
    """As a receiver draws for many calls: frames of all of them at once, in batches that have a graph."""
    return {
        str(batch): timed(partial(case.engine.draw_many, case.some(batch)), device, effort, batch)
        for batch in effort.batches
    }


@torch.inference_mode()
def _published(size: int, device: str, effort: Effort) -> dict[str, Any]:
    network = Generator().eval().to(device)
    volume = network.encode(torch.rand(1, 3, size, size, device=device))
    points = torch.rand(1, VOX_KEYPOINTS, 3, device=device) - 0.5
    out: dict[str, Any] = {}
    for batch in effort.batches:
        rows: list[Tensor] = [each.expand(batch, *each.shape[1:]) for each in (volume, points, points * 0.9)]
        try:
            out[str(batch)] = timed(partial(network.draw, *rows), device, effort, batch)
        except torch.OutOfMemoryError:
            out[str(batch)] = "does not fit"
            torch.cuda.empty_cache()
    return out


def smooth_pictures(count: int, side: int = 256) -> list[Picture]:
    """Pictures with soft shapes that move, where there are none of people."""
    noise = np.random.default_rng(0).integers(0, 256, (9, 9, 3)).astype(np.float32)
    large = np.clip(cv2.resize(noise, (2 * side, 2 * side), interpolation=cv2.INTER_CUBIC), 0, 255).astype(np.uint8)
    return [np.ascontiguousarray(large[4 * n : 4 * n + side, 6 * n : 6 * n + side]) for n in range(count)]


def trained_files(folder: Path | None, into: Path) -> dict[str, tuple[Path, Path]]:
    """Motion network and generator by engine: the pieces that a lease wrote, else the embedded weights.

    `standard` is at random where there are no weights of it: its speed is the same.
    """
    motion, generator = (_EMBEDDED / f"compact_{part}.safetensors" for part in ("motion", "generator"))
    compact = {} if folder is None else read_pieces(folder, "compact")
    if compact:
        save_file(compact, into / "joined.safetensors")
        export(into / "joined.safetensors", into)
        motion, generator = (into / f"compact_{part}.safetensors" for part in ("motion", "generator"))
    standard = {} if folder is None else read_pieces(folder, "standard")
    if not standard:
        torch.manual_seed(0)
        state = CompactNetwork(GENERATORS["standard"]).state_dict()
        standard = {k: v for k, v in state.items() if not k.startswith("motion.")}
    save_file({k: v.contiguous() for k, v in standard.items()}, into / "standard_generator.safetensors")
    return {"compact": (motion, generator), "standard": (motion, into / "standard_generator.safetensors")}


def run(folder: Path | None, device: str, pictures: Sequence[Picture] | None = None) -> dict[str, Any]:
    """The check with the weights of a folder."""
    with tempfile.TemporaryDirectory() as temporary:
        files = trained_files(folder, Path(temporary))
        effort = FULL if device == "cuda" else SMALL
        if not effort.every:
            files = {"compact": files["compact"]}
        return check(files, (pictures or smooth_pictures(effort.pictures))[: effort.pictures], device, effort)


@ended_by_signals("weights.training.gpu_check")
def main(given: list[str] | None = None) -> int:
    """0, or 1 with a sentence on stderr."""
    parser = argparse.ArgumentParser(prog="python -m weights.training.gpu_check", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument(
        "--weights", type=Path, metavar="FOLDER", help="what a lease wrote (default: the embedded ones)"
    )
    parser.add_argument("--out", type=Path, metavar="FILE.json", required=True)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda" if torch.cuda.is_available() else "cpu")
    args = parser.parse_args(given)
    try:
        figures = run(args.weights, args.device)
        args.out.write_text(json.dumps(figures, indent=1), encoding="utf-8")
    except (ValueError, OSError, EngineError) as error:
        print(f"python -m weights.training.gpu_check: {error}", file=sys.stderr)
        return 1
    print(json.dumps(figures["parity"]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
