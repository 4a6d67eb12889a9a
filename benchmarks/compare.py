"""The comparison of one clip: our call, our base layer alone, the baseline and every codec."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import NamedTuple

from benchmarks.base_alone import measure_base
from benchmarks.cache import Cache, Figures
from benchmarks.clip import Clip
from benchmarks.codecs import CODECS, WHOLE, CodecError, Variant
from benchmarks.curves import Point, at_quality, best, envelope, finer, finest_within, measure_point
from benchmarks.judging import Judge
from benchmarks.measure import Measurer, Shown
from benchmarks.ours import CallSettings, OurSide
from benchmarks.progress import Progress
from benchmarks.tables import both_ways, calls
from sender.profiles import BasePoint

_CALL_WORK, _POINT_WORK, _JUDGE_WORK = 12.0, 3.0, 6.0
"""Seconds that each takes for ten seconds of video, roughly: what the progress bar goes by."""


class BasePlan(NamedTuple):
    """What is shown of our base layer alone."""

    point: BasePoint
    """Its size and rate."""
    ladder: Sequence[int]
    """crf of its curve."""
    bundle: float
    """Seconds that a bundle of it spans."""


@dataclass(frozen=True)
class Plan:
    """What is compared."""

    calls: Mapping[str, CallSettings]
    """By their names in the report; `ours` is what the codecs have to meet. None: rivals at `rate`."""
    codecs: Mapping[str, Mapping[Variant, Sequence[int]]]
    """Ladders of each variant by the codec's name."""
    base: BasePlan
    rate: float | None
    """kbit/s on the wire, both directions together, at which rivals are compared where there is no call of ours."""
    vmaf: bool
    judge: Judge | None
    looked_at: bool
    """Whether what rivals show at our rate is looked at, or judged: then it is coded at that rate."""

    @property
    def work(self) -> float:
        """Of a clip, in the progress bar's unit."""
        points = sum(len(ladder) for codec in self.codecs.values() for ladder in codec.values()) + len(self.base.ladder)
        looked_at = 2 * (len(self.codecs) + 1) if self.looked_at else 0
        judged = 0 if self.judge is None else len(self.calls) + len(self.codecs) + 1
        calls = len(self.calls) + 1 if self.calls else 0
        return calls * _CALL_WORK + (points + looked_at) * _POINT_WORK + judged * _JUDGE_WORK


