"""How many sources the byte budget allows: motion comes first, sources get what it leaves.

A token bucket over everything on the wire, out and back, as it was measured: credit is earned at the budget's rate and
spent by every byte. The first source is exempt; what it makes possible is counted from then on.
"""

from __future__ import annotations

from math import ceil, inf

from sender.refresh import RefreshPolicy, WhenWorse
from shared.link.pacing import PIECE

OUT_SHARE = 8 / 13
"""At most this share of a budget may go out: links are seldom wider that way, and sources go nowhere else."""
SOUND_KBPS = 11.0
"""What speech adds to a usual budget: two packets in each of 8 bundles a second instead of none in 5 take 10 out and
1 back."""
SOUND_OUT_SHARE = 18 / 25
"""As OUT_SHARE, for a call with sound: what is said goes out, and is acknowledged with the motion."""
BURST_BYTES = 8000
"""Credit that a quiet time may gather: about two sources in a row."""
AHEAD_SECONDS = 10.0
"""The call's first seconds count as a whole, so that a source may go when it is needed and be earned afterwards."""
_SETTLE_SECONDS = 1.0
"""Until then it is not known what motion takes."""


_SPARING = 0.9
_PIECE_OVERHEAD = 22
"""Bytes around a piece of a source: its own header, and of its chunk header and padding."""


def budget_for(policy: RefreshPolicy, kbps: float | None, usual: float, with_sound: bool = False) -> Budget | None:
    """The budget of `kbps`, None if it is infinite; unless one is asked for, the usual one for the default policy only.

    `usual` is that of a call without sound. Raises ValueError unless it is positive.
    """
    if kbps is None:
        kbps = usual + SOUND_KBPS * with_sound if isinstance(policy, WhenWorse) else inf
    return None if kbps == inf else Budget(kbps, SOUND_OUT_SHARE if with_sound else OUT_SHARE)


class Budget:
    """The credit for sources: of all bytes, and of those that go out. Times are seconds of any steady clock."""

    def __init__(self, kbps: float, out_share: float = OUT_SHARE) -> None:
        """At most `out_share` of the bytes may go out. Raises ValueError unless the rate is positive."""
        if not kbps > 0:
            raise ValueError(f"--budget is kbit/s out and back together, more than 0, not {kbps:g}")
        self._all, self._out = _Bucket(kbps * 125), _Bucket(kbps * 125 * out_share)
        self._began: float | None = None
        self._beginning = False

    def begin(self) -> None:
        """The first source is held: bytes count from the next note on."""
        self._beginning = self._began is None

    def note(self, out: int, back: int, now: float) -> None:
        """So many bytes have been on the wire so far."""
        counts = self._began is not None
        self._all.note(out + back, now, counts)
        self._out.note(out, now, counts)
        if self._beginning:
            self._beginning, self._began = False, now

    def room(self, now: float) -> int:
        """Bytes that sources may have if one is to go every `AHEAD_SECONDS`, and a little is to spare."""
        elapsed = self._elapsed(now)
        left = min(bucket.left(elapsed) for bucket in (self._all, self._out)) if elapsed else 0.0
        return round(_SPARING * left * AHEAD_SECONDS * PIECE / (PIECE + _PIECE_OVERHEAD))

    def sent(self, size: int) -> None:
        """A source of so many bytes goes out."""
        if self._began is not None:
            self._all.motion -= _cost(size)
            self._out.motion -= _cost(size)

    def allows(self, size: int, now: float) -> bool:
        """Whether a source of so many bytes may go out."""
        elapsed = self._elapsed(now)
        if elapsed < _SETTLE_SECONDS:
            return False
        return self._all.allows(_cost(size), elapsed) and self._out.allows(_cost(size), elapsed)

    def _elapsed(self, now: float) -> float:
        return 0.0 if self._began is None else now - self._began


class _Bucket:
    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._credit = self._spent = self._at = 0.0
        self.motion = 0.0
        """Spent on all but sources."""

    def note(self, spent: float, now: float, counts: bool) -> None:
        if counts:
            used = spent - self._spent
            self._credit = min(self._credit + self._rate * (now - self._at) - used, BURST_BYTES)
            self.motion += used
        self._spent, self._at = spent, now

    def left(self, elapsed: float) -> float:
        """Bytes/s that motion leaves."""
        return max(0.0, self._rate - self.motion / elapsed)

    def allows(self, cost: float, elapsed: float) -> bool:
        ahead = self.left(elapsed) * max(0.0, AHEAD_SECONDS - elapsed)
        return self._credit + ahead >= min(cost, BURST_BYTES)


def _cost(size: int) -> int:
    """Bytes on the wire that a source of `size` bytes takes, its pieces in packets that go anyway."""
    return size + ceil(size / PIECE) * _PIECE_OVERHEAD
