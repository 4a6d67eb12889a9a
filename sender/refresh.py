"""Refresh policies: when to send a new source, which frame becomes the first one, and how many the byte budget allows.

Policies are asked once a frame and know nothing of the link. All that the other side sees of a person hangs on the
first source for a while. Motion comes first, sources get what it leaves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, inf
from typing import Protocol

from sender.analysis import Analysis
from shared.motion import Motion, pose_distance
from shared.transport.pacing import PIECE

DEFAULT_POSE_THRESHOLD = 18.0
"""Degrees: about two sources in ten seconds of lively talk, one for a calm person."""
_SETTLE_FRAMES = 10
"""A pose-triggered source is followed by at least this many frames without another: a fast turn is one event."""
WINDOW_SECONDS = 1.0
"""How long a better frame is waited for, from the first one with a face."""
_OPEN = 0.08
"""Openness of eyes that are plainly open: nine people of ten have more when they look at the camera."""
_FRONTAL_DEGREES = 12.0
_STILL_SPEED = 25.0
"""Pose distance a second: less blurs no face."""
_NEARLY_SHARPEST = 0.9
_TURN_WORTH = 30.0
"""Degrees of turn that are as bad as closed eyes."""
_BLUR_WORTH = 0.5
"""All sharpness lost, in closed eyes: it varies by half in a second of talk even without blur."""
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


class RefreshPolicy(Protocol):
    """Decides, after the first source, whether a frame becomes a new one. Its text is what `parse_policy` takes."""

    def wants(self, frame: int, driving: Motion, held: Sequence[Motion]) -> bool:
        """True to send this frame as a source; `held` are the motions of the sources the receiver holds, `frame` counts
        from the last source sent."""


@dataclass(frozen=True)
class First:
    """Only the first source, ever: the floor of every comparison."""

    def wants(self, frame: int, driving: Motion, held: Sequence[Motion]) -> bool:
        return False

    def __str__(self) -> str:
        return "first"


@dataclass(frozen=True)
class EveryN:
    """A new source every `interval` frames."""

    interval: int

    def __post_init__(self) -> None:
        if self.interval < 1:
            raise ValueError(f"--freq needs a whole number of frames of at least 1, not {self.interval}")

    def wants(self, frame: int, driving: Motion, held: Sequence[Motion]) -> bool:
        return frame >= self.interval

    def __str__(self) -> str:
        return f"freq:{self.interval}"


@dataclass(frozen=True)
class PoseMoved:
    """A new source when the head pose is further than `threshold` degrees from every source held."""

    threshold: float = DEFAULT_POSE_THRESHOLD

    def __post_init__(self) -> None:
        if not 0 < self.threshold <= 180:
            raise ValueError(f"--pose-threshold is an angle of 0 to 180 degrees, not {self.threshold:g}")

    def wants(self, frame: int, driving: Motion, held: Sequence[Motion]) -> bool:
        far = all(pose_distance(driving, source) > self.threshold for source in held)
        return far and frame >= _SETTLE_FRAMES

    def __str__(self) -> str:
        return f"pose:{self.threshold:g}"


@dataclass(frozen=True)
class WhenWorse:
    """A new source when the pictures that the receiver draws are worse than they would be from it.

    A frame alone does not tell: the sender looks at what the receiver draws, see `sender.critic`.
    """

    def wants(self, frame: int, driving: Motion, held: Sequence[Motion]) -> bool:
        return False

    def __str__(self) -> str:
        return "quality"


def parse_policy(text: str) -> RefreshPolicy:
    """A policy from quality, pose:DEGREES, freq:FRAMES or first. Raises ValueError with what was expected."""
    name, colon, value = text.partition(":")
    try:
        match name, bool(colon):
            case "quality", False:
                return WhenWorse()
            case "first", False:
                return First()
            case "freq", True:
                return EveryN(int(value))
            case "pose", True:
                return PoseMoved(float(value))
    except ValueError as error:
        raise ValueError(f"{text!r}: {error}") from error
    raise ValueError(f"{text!r} is not quality, pose:DEGREES, freq:FRAMES or first")


class FirstSource:
    """Chooses among the frames of the first second."""

    def __init__(self) -> None:
        self._frames: list[Analysis] = []
        self._began = self._clock = self._before = 0.0

    def offer(self, frame: Analysis, clock: float) -> Analysis | None:
        """The frame to send, once it is certain; None while a better one may come. `clock`: of the capture, seconds."""
        if self._frames and self._frames[-1].crop_number != frame.crop_number:
            self._frames = []  # the receiver draws the newest crop only
        if not self._frames:
            self._began = clock
        self._frames.append(frame)
        self._before, self._clock = self._clock, clock
        if self._plainly_good():
            self._frames = []
            return frame
        return self.best() if clock - self._began >= WINDOW_SECONDS else None

    def best(self) -> Analysis | None:
        """The best frame offered so far, for when no other will come; None if there was none. Begins anew."""
        frames, self._frames = self._frames, []
        if not frames:
            return None
        widest = max(f.quality.openness for f in frames)
        sharpest = max(f.quality.sharpness for f in frames)

        def flaws(frame: Analysis) -> float:
            seen = frame.quality
            closed = 1 - seen.openness / max(widest, 1e-6)
            blurred = 1 - seen.sharpness / max(sharpest, 1e-6)
            return closed + seen.turn / _TURN_WORTH + _BLUR_WORTH * blurred

        return min(frames, key=flaws)

    def _plainly_good(self) -> bool:
        if len(self._frames) < 2:
            return False
        before, frame = self._frames[-2:]
        seen = frame.quality
        return (
            seen.openness >= _OPEN
            and seen.turn <= _FRONTAL_DEGREES
            and pose_distance(before.motion, frame.motion) <= _STILL_SPEED * (self._clock - self._before)
            and seen.sharpness >= _NEARLY_SHARPEST * max(f.quality.sharpness for f in self._frames)
        )


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
