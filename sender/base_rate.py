"""Rate control of the base layer: a token bucket that its packets are paid from, and the quantiser that they fit with.

Where the bucket skips too many pictures the quantiser is raised, and lowered again after a while in which it skipped
none. A quantiser changes with a key, so it is that of the next one.
"""

from __future__ import annotations

from sender.profiles import BasePoint
from shared.codec.base_video import MAX_CRF

BUCKET_SECONDS = 2.0
"""Of the rate that packets may have, saved up at most."""
DEBT_SECONDS = 0.5
"""Of the rate, owed at most."""
COARSER = 3
"""Steps by which the quantiser is raised where many pictures are skipped; twice as many where most are."""
FINER_AFTER, FINER_AT_LAST = 20.0, 160.0
"""Seconds after which it is lowered again: the first time, and at most; twice as long each time that it was raised."""
JUDGED = 3.0
"""Seconds over which skipped pictures are counted."""
TOO_MUCH = 5.0
"""Seconds from one picture of more bytes than a packet may have to the next, within which the quantiser is too fine."""
MANY = 0.35
"""Share of skipped pictures from which on the quantiser is too fine."""

_SECTION_SHARE = 2 / 3
"""Of packets' bytes that a section has: how they begin is coded (measured)."""


class BaseRate:
    """Bucket and quantiser of one call. Times are seconds of any steady clock."""

    def __init__(self, crf: int) -> None:
        """`crf`: the quantiser to begin with."""
        self.crf = crf
        """Quantiser of the next key."""
        self.fits = True
        """False once even the coarsest quantiser takes more than the rate."""
        self._credit, self._credit_at = 0.0, float("-inf")
        self._due: list[tuple[float, bool]] = []
        """When pictures were due lately, and whether each was skipped."""
        self._changed_at = self._exceeded_at = float("-inf")
        self._finer_after = FINER_AFTER

    def begin(self, crf: int | None) -> None:
        """The rate is another one from now on, and so is the quantiser, unless None."""
        self.fits, self._due = True, []
        self.crf = self.crf if crf is None else crf

    def spend(self, size: float) -> None:
        """So many bytes went."""
        self._credit -= size

    def affords(self, level: BasePoint, waiting: int, now: float) -> bool:
        """Whether the level's rate has room for a picture that is due, beside `waiting` bytes of packets."""
        rate = 125 * level.kbps
        # a large key must not look like pictures that are too dear, or another one would follow
        credit = max(self._credit, -DEBT_SECONDS * rate) + rate * (now - self._credit_at)
        self._credit = min(credit, BUCKET_SECONDS * rate)
        self._credit_at = now
        room = self._credit > _SECTION_SHARE * waiting
        self._due = [each for each in self._due if now - each[0] <= JUDGED] + [(now, not room)]
        self._judge(level, now)
        return room

    def exceeded(self, now: float) -> None:
        """A picture took more bytes than packets may have."""
        if now - self._exceeded_at < TOO_MUCH:  # once is a cut in a film; so soon again, all of it is too much
            self._raise(2 * COARSER, now)
        self._exceeded_at = now

    def exceeded_by_key(self) -> None:
        """A key took more bytes than it may have."""
        self.crf = min(self.crf + COARSER, MAX_CRF)

    def _raise(self, steps: int, now: float) -> None:
        self._changed_at, self._finer_after = now, min(2 * self._finer_after, FINER_AT_LAST)
        self.fits = self.crf < MAX_CRF
        self.crf = min(self.crf + steps, MAX_CRF)
        self._due = []

    def _judge(self, level: BasePoint, now: float) -> None:
        if self._changed_at == float("-inf"):
            self._changed_at = now
        skipped = sum(was for _, was in self._due) / len(self._due)
        if skipped > MANY and now - self._changed_at > JUDGED:
            self._raise(COARSER if skipped < 2 * MANY else 2 * COARSER, now)
        elif not skipped and self.crf > level.crf and now - self._changed_at > self._finer_after:
            self._changed_at = now
            self.crf = max(self.crf - COARSER, level.crf)
