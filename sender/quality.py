"""The default refresh policy, analysis by synthesis: now and then a frame is drawn as the receiver draws it, and where
that has become worse than it should be, the frame is tried as a source of the last frames looked at.

What is slow is in `Probe.perform`, which touches no state: a worker may run it. The rest is quick.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sender.analysis import Analysis
from sender.critic import Critic, View
from sender.expectation import Expectation
from sender.portrait import FrameQuality
from sender.source_coder import Coder
from shared.codec.picture import Picture as PictureMessage
from shared.models.engine import Weighted
from shared.models.exchange import BasePicture

EVERY_FRAMES = 5
"""Frames from one look to the next, at least."""
_REST = 2.0
"""Looks are followed by a rest this many times as long: they never take more than a third of one core."""
_LATE_SECONDS = 0.15
"""A frame that was captured longer ago is not looked at: the machine has enough to do."""
_MIN_SECONDS = 1.0
"""From one source held to the next one sent."""
_MEMORY_SECONDS = 2.0
"""A source must be good for what the person did lately: trying it on its own frame alone would flatter it."""
_FORGET_SECONDS = 10.0
"""On a machine that can look but seldom, this long."""
_TRIALS = (3, 4)
"""Frames that a candidate is tried on: at least, at most."""
_OPEN, _SHARP = 0.75, 0.7
"""Shares of the usual openness of the eyes and of the usual sharpness that a candidate must have."""


@dataclass(frozen=True, eq=False)
class Probed:
    """A frame that was looked at."""

    clock: float
    quality: FrameQuality
    view: View
    error: float
    """dB, as the receiver drew it."""


@dataclass(frozen=True, eq=False)
class Candidate:
    """A source that is not sent yet."""

    message: PictureMessage
    source: Any
    """As the receiver will have it."""
    error: float
    """dB, mean of the frames that it was tried on."""


@dataclass(frozen=True, eq=False)
class Probe:
    """A frame to be drawn as the receiver draws it, and perhaps to be tried as a source."""

    critic: Critic
    code: Coder
    analysis: Analysis
    sources: Weighted
    """What the receiver draws it from, nearest first."""
    past: Sequence[Probed]
    """Frames to try this one on as a source; none if it is not to be tried."""
    room: int | None
    """Bytes that it may have as a source."""
    clock: float
    began: float
    gallery: int
    """Number of the gallery that it is drawn from."""
    base: BasePicture | None = None
    """What the receiver draws it with."""

    def perform(self) -> ProbeResult:
        """What is found. Slow."""
        view = self.critic.view(self.analysis, self.base)
        probed = Probed(self.clock, self.analysis.quality, view, self.critic.error(self.sources, view))
        if not self.past:
            return ProbeResult(self, probed, None)
        message = self.code(self.analysis, self.room)
        source = self.critic.receive(message)
        mixed = [(source, 1.0), (self.sources[0][0], 1.0)]  # once it has faded in, beside the best of those before
        error = statistics.fmean(self.critic.error(mixed, each.view) for each in self.past)
        return ProbeResult(self, probed, Candidate(message, source, error))


@dataclass(frozen=True, eq=False)
class ProbeResult:
    """What a probe found."""

    probe: Probe
    probed: Probed
    candidate: Candidate | None


class QualityRefresh:
    """Says which frames to look at, and which of them to send."""

    def __init__(self, critic: Critic) -> None:
        self._critic = critic
        self._expectation = Expectation()
        self._sources: dict[int, Any] = {}
        self._history: list[Probed] = []
        self._gallery = 0
        self._since: float | None = None
        self._frames = 0
        self._busy = False
        self._rested_at = float("-inf")

    def sent(self, source_id: int, source: Any) -> None:
        """A source is on its way; `source` is what the receiver will have."""
        self._sources[source_id] = source

    def held(self, ids: Iterable[int], sent: Iterable[int]) -> None:
        """The receiver holds these sources now, and may come to hold those sent. What was seen so far is past."""
        wanted = {*ids, *sent}
        self._sources = {source_id: source for source_id, source in self._sources.items() if source_id in wanted}
        self._history, self._since = [], None
        self._gallery += 1

    def probe(
        self, analysis: Analysis, wanted: Sequence[int], clock: float, now: float, room: int | None, code: Coder,
        base: BasePicture | None = None,
    ) -> Probe | None:  # fmt: skip
        """A probe of this frame if it is time for one: drawn from the sources that the receiver takes for it.

        wanted: their ids, nearest first. room: bytes that a new source may have; None: any number, 0: none
        may be sent. code: makes a source of a frame. base: what the receiver draws it with.
        """
        self._since = clock if self._since is None else self._since
        self._frames += 1
        sources = [(self._sources[i], 1.0) for i in wanted if i in self._sources]
        if len(sources) < len(wanted) or not sources or self._busy or self._frames < EVERY_FRAMES:
            return None
        if now < self._rested_at or now - clock > _LATE_SECONDS:
            return None
        self._frames, self._busy = 0, True
        past = [] if room == 0 else self._past(analysis.quality, clock)
        return Probe(self._critic, code, analysis, sources, past, room, clock, now, self._gallery, base)

    def take(self, result: ProbeResult, now: float) -> Candidate | None:
        """Takes in what was found; the candidate comes back if it is worth sending."""
        probe, probed, candidate = result.probe, result.probed, result.candidate
        self._busy = False
        self._rested_at = now + _REST * (now - probe.began)
        if probe.gallery != self._gallery or self._since is None:
            return None
        self._history = [each for each in self._history if probed.clock - each.clock < _FORGET_SECONDS] + [probed]
        if candidate is None:
            return None
        error = statistics.fmean(each.error for each in probe.past)
        worth = self._expectation.tried(error, candidate.error, probe.clock - self._since)
        return candidate if worth else None

    def _past(self, quality: FrameQuality, clock: float) -> list[Probed]:
        """The frames to try a candidate on; none if it need not or should not be tried."""
        fewest, most = _TRIALS
        lately = sum(clock - each.clock <= _MEMORY_SECONDS for each in self._history)
        recent = self._history[-max(lately, fewest) :]
        seconds = clock - (clock if self._since is None else self._since)
        if len(recent) < fewest or seconds < _MIN_SECONDS:
            return []
        openness = statistics.median(each.quality.openness for each in recent)
        sharpness = statistics.median(each.quality.sharpness for each in recent)
        if quality.openness < _OPEN * openness or quality.sharpness < _SHARP * sharpness:
            return []
        chosen = np.linspace(0, len(recent) - 1, min(len(recent), most)).round().astype(int)
        past = [recent[i] for i in chosen]
        worth = self._expectation.worth_trying(statistics.fmean(each.error for each in past), seconds)
        return past if worth else []
