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

    A frame alone does not tell: the sender looks at what the receiver draws, see `sender.quality`.
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
