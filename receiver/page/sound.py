"""The call's sound for who hears it in a browser: every block at the moment when its picture goes out."""

from __future__ import annotations

from receiver.incoming import IncomingHalf
from receiver.sound_playout import SoundPlayout
from shared.link.viewer_sound import BLOCK, RATE, SoundFeed

_LEAD_SECONDS = BLOCK / RATE
"""A block is sent when its first sample is due, so that its last one has to be there 20 ms early."""
_ASTRAY = RATE // 5
"""Samples by which this may be late before the clock is taken anew: this program was kept away."""


class PageSound:
    """Hears a half, in step with the pictures that are put before the viewers."""

    def __init__(self, half: IncomingHalf, feed: SoundFeed) -> None:
        self._half, self._feed, self._playout = half, feed, SoundPlayout()
        self._at: int | None = None
        """Sample of the monotonic clock at which the next block begins."""
        half.ears.append(self._playout.push)

    def play(self, now: float) -> None:
        """Gives the viewers what is due at `now`, seconds of the monotonic clock. For every 20 ms or more often."""
        if self._half.playout.sound_lead is None:  # a speaker on this machine asks for more, and keeps it
            self._half.playout.sound_lead = _LEAD_SECONDS
        delay, here = self._half.timing.sound_delay, int(now * RATE)
        if delay is None:
            return
        if self._at is None or here - self._at > _ASTRAY:
            self._at = here
        while self._at <= here:
            self._feed.push(self._playout.pull(self._at / RATE - delay, BLOCK), self._at)
            self._at += BLOCK
