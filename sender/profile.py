"""Profiles: what a call may cost and how quick it is, in one place."""

from __future__ import annotations

from dataclasses import dataclass

from shared.codec.picture import DEFAULT_QUALITY, Quality

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
    about: str = ""
    """What it is for, a line of help."""
    picture_quality: Quality = DEFAULT_QUALITY
    """Of the source pictures, unless one is asked for."""

    def step(self, fps: float) -> int:
        """Of how many camera frames one is sent."""
        return max(1, round(fps / self.motion_rate))

    def bundle(self, fps: float) -> int:
        """Frames of a bundle."""
        return min(max(1, round(self.bundle_seconds * fps / self.step(fps))), LARGEST_BUNDLE)


PROFILES = {
    "balanced": Profile(25.0, 0.2, 256, 13.0, "25 frames of motion a second, quick"),
    "thin": Profile(12.5, 0.4, 128, 8.3, "half as many, in larger messages, for links that carry 8 kbit/s"),
    "sharp": Profile(25.0, 0.2, 256, 26.0, "finer pictures, and more of them, for links that carry 26", 80),
    "responsive": Profile(25.0, 0.08, 256, 22.0, "messages of two frames: the least delay, at about twice the bytes"),
}
DEFAULT_PROFILE = "balanced"
