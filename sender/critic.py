"""The critic, analysis by synthesis: the decoder inside the encoder draws what the receiver draws.

Now and then a frame is drawn so; where that has become worse than it should be, the frame is tried as a source of the
last frames looked at. Whether a new one is worth its bytes: how bad the pictures are, against what a fresh source is
known to give.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from sender.analysis import Analysis, FrameQuality, face_extent
from sender.crop import cut, whole_square
from shared.codec.picture import PictureMessage, decode_picture
from shared.models.base_fusion import BasePicture
from shared.models.engine import Engine, Picture, Weighted
from shared.motion import FloatArray, Motion

Coder = Callable[[Analysis, int | None], PictureMessage]
"""Makes a source of a frame, of at most so many bytes if it can; slow."""
_SIDE = 128
"""Pictures are compared at half the size they are drawn: quick, and grain does not count."""
_BACKGROUND = 0.1
"""Weight far from the face; 1 in its middle."""
_REACH = 1.2
"""Of half the face's extent: there the weight of the face has fallen to 1/e, so hair and chin still count."""
AT_ONCE_DB, IN_THE_END_DB = 4.0, 0.5
"""What a new source must repair: right after the last one came, and `PATIENCE_SECONDS` later."""
PATIENCE_SECONDS = 10.0
"""A moving person gets a source this often, if the budget allows it."""
_WORTH_A_TRIAL = 0.5
"""Share of the gain required that the expectation must promise: a candidate may be better than expected."""
_LEARN = 0.5
"""Weight of the newest trial in the expectation."""
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
class View:
    """A camera frame as it should look at the receiver."""

    motion: Motion
    luma: FloatArray
    """(128, 128), 0..255"""
    weight: FloatArray
    """(128, 128), sums to one"""
    base: BasePicture | None = None
    """What it is drawn with, whatever the sources"""


class Critic:
    """Draws with the compact generator whatever the receiver's own is. All of it is slow: for a worker."""

    def __init__(self, engine: Engine) -> None:
        """`engine` must draw."""
        self._engine = engine

    def view(self, analysis: Analysis, base: BasePicture | None = None) -> View:
        """What the frame should look like; `base`: what the receiver draws it with."""
        return View(analysis.motion, _luma(analysis.picture), _face_weight(analysis.points), base)

    def receive(self, message: PictureMessage) -> Any:
        """A source as it will arrive: decoded, and brought to the engine's size by plain resizing, ready to draw from.

        What enlarges a smaller one at the receiver is the receiver's own choice, and may do it better.
        """
        arrived = PictureMessage.unpack(message.pack())  # numbers as they travel
        picture = decode_picture(arrived.codec, arrived.data, arrived.width, arrived.height)
        side = self._engine.size
        return self._engine.prepare(cut(picture, whole_square(picture), side), arrived.canonical, arrived.motion)

    def error(self, sources: Weighted, view: View) -> float:
        """How far off the view is when drawn from sources: dB of the squared error of the luma, mostly the face's."""
        drawn = _luma(self._engine.draw(sources, view.motion, view.base))
        return 10 * float(np.log10(1e-3 + np.sum(view.weight * np.square(drawn - view.luma), dtype=np.float64)))


def _luma(picture: Picture) -> FloatArray:
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    return np.asarray(cv2.resize(grey, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA), np.float32)


def _face_weight(points: FloatArray) -> FloatArray:
    low, high = face_extent(points)
    centre, half = (low + high) / 2, np.maximum((high - low) / 2, 0.05)
    axis = (np.arange(_SIDE) + 0.5) * 2 / _SIDE - 1
    x, y = (np.exp(-np.square((axis - centre[i]) / (_REACH * half[i]))) for i in range(2))
    weight = _BACKGROUND + y[:, None] * x[None]
    return np.asarray(weight / weight.sum(), np.float32)


def required_gain(seconds: float) -> float:
    """dB that a new source must repair when the last one came `seconds` ago: bytes that wait are bytes saved."""
    share = min(max(seconds / PATIENCE_SECONDS, 0.0), 1.0)
    return AT_ONCE_DB + share * (IN_THE_END_DB - AT_ONCE_DB)


class Expectation:
    """The running expectation of what a fresh source gives, from the trials so far."""

    def __init__(self) -> None:
        self._fresh: float | None = None

    def worth_trying(self, error: float, seconds: float) -> bool:
        """Whether pictures of this error are so bad that a new source may repair them; before any trial, always."""
        if self._fresh is None:
            return True
        self._fresh = min(self._fresh, error)  # what is there already is no worse than fresh
        return error - self._fresh >= _WORTH_A_TRIAL * required_gain(seconds)

    def tried(self, error: float, fresh: float, seconds: float) -> bool:
        """Takes in a trial, the frames' `error` now and from the candidate; whether the candidate repairs enough."""
        self._fresh = fresh if self._fresh is None else self._fresh + _LEARN * (fresh - self._fresh)
        return error - fresh >= required_gain(seconds)


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
