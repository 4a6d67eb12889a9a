"""The gallery: the sources that both ends hold, and the mixture of them that draws a frame.

Pure: the gallery's bound and which source goes when a new one comes, and how much each one that is held counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from shared.motion import FloatArray, Motion, keypoints, pose_distance

BOUND = 6
EPOCHS = 256
"""Epochs travel as one byte and wrap."""
_REMEMBERED = 8
"""States kept for bundles still under way; older ones are drawn from the oldest remembered."""
MOST = 2
"""Sources that a frame is drawn from, but for those that fade out: each costs about a third of a frame more."""
FADE_FRAMES = 10
"""In which a source comes into use on a head that moves."""
_MOVING = 0.0047
"""Mean distance that the keypoints of a moving head go in a frame, in half picture widths: 0.6 px of 256."""
_LATELY = 10
"""Frames over which that is judged: coded motion moves by steps."""
_SLOWEST = 1 / 6
"""Share of a step that is taken on a head that does not move at all."""
_AT_ONCE = MOST + 1
"""Sources that a frame is drawn from while some fade out."""
_AGE_DEGREES = 1.0
"""A source counts as this much further away for each newer one: of equal poses the newest shows today's light."""
_STAY_DEGREES = 4.0
"""Sources older than those in use count as this much further away, or a head between two would change them all the
time. Newer ones do not: they were sent because they show something better."""
_FAR_DEGREES = 20.0
"""A source so much further away than the nearest has nothing to add."""
_APART_DEGREES = 5.0
"""Nor has one so near to it: it shows the same, and if it is older, in yesterday's light."""


@dataclass(frozen=True, eq=False)
class Held:
    """A source that the receiver holds."""

    source_id: int
    crop: int
    """Number of the camera crop it shows; frames are drawn only from sources of the newest crop."""
    canonical: FloatArray
    """(K, 3)"""
    motion: Motion


@dataclass
class Gallery:
    """At most `bound` sources in order of arrival, with the states of the last epochs."""

    bound: int = BOUND
    epoch: int = 0
    sources: tuple[Held, ...] = ()
    _states: dict[int, tuple[Held, ...]] = field(default_factory=dict)

    def add(self, source: Held) -> set[int]:
        """Takes a source in and advances the epoch; the ids that no remembered epoch needs any more come back."""
        kept = [s for s in self.sources if s.crop == source.crop and s.source_id != source.source_id]
        kept.append(source)
        if len(kept) > self.bound:
            kept.remove(_least_missed(kept))
        before = self._remembered_ids()
        self.mirror((self.epoch + 1) % EPOCHS, tuple(kept))
        return before - self._remembered_ids()

    def begin_anew(self) -> None:
        """Forgets all sources and states; the epoch advances, so that no frame is drawn from what comes next by
        mistake."""
        self.sources = ()
        self._states.clear()
        self.mirror((self.epoch + 1) % EPOCHS, ())

    def mirror(self, epoch: int, sources: tuple[Held, ...]) -> None:
        """Becomes the gallery that the other side says it has at `epoch`."""
        self.epoch, self.sources = epoch, sources
        self._states.pop(epoch, None)
        self._states[epoch] = sources
        while len(self._states) > _REMEMBERED:
            self._states.pop(next(iter(self._states)))

    def at(self, epoch: int) -> tuple[Held, ...]:
        """The sources of an epoch; the present ones if that epoch is not remembered.

        Frames still under way when a source comes or the crop moves are drawn as the sender meant them.
        """
        return self._states.get(epoch, self.sources)

    def _remembered_ids(self) -> set[int]:
        return {s.source_id for state in (self.sources, *self._states.values()) for s in state}


def _least_missed(sources: list[Held]) -> Held:
    """The source that another one resembles most in pose, the newest excepted: dropping it keeps the poses covered."""

    def nearest(source: Held) -> float:
        return min(pose_distance(source.motion, other.motion) for other in sources if other is not source)

    return min(sources[:-1], key=nearest)


