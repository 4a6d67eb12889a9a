"""Base pictures as an engine gets them, and the plain exchange of low frequencies for engines without a fusion."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from shared.motion import Motion

FADE_SECONDS = 0.5
"""Age at which a base picture counts for nothing any more."""
_FULL_SECONDS = 0.2
"""Up to this age it counts in full: two frames of a layer of 12.5 Hz, and one that was late."""
_SIGMA = 2.5 / 256
"""Of the Gaussian, as a share of the picture's side: the best of those measured in docs/base_layer.md."""

Picture = NDArray[np.uint8]
"""(H, W, 3) RGB."""


@dataclass(frozen=True, eq=False)
class LaterPicture:
    """The decoded base picture after the frame that is drawn."""

    picture: Picture
    """(S, S, 3)"""
    motion: Motion
    """Of the frame it belongs to"""
    ahead: float
    """Seconds from the frame that is drawn to that one"""


@dataclass(frozen=True, eq=False)
class BasePicture:
    """A decoded picture of the base layer, for one frame that is drawn."""

    picture: Picture
    """(S, S, 3), S at most the side of what is drawn"""
    motion: Motion
    """Of the frame it belongs to, in the crop that is drawn"""
    age: float
    """Seconds from its frame to the one that is drawn"""
    crf: int
    """Quantiser it was coded with"""
    after: LaterPicture | None = None
    """Where it has come already; else the picture would jump with each base picture"""

    @property
    def presence(self) -> float:
        """0..1: how much it counts, by its age."""
        return float(np.clip((FADE_SECONDS - self.age) / (FADE_SECONDS - _FULL_SECONDS), 0.0, 1.0))

    @property
    def share_after(self) -> float:
        """0..1: how much the picture after counts, by how near it is."""
        return 0.0 if self.after is None else self.age / max(self.age + self.after.ahead, 1e-6)


def exchange(drawn: Picture, base: BasePicture) -> Picture:
    """The drawn picture (S, S, 3) with the low frequencies of the base picture, as far as its age allows."""
    side = drawn.shape[0]
    enlarged = cv2.resize(base.picture, (side, side), interpolation=cv2.INTER_CUBIC).astype(np.float32)
    if base.after is not None:
        later = cv2.resize(base.after.picture, (side, side), interpolation=cv2.INTER_CUBIC)
        enlarged += base.share_after * (later - enlarged)
    apart = cv2.GaussianBlur(enlarged - drawn, (0, 0), _SIGMA * side)
    return np.asarray(np.clip(np.rint(drawn + base.presence * apart), 0, 255), np.uint8)
