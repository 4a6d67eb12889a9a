"""What was found in one camera frame."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from sender.crop import Crop
from sender.portrait import Portrait, portrait
from shared.models.engine import Picture
from shared.motion import FloatArray, Motion, keypoints


@dataclass(frozen=True, eq=False)
class Analysis:
    """A person in a camera frame."""

    picture: Picture
    """The square crop, (S, S, 3)."""
    crop: Crop
    crop_number: int
    canonical: FloatArray
    motion: Motion
    clear: bool = True
    """Whether the face is plainly there: only such a frame may become a source."""

    @cached_property
    def points(self) -> FloatArray:
        """(K, 3) keypoints in the picture."""
        return keypoints(self.canonical, self.motion)

    @cached_property
    def portrait(self) -> Portrait:
        """How good a source it would make."""
        return portrait(self.picture, self.points, self.motion)
