"""The sources both ends hold: their bound, and which one goes when a new one comes.

The receiver numbers the states of its gallery by *epoch* and says each one in `held`; the sender mirrors it, and a
bundle names the epoch its frames assume. `shared.mixture` says which of them draw a frame, for both ends.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from shared.motion import FloatArray, Motion, pose_distance

BOUND = 6
EPOCHS = 256
"""Epochs travel as one byte and wrap."""
_REMEMBERED = 8
"""States kept for bundles still under way; older ones are drawn from the oldest remembered."""


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
