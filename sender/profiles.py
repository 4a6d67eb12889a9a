"""Profiles: what a call may cost and how quick it is; together they are the ladder, in one table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from shared.codec.base_video import MAX_CRF, SIZES
from shared.codec.picture import DEFAULT_QUALITY, Quality

LARGEST_BUNDLE = 10
"""Frames of a bundle at most, whatever the link."""
LARGEST_BASE_RATE = 25.0
"""Pictures of the base layer a second."""
MOST_BETWEEN = 8
"""Camera frames from one of motion to the next at most: of fewer a receiver makes no even motion."""
_HALF = 6.25
"""Pictures a second, half the usual: at a slower rate a base would be too old for most frames."""


class BasePoint(NamedTuple):
    """How a base layer is coded."""

    size: int
    """Side in pixels."""
    rate: float
    """Pictures a second."""
    crf: int
    """1 (best) to 70."""
    kbps: float
    """What its packets may take in the long run, payload."""

    def check(self) -> BasePoint:
        """Itself. Raises ValueError if no base layer is like that."""
        if self.size not in SIZES or not 1 <= self.crf <= MAX_CRF:
            raise ValueError(f"a base layer has {SIZES} px and crf 1 to {MAX_CRF}, not {self.size} px, crf {self.crf}")
        if not (1.0 <= self.rate <= LARGEST_BASE_RATE and self.kbps > 0):
            raise ValueError(f"a base layer has 1 to {LARGEST_BASE_RATE:g} pictures a second, not {self.rate:g}")
        return self

    def changed(self, size: int | None, crf: int | None, rate: float | None) -> BasePoint:
        """With what is given in the place of its own; what its packets may take grows with its pictures, and with the
        bits that a finer quantiser takes. Raises ValueError if no base layer is like that."""
        other = self._replace(
            size=self.size if size is None else size,
            crf=self.crf if crf is None else crf,
            rate=self.rate if rate is None else rate,
        )
        grown = (other.size / self.size) ** 1.2 * (other.rate / self.rate) ** 0.7 * 1.08 ** (self.crf - other.crf)
        return other._replace(kbps=self.kbps * grown).check()

    def lower(self) -> tuple[BasePoint, ...]:
        """The points below it, each cheaper than the one before: those of the ladder, then at half the rate."""
        if self.rate <= _HALF:
            return ()
        below = [base for base in (SHARP_BASE, USUAL_BASE) if base.kbps < self.kbps]
        last = below[-1] if below else self
        return (*below, last._replace(rate=max(last.rate / 2, _HALF), kbps=0.6 * last.kbps))


USUAL_BASE = BasePoint(256, 12.5, 65, 5.0)
"""A large picture at a coarse quantiser is truer than a small one at a finer, byte for byte (docs/base_layer.md)."""
SHARP_BASE = BasePoint(256, 12.5, 58, 14.0)


@dataclass(frozen=True)
class Profile:
    """How motion, base and sources are sent on a link that carries them well; `adaptation` says what a poor one
    changes."""

    motion_rate: float
    """Frames of motion a second, about: a whole share of the camera's frames is sent."""
    bundle_seconds: float
    """Time that a bundle spans: what bundling adds to the delay, and a packet's overhead is shared by."""
    picture_size: int
    """Side of the source pictures in pixels, unless one is asked for."""
    budget: float
    """kbit/s on the wire, out and back together, for the default refresh, unless one is asked for. A base layer comes
    on top: it has a bound of its own."""
    about: str = ""
    """What it is for, a line of help."""
    picture_quality: Quality = DEFAULT_QUALITY
    """Of the source pictures, unless one is asked for."""
    base: BasePoint | None = None
    """The base layer, None if there is none."""
    out: float = 0.0
    """kbit/s on the wire that go out, about, without sound: what the link should carry."""
    still: bool = False
    """Whether no expression travels, but a label of one now and then: a still picture whose head moves."""

    def step(self, fps: float) -> int:
        """Of how many camera frames one is sent; receivers make up what lies between up to MOST_BETWEEN."""
        return min(max(1, round(fps / self.motion_rate)), MOST_BETWEEN)

    def bundle(self, fps: float) -> int:
        """Frames of a bundle."""
        return min(max(1, round(self.bundle_seconds * fps / self.step(fps))), LARGEST_BUNDLE)


PROFILES = {
    "balanced": Profile(
        25.0, 0.2, 256, 13.0, "25 frames of motion a second, quick, and a base layer", base=USUAL_BASE, out=10.5
    ),
    "still": Profile(3.0, 0.67, 128, 8.3, "a still picture whose head moves, and an expression now and then where the "
                     "other side performs it, for links that carry 2.5 kbit/s out", still=True, out=1.9),
    "thin": Profile(12.5, 0.4, 128, 8.3, "motion only, half as many, in larger messages, for links that carry 5 kbit/s "
                    "out", out=4.5),
    "sparing": Profile(12.5, 0.32, 128, 8.3, "as many, and a base layer of 6 pictures a second, for links that carry 8",
                       base=USUAL_BASE.lower()[-1], out=8.0),
    "sharp": Profile(25.0, 0.2, 256, 20.0, "finer pictures, and more of them, and a finer base layer, for links "
                     "that carry 20", 80, SHARP_BASE, 20.0),
    "video": Profile(25.0, 0.2, 256, 20.0, "a base layer of 25 pictures a second, a video by itself, for "
                     "links that carry 40", 80, BasePoint(256, 25.0, 50, 33.0), 40.0),
    "responsive": Profile(25.0, 0.08, 256, 22.0, "messages of two frames: the least delay, at about twice the bytes",
                          base=USUAL_BASE, out=16.5),
}  # fmt: skip
DEFAULT_PROFILE = "balanced"

LADDER = ("still", "thin", "sparing", "balanced", "sharp", "video")
"""Profiles from the cheapest on, each for links that carry its `out`."""


def words(base: BasePoint | None) -> str:
    """What is sent, as the user reads it."""
    if base is None:
        return "motion only"
    if base.rate > USUAL_BASE.rate:
        return "video and motion"
    if (base.size, -base.crf) > (USUAL_BASE.size, -USUAL_BASE.crf):
        return "motion and a sharp base"
    return "motion and base" if base.rate > _HALF else "motion and a slow base"