class Comparison:
    """A clip and what came of it."""

    def __init__(self, clip: Clip, plan: Plan, ours: OurSide | None, cache: Cache, progress: Progress) -> None:
        """`ours` is needed where the plan has calls."""
        self.clip = clip
        self.shown: dict[str, Shown] = {}
        """What can be looked at: our calls, and every rival at our rate."""
        self._plan, self._ours, self._progress = plan, ours, progress
        self._measure = Measurer(clip, cache, plan.vmaf)

    def run(self) -> Figures:
        """The clip's report. Raises EngineError, JudgeError and ValueError."""
        plan, ours = self._plan, self._ours
        report: Figures = {"frames": len(self.clip.pictures), "fps": round(self.clip.fps, 3), "rate": plan.rate}
        if ours is not None:
            for name, settings in plan.calls.items():
                report[name] = self._call(ours, name, settings)
            self._begin("face-vid2vid", _CALL_WORK)
            settings = plan.calls["ours"]
            report["face_vid2vid"] = ours.face_vid2vid(self._measure, settings, self._advance).figures
            report["rate"] = round(both_ways(report["ours"]), 3)
        report["base_alone"] = self._base_alone(report)
        report |= {"codecs": {}, "left_out": {}}
        for name in plan.codecs:
            try:
                report["codecs"][name] = self._codec(name, report)
            except CodecError as error:
                report["left_out"][name] = str(error)
        return report

    def point(self, name: str, quantiser: int) -> Figures:
        """A codec at a setting, all frames as they are. Raises CodecError."""
        return asdict(measure_point(self._measure, CODECS[name], quantiser)[0])

    def _call(self, ours: OurSide, name: str, settings: CallSettings) -> Figures:
        self._begin(f"Pinhole, {settings.profile}, pictures of {settings.picture_size} px", _CALL_WORK)
        shown = ours.call(self._measure, settings, self._advance)
        small = settings.picture_size < self.clip.pictures[0].shape[0]
        how = {
            "profile": settings.profile,
            "picture_size": settings.picture_size,
            "upscaler": settings.upscaler if small else None,
        }
        return shown.figures | how | self._judged(name, shown)

    def _base_alone(self, report: Figures) -> Figures:
        base, ladder, seconds = self._plan.base
        bundle = max(1, round(seconds * self.clip.fps))

        def measured(crf: int) -> tuple[Point, Shown]:
            return measure_base(self._measure, base, bundle, crf)

        curve = []
        for crf in ladder:
            self._begin(f"our base alone, crf {crf}", _POINT_WORK)
            curve.append(measured(crf)[0])
        name = f"{base.size} px, {base.rate:g} a second"
        curve += finer(measured, curve, _highest(report))
        return self._rival("base_alone", {name: curve}, {name: measured}, report)

    def _codec(self, name: str, report: Figures) -> Figures:
        codec, curves, ways = CODECS[name], dict[str, list[Point]](), dict[str, Callable[[int], tuple[Point, Shown]]]()
        for variant, ladder in self._plan.codecs[name].items():

            def measured(quantiser: int, variant: Variant = variant) -> tuple[Point, Shown]:
                return measure_point(self._measure, codec, quantiser, variant)

            curves[str(variant)], ways[str(variant)] = [], measured
            for quantiser in ladder:
                self._begin(f"{codec.title}, {variant}, quantiser {quantiser}", _POINT_WORK)
                curves[str(variant)].append(measured(quantiser)[0])
            # a small picture at a fine quantiser is never the best of a codec at a high rate: seen on all dev clips
            wanted = _highest(report) if variant.size == WHOLE.size else report["rate"]
            curves[str(variant)] += finer(measured, curves[str(variant)], wanted)
        return self._rival(name, curves, ways, report)

    def _rival(self, name: str, curves: Mapping[str, Sequence[Point]],
               ways: Mapping[str, Callable[[int], tuple[Point, Shown]]], report: Figures) -> Figures:  # fmt: skip
        rate: float = report["rate"]
        variant, at_our_rate = best(curves, rate)
        if self._plan.looked_at:
            self._begin(f"{name}, at our rate", 2 * _POINT_WORK)
            at_our_rate |= self._judged(name, finest_within(ways[variant], curves[variant], rate))
        figures: Figures = {
            "points": {each: [asdict(point) for point in points] for each, points in curves.items()},
            "envelope": envelope(curves),
            "at_our_rate": at_our_rate,
            "at_rungs": {call: best(curves, round(both_ways(report[call]), 3))[1] for call in calls(report)},
        }
        return figures | ({"at_our_quality": at_quality(curves, report["ours"]["ms_ssim"])} if "ours" in report else {})

    def _judged(self, name: str, shown: Shown) -> Figures:
        self.shown[name] = shown
        if self._plan.judge is None:
            return {}
        self._begin(f"judging {name}", _JUDGE_WORK)
        return {"judge": self._plan.judge(self._measure, shown)}

    def _begin(self, what: str, work: float) -> None:
        self._progress.begin(f"{self.clip.name}: {what}", work)

    def _advance(self) -> None:
        self._progress.advance(1 / len(self.clip.pictures))


def _highest(report: Figures) -> float:
    """kbit/s on the wire, both directions together: the most at which rivals are compared."""
    rates: list[float] = [report["rate"], *(both_ways(report[call]) for call in calls(report))]
    return max(rates)
