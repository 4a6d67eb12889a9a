"""What a size and quality of pictures costs and gives on one clip: sources coded, sent, enlarged and drawn from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.cache import Figures
from benchmarks.clip import Clip
from benchmarks.face_figures import sharpness
from benchmarks.metrics import Picture, luma, ms_ssim, psnr
from receiver.synthesis import PreparedSource, Synthesis, WeightedSources
from receiver.upscale import DEFAULT_UPSCALER
from sender.analysis import Analysis
from sender.crop import whole_square
from sender.refresh import FirstSource
from sender.source_coder import code_source
from shared.codec.picture import PictureMessage
from shared.models.engine import Engine


@dataclass(frozen=True)
class Setting:
    """How sources are sent and enlarged."""

    size: int
    """Side in px."""
    quality: int
    upscaler: str = DEFAULT_UPSCALER

    def __str__(self) -> str:
        upscaler = "" if self.upscaler == DEFAULT_UPSCALER else f", {self.upscaler}"
        return f"{self.size} px, quality {self.quality}{upscaler}"


@dataclass(frozen=True)
class Score:
    """How near a drawn picture comes to the true one."""

    psnr: float
    ms_ssim: float
    energy: float
    """See `energy`; of the drawn picture."""


class Film:
    """A clip as the sender sees it: its motion, its first source, and the frames that are measured.

    Measured is every `every`-th frame, from the middle of the first interval on; sources other than the first are
    frames where intervals begin. So no measured frame is a source, and the mean age of sources comes out right.
    """

    def __init__(self, clip: Clip, engine: Engine, every: int, advance: Callable[[float], None]) -> None:
        """Extracts all motion; `advance` is told which share of that is done. `every` is at least 2.

        Raises ValueError if the clip is too short for one measured frame.
        """
        self.name, self.seconds, self.every = clip.name, clip.seconds, every
        self.frames: list[Analysis] = []
        for picture in clip.pictures:
            canonical, motion = engine.extract(picture)
            self.frames.append(Analysis(picture, whole_square(picture), 0, canonical, motion))
            advance(1 / len(clip.pictures))
        self.first = first_source(self.frames, clip.stamps)
        self.measured = [n for n in range(every // 2, len(self.frames), every) if n != self.first]
        if not self.measured:
            raise ValueError(f"'{clip.name}' has {len(self.frames)} frames, too few for every {every}th: see --every")
        self.truth = {number: luma(clip.pictures[number]) for number in self.measured}

    def spaced(self, count: int) -> list[int]:
        """Which frames become sources, in order, when `count` are to lie evenly from the first one on; fewer if they
        would come closer than intervals do."""
        step = (len(self.frames) - self.first) / count
        begins = [round((self.first + n * step) / self.every) * self.every for n in range(1, count)]
        return [self.first, *sorted({n for n in begins if self.first < n < len(self.frames)})]


class Trial:
    """One setting on one clip. What was made is kept, so that further budgets cost little."""

    def __init__(self, film: Film, setting: Setting, synthesis: Synthesis) -> None:
        """`synthesis` is the receiver's, with the setting's upscaler; one trial at a time uses it."""
        self._film, self._setting, self._synthesis = film, setting, synthesis
        self._messages: dict[int, PictureMessage] = {}
        self._prepared: dict[int, PreparedSource] = {}
        self._scores: dict[tuple[tuple[tuple[int, float], ...], int], Score] = {}
        """By ids and weights of the sources, and by frame."""

    def alone(self) -> Figures:
        """Figures with the first source and no other."""
        return self._figures([self._film.first])

    def within(self, kbps: float) -> Figures:
        """Figures with as many evenly spaced sources as so much picture payload over the clip pays for.

        The first one is sent in any case; `fits` says whether the budget pays for it.
        """
        budget = kbps * 1000 / 8 * self._film.seconds
        sources = [self._film.first]
        for count in range(2, len(self._film.frames) // self._film.every + 1):
            more = self._film.spaced(count)
            if self._bytes(more) > budget:
                break
            sources = more
        return self._figures(sources) | {"fits": self._bytes(sources) <= budget}

    def _figures(self, sources: Sequence[int]) -> Figures:
        drawn_from = self._mixed(sources)
        scores = [self._score(drawn_from[number], number) for number in self._film.measured]
        truth = [energy(self._film.truth[number]) for number in self._film.measured]
        return {
            "sources": len(sources),
            "bytes": self._bytes(sources),
            "psnr": round(float(np.mean([s.psnr for s in scores])), 4),
            "ms_ssim": round(float(np.mean([s.ms_ssim for s in scores])), 5),
            "sharp": round(sum(s.energy for s in scores) / max(sum(truth), 1e-6), 4),
        }

    def _mixed(self, sources: Sequence[int]) -> list[WeightedSources]:
        """The sources that the receiver draws each frame of the clip from; frames before the first wait for it."""
        synthesis, coming, mixed = self._synthesis, list(sources), []
        synthesis.begin_anew()
        for number, frame in enumerate(self._film.frames):
            while coming and (not synthesis.held or coming[0] <= number):
                synthesis.add(self._source(coming.pop(0)))
            weighted = synthesis.mix(synthesis.gallery.epoch, frame.motion, number)
            mixed.append(tuple((source, round(weight, 3)) for source, weight in weighted))
        return mixed

    def _source(self, number: int) -> PreparedSource:
        if number not in self._prepared:
            self._prepared[number] = self._synthesis.prepare(self._message(number))
        return self._prepared[number]

    def _bytes(self, sources: Sequence[int]) -> int:
        return sum(len(self._message(number).pack()) for number in sources)

    def _message(self, number: int) -> PictureMessage:
        """A frame as a source with the frame's number as its id, as it arrives."""
        if number not in self._messages:
            size, quality = self._setting.size, self._setting.quality
            message = code_source(self._film.frames[number], None, size=size, quality=quality)
            self._messages[number] = PictureMessage.unpack(replace(message, source_id=number).pack())
        return self._messages[number]

    def _score(self, sources: WeightedSources, number: int) -> Score:
        key = tuple((source.held.source_id, weight) for source, weight in sources), number
        if key not in self._scores:
            drawn = luma(self._synthesis.draw(sources, self._film.frames[number].motion))
            truth = self._film.truth[number]
            self._scores[key] = Score(psnr(truth, drawn), ms_ssim(truth, drawn), energy(drawn))
        return self._scores[key]


def first_source(frames: Sequence[Analysis], stamps: Sequence[float]) -> int:
    """Number of the frame that a sender takes as its first source."""
    candidates = FirstSource()
    for frame, stamp in zip(frames, stamps, strict=True):
        taken = candidates.offer(frame, stamp)
        if taken is not None:
            return frames.index(taken)
    best = candidates.best()
    assert best is not None  # some frame was offered
    return frames.index(best)


def energy(grey: Picture) -> float:
    """Mean absolute Laplacian in the middle half, in grey levels: how much fine detail a (S, S) luma picture has."""
    middle = slice(len(grey) // 4, -(len(grey) // 4))
    return sharpness(grey, (middle, middle))
