"""What each engine takes on one device: milliseconds a stage, frames a second in batches, memory."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from receiver.output.window import compose
from receiver.upscale import DEFAULT_UPSCALER, Upscaler, load_upscaler
from sender.sample import sample_frames
from shared.cores import Work, settle
from shared.models import openvino_engine
from shared.models.base_fusion import BasePicture
from shared.models.batching import DrawsMany, draw_many, warm_up
from shared.models.engine import Engine, EngineError, Picture, Request
from shared.models.precision import narrow_pays
from shared.models.registry import ENGINES, load_engine
from shared.motion import FloatArray, Motion

BATCHES = (1, 8, 32)
UPSCALED_FROM = 128
"""px of the small source that the upscaler enlarges."""
_FRAMES = 8
"""Different motions that are drawn in turn."""
_MIB = 1 << 20
_STATUS = Path("/proc/self/status")

Stage = dict[str, float]


@dataclass(frozen=True)
class Budget:
    """How long to measure: so many runs, but no new one once the time is over."""

    repeats: int
    seconds: float


@dataclass(frozen=True, eq=False)
class Case:
    """An engine with something to draw."""

    engine: Engine
    pictures: list[Picture]
    canonical: FloatArray
    motions: list[Motion]
    sources: list[Any]

    @staticmethod
    def make(engine: Engine) -> Case:
        """From the first frames of the sample."""
        pictures = [picture for _, picture in sample_frames(25, _FRAMES / 25, engine.size)]
        found = [engine.extract(picture) for picture in pictures]
        sources = [engine.prepare(pictures[at], *found[at]) for at in (0, -1)]
        return Case(engine, pictures, found[0][0], [motion for _, motion in found], sources)

    def requests(self, count: int, with_base: bool = False) -> Iterator[Request]:
        """Frames from `count` sources, again and again; with a base of 128 px that is a frame old."""
        sources = [(source, 1.0) for source in self.sources[:count]]
        bases: list[BasePicture | None] = [None] * len(self.motions)
        if with_base:
            small = [cv2.resize(picture, (128, 128), interpolation=cv2.INTER_AREA) for picture in self.pictures]
            bases = [
                BasePicture(np.asarray(p, np.uint8), m, 0.04, 63) for p, m in zip(small, self.motions, strict=True)
            ]
        before = [*bases[-1:], *bases[:-1]]
        return cycle([Request(sources, motion, base) for motion, base in zip(self.motions, before, strict=True)])


def engine_figures(
    device: str, engines: Sequence[str], sizes: Sequence[int], batches: Sequence[int], budget: Budget
) -> dict[str, Any]:
    """Figures by engine (and backend or precision, on a CPU) and size; `left_out` says why one is not among them."""
    figures: dict[str, Any] = {"device": _device_name(device), "left_out": {}}
    settle(Work(draws=True))
    for name in engines:
        for label, options in variants(name, device).items():
            for size in sizes:
                print(f"measuring {label} at {size} px", file=sys.stderr, flush=True)
                _reset_memory(device)
                try:
                    engine = load_engine(name, device, size=size, **options)
                except EngineError as error:
                    figures["left_out"][f"{label} at {size} px"] = str(error)
                    break  # a larger picture takes the same files
                figures.setdefault(label, {})[str(size)] = _measured(engine, device, batches, budget)
    return figures


def _measured(engine: Engine, device: str, batches: Sequence[int], budget: Budget) -> dict[str, Any]:
    together = [batch for batch in batches if batch == 1 or isinstance(engine, DrawsMany)]
    began = time.perf_counter()
    warm_up(engine, 1, max(together, default=1))
    figures: dict[str, Any] = {"warm_up_s": round(time.perf_counter() - began, 2)}
    case = Case.make(engine)
    upscaler = load_upscaler(DEFAULT_UPSCALER, None, device)
    figures |= _stages(case, upscaler, device, budget)
    figures["fps"] = {str(batch): _frames_a_second(case, batch, budget) for batch in together}
    return figures | {"peak_memory_mib": _peak_memory(device)}


def _stages(case: Case, upscaler: Upscaler, device: str, budget: Budget) -> dict[str, Stage]:
    engine, pictures, singles, pairs = case.engine, cycle(case.pictures), case.requests(1), case.requests(2)
    based = case.requests(2, True)
    first, own = case.pictures[0], case.motions[0]
    small = np.ascontiguousarray(first[:: engine.size // UPSCALED_FROM, :: engine.size // UPSCALED_FROM])
    works: dict[str, Callable[[], object]] = {
        "motion": lambda: engine.extract(next(pictures)),
        "source": lambda: engine.prepare(first, case.canonical, own),
        "synthesis": lambda: engine.draw(*next(singles)),
        "synthesis_two_sources": lambda: engine.draw(*next(pairs)),
        "synthesis_two_sources_and_base": lambda: engine.draw(*next(based)),
        "upscale": lambda: upscaler.upscale(small, engine.size),
        "display": lambda: compose(first, "25.0 fps"),
    }
    return {name: stage(runs(_finished(work, device), budget)) for name, work in works.items()}


def _frames_a_second(case: Case, batch: int, budget: Budget) -> float:
    """Of frames from one source, drawn `batch` at a time."""
    requests = case.requests(1)
    times = runs(lambda: draw_many(case.engine, list(islice(requests, batch))), budget)
    return round(batch / float(np.median(times)), 2)


def runs(work: Callable[[], object], budget: Budget) -> list[float]:
    """Seconds of each run, at least one; a first one, which pays for what is set up once, is left out."""
    work()
    times: list[float] = []
    end = time.perf_counter() + budget.seconds
    while not times or (len(times) < budget.repeats and time.perf_counter() < end):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return times


def stage(seconds: Sequence[float]) -> Stage:
    """Median and 95th percentile in ms."""
    ms = 1000 * np.asarray(seconds)
    return {"median_ms": round(float(np.median(ms)), 3), "p95_ms": round(float(np.percentile(ms, 95)), 3)}


def engine_table(figures: dict[str, Any]) -> str:
    """The figures for people."""
    lines = [f"engines on {figures['device']}, ms: median (p95); frames/s from one source by size of batch"]
    for label, sizes in figures.items():
        if label in ("device", "left_out"):
            continue
        for size, found in sizes.items():
            lines.append(f"  {label} at {size} px")
            for name, each in found.items():
                if isinstance(each, dict) and "median_ms" in each:
                    lines.append(f"    {name.replace('_', ' '):24}{each['median_ms']:>10.2f} ({each['p95_ms']:.2f})")
            rates = ", ".join(f"{fps:.1f} by {batch}" for batch, fps in found["fps"].items())
            lines.append(f"    {'frames/s':24}{rates}")
            memory = "unknown" if found["peak_memory_mib"] is None else f"{found['peak_memory_mib']:.0f} MiB"
            lines.append(f"    {'memory at most':24}{memory}; warmed up in {found['warm_up_s']:.1f} s")
    lines += [f"  left out: {label}: {reason}" for label, reason in figures["left_out"].items()]
    return "\n".join(lines)


def variants(name: str, device: str) -> dict[str, dict[str, Any]]:
    """The ways in which an engine can draw on a device, by label: options of `load_engine`."""
    if name != ENGINES[0] or device != "cpu":
        return {name: {}}
    found: dict[str, dict[str, Any]] = {name: {"precision": "fp32"}}
    if openvino_engine.installed():
        found[f"{name}, openvino"] = {"backend": "openvino"}
    if narrow_pays(torch.device(device)):
        found[f"{name}, bf16"] = {"precision": "bf16"}
    return found


def _finished(work: Callable[[], object], device: str) -> Callable[[], object]:
    """The work with all that it has the device do."""
    if device != "cuda":
        return work

    def whole() -> object:
        out = work()
        torch.cuda.synchronize()
        return out

    return whole


def _device_name(device: str) -> str:
    return torch.cuda.get_device_name() if device == "cuda" else f"the CPU, {torch.get_num_threads()} thread(s) a frame"


def _reset_memory(device: str) -> None:
    """Peaks count from now on."""
    if device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    with contextlib.suppress(OSError):  # Linux alone has it
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def _peak_memory(device: str) -> float | None:
    """MiB: on a GPU what PyTorch took there, on a CPU the whole process; None where that cannot be known."""
    if device == "cuda":
        return round(torch.cuda.max_memory_reserved() / _MIB, 1)
    if not _STATUS.is_file():
        return None
    lines = _STATUS.read_text(encoding="ascii", errors="replace").splitlines()
    return next((round(int(line.split()[1]) / 1024, 1) for line in lines if line.startswith("VmHWM")), None)
