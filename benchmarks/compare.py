"""The comparison of one clip: our call, the baseline and every codec."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from benchmarks.cache import Cache, Figures
from benchmarks.clip import Clip
from benchmarks.codecs import CODECS, CodecError
from benchmarks.curves import Point, at_quality, at_rate, measure_point
from benchmarks.judging import Judge
from benchmarks.measure import Measurer, Shown
from benchmarks.ours import CallSettings, OurSide
from benchmarks.progress import Progress

_CALL_WORK, _POINT_WORK, _JUDGE_WORK = 12.0, 1.5, 6.0
"""Seconds that each takes for ten seconds of video, roughly: what the progress bar goes by."""


@dataclass(frozen=True)
class Plan:
    """What is compared."""

    calls: Mapping[str, CallSettings]
    """By their names in the report; `ours` is what the codecs have to meet."""
    codecs: Mapping[str, Sequence[int]]
    """Ladders by name."""
    vmaf: bool
    judge: Judge | None

    @property
    def work(self) -> float:
        """Of a clip, in the progress bar's unit."""
        points = sum(len(ladder) + 1 for ladder in self.codecs.values())
        judged = 0 if self.judge is None else len(self.calls) + len(self.codecs)
        return (len(self.calls) + 1) * _CALL_WORK + points * _POINT_WORK + judged * _JUDGE_WORK


class Comparison:
    """A clip and what came of it."""

    def __init__(self, clip: Clip, plan: Plan, ours: OurSide, cache: Cache, progress: Progress) -> None:
        self.clip = clip
        self.shown: dict[str, Shown] = {}
        """What can be looked at: our calls, and every codec at our rate."""
        self._plan, self._ours, self._progress = plan, ours, progress
        self._measure = Measurer(clip, cache, plan.vmaf)

    def run(self) -> Figures:
        """The clip's report. Raises EngineError, JudgeError and ValueError."""
        report: Figures = {"frames": len(self.clip.pictures), "fps": round(self.clip.fps, 3)}
        for name, settings in self._plan.calls.items():
            report[name] = self._call(name, settings)
        self._begin("face-vid2vid", _CALL_WORK)
        settings = self._plan.calls["ours"]
        report["face_vid2vid"] = self._ours.face_vid2vid(self._measure, settings, self._advance).figures
        report |= {"codecs": {}, "left_out": {}}
        for name in self._plan.codecs:
            try:
                report["codecs"][name] = self._codec(name, report["ours"])
            except CodecError as error:
                report["left_out"][name] = str(error)
        return report

    def _call(self, name: str, settings: CallSettings) -> Figures:
        self._begin(f"Pinhole, pictures of {settings.picture_size} px", _CALL_WORK)
        shown = self._ours.call(self._measure, settings, self._advance)
        small = settings.picture_size < self.clip.pictures[0].shape[0]
        how = {"picture_size": settings.picture_size, "upscaler": settings.upscaler if small else None}
        return shown.figures | how | self._judged(name, shown)

    def _codec(self, name: str, ours: Figures) -> Figures:
        codec, points = CODECS[name], list[Point]()
        for quantiser in self._plan.codecs[name]:
            self._begin(f"{codec.title}, quantiser {quantiser}", _POINT_WORK)
            points.append(measure_point(self._measure, codec, quantiser)[0])
        self._begin(f"{codec.title}, at our rate", _POINT_WORK)
        at_our_rate, shown = at_rate(self._measure, codec, points, ours["wire_kbps_out"] + ours["wire_kbps_back"])
        return {
            "points": [asdict(point) for point in points],
            "at_our_quality": at_quality(points, ours["ms_ssim"]),
            "at_our_rate": at_our_rate | self._judged(name, shown),
        }

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
