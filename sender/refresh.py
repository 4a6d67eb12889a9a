"""When to send a new source. Policies are asked once a frame and know nothing of the link."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from shared.motion import Motion, pose_distance

DEFAULT_POSE_THRESHOLD = 18.0
"""Degrees: about two sources in ten seconds of lively talk, one for a calm person."""
_SETTLE_FRAMES = 10
"""A pose-triggered source is followed by at least this many frames without another: a fast turn is one event."""


class RefreshPolicy(Protocol):
    """Decides, after the first source, whether a frame becomes a new one."""

    def wants(self, frame: int, driving: Motion, held: Sequence[Motion]) -> bool:
        """True to send this frame as a source; `held` are the motions of the sources the receiver holds, `frame` counts
        from the last source sent."""


@dataclass(frozen=True)
class First:
    """Only the first source, ever: the floor of every comparison."""

    def wants(self, frame: int, driving: Motion, held: Sequence[Motion]) -> bool:
        return False


@dataclass(frozen=True)
class EveryN:
    """A new source every `interval` frames."""

    interval: int

    def __post_init__(self) -> None:
        if self.interval < 1:
            raise ValueError(f"--freq needs a whole number of frames of at least 1, not {self.interval}")

    def wants(self, frame: int, driving: Motion, held: Sequence[Motion]) -> bool:
        return frame >= self.interval


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