class Share(NamedTuple):
    """A source in use."""

    held: Held
    weight: float
    """0..1; ratios matter."""


@dataclass
class Mixture:
    """The sources in use, from frame to frame."""

    most: int = MOST
    fade_frames: int = FADE_FRAMES
    """On a head that moves; 1 is a hard cut."""
    wanted: tuple[Held, ...] = ()
    """The sources that the last frame was to be drawn from, nearest first: what a fade leads to."""
    _shares: list[Share] = field(default_factory=list)
    _number: int | None = None
    _before: Motion | None = None
    _speed: float = 0.0

    def step(self, sources: Sequence[Held], driving: Motion, number: int) -> tuple[Share, ...]:
        """The shares of frame `number`, heaviest first, given what is held in order of arrival; none if nothing is.

        Frames may be left out, then a fade takes fewer steps. Sources of another crop than the newest are dropped at
        once: they show another part of the camera picture.
        """
        if not sources:
            self.wanted, self._shares = (), []
            self._number, self._before, self._speed = None, None, 0.0
            return ()
        passed = 1 if self._number is None else max(1, number - self._number)
        pace = self._pace(sources[-1].canonical, driving, passed)
        self._number, self._before = number, driving
        in_use = [share for share in self._shares if share.held.crop == sources[-1].crop]
        self.wanted = tuple(self._nearest(sources, driving, [share.held for share in in_use]))
        if not in_use:
            self._shares = [Share(held, 1.0) for held in self.wanted]
            return tuple(self._shares)
        self._shares = self._faded(in_use, self.wanted, pace * passed / self.fade_frames)
        return tuple(self._shares)

    def _pace(self, canonical: FloatArray, driving: Motion, passed: int) -> float:
        """Share of a step to take each frame: what moves hides a change."""
        if self.fade_frames == 1:
            return 1.0
        if self._before is not None:
            moved = keypoints(canonical, driving) - keypoints(canonical, self._before)
            speed = float(np.linalg.norm(moved[:, :2], axis=-1).mean()) / passed
            self._speed += (speed - self._speed) * min(1.0, passed / _LATELY)
        return min(1.0, max(_SLOWEST, self._speed / _MOVING))

    def _nearest(self, sources: Sequence[Held], driving: Motion, in_use: Sequence[Held]) -> list[Held]:
        """The nearest in head pose, newer before older; not two that show the same."""
        newest_first = list(reversed(sources))
        youngest = next((age for age, s in enumerate(newest_first) if _among(s, in_use)), len(newest_first))
        cost = [
            pose_distance(s.motion, driving)
            + _AGE_DEGREES * age
            + _STAY_DEGREES * (age > youngest and not _among(s, in_use))
            for age, s in enumerate(newest_first)
        ]
        order = sorted(range(len(cost)), key=cost.__getitem__)
        wanted: list[Held] = []
        for i in order:
            source, distinct = newest_first[i], True
            for other in wanted:
                distinct &= pose_distance(source.motion, other.motion) >= _APART_DEGREES
            if distinct and len(wanted) < self.most and cost[i] <= cost[order[0]] + _FAR_DEGREES:
                wanted.append(source)
        return wanted

    @staticmethod
    def _faded(in_use: Sequence[Share], wanted: Sequence[Held], step: float) -> list[Share]:
        shares = []
        for held, weight in in_use:
            weight = min(1.0, weight + step) if _among(held, wanted) else weight - step
            if weight > 1e-6:
                shares.append(Share(held, weight))
        used = [share.held for share in shares]
        room = _AT_ONCE - len(shares)  # who finds no room waits until another one has faded out
        shares += [Share(held, min(1.0, step)) for held in wanted if not _among(held, used)][:room]
        return sorted(shares, key=lambda share: (-share.weight, not _among(share.held, wanted[:1])))


def _among(held: Held, others: Sequence[Held]) -> bool:
    return any(held is other for other in others)
