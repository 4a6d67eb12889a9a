"""Profiles: what a call may cost and how quick it is, in one place."""

from __future__ import annotations

from dataclasses import dataclass

LARGEST_BUNDLE = 10
"""Frames of a bundle at most, whatever the link."""


@dataclass(frozen=True)
class Profile:
    """How motion and pictures are sent on a link that carries them well; `adaptation` says what a poor one changes."""

    motion_rate: float
    """Frames of motion a second, about: a whole share of the camera's frames is sent."""
    bundle_seconds: float
    """Time that a bundle spans: what bundling adds to the delay, and a packet's overhead is shared by."""
    picture_size: int
    """Side of the source pictures in pixels, unless one is asked for."""
    budget: float
    """kbit/s on the wire, out and back together, for the default refresh, unless one is asked for."""

    def step(self, fps: float) -> int:
        """Of how many camera frames one is sent."""
        return max(1, round(fps / self.motion_rate))

    def bundle(self, fps: float) -> int:
        """Frames of a bundle."""
        return min(max(1, round(self.bundle_seconds * fps / self.step(fps))), LARGEST_BUNDLE)


PROFILES = {
    "balanced": Profile(motion_rate=25.0, bundle_seconds=0.2, picture_size=256, budget=13.0),
    "thin": Profile(motion_rate=12.5, bundle_seconds=0.4, picture_size=128, budget=8.3),
}
DEFAULT_PROFILE = "balanced"
