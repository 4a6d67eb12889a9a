"""What is found in a camera frame: the person in it, and where."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from sender.crop import Crop, Cutter, between_crops, cut, whole_square
from sender.framing import Framer, Sight
from sender.portrait import FrameQuality, face_extent, frame_quality
from shared.models.engine import Engine, Picture
from shared.motion import FloatArray, Motion, keypoints

_IN_CROP = 0.6
"""Share of the face, in width and height, that must be in the crop that is drawn."""


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
    def quality(self) -> FrameQuality:
        """How good a source it would make."""
        return frame_quality(self.picture, self.points, self.motion)

    def motion_in(self, crop: Crop) -> Motion:
        """The motion in another crop of the camera's picture."""
        zoom, shift = between_crops(self.crop, crop)
        return self.motion.zoomed(zoom, (float(shift[0]), float(shift[1])))

    def has_left(self, crop: Crop) -> bool:
        """Whether most of the face is beside a crop: better hold the last picture than draw there."""
        if self.crop == crop:
            return False
        zoom, shift = between_crops(self.crop, crop)
        low, high = (zoom * corner + shift for corner in face_extent(self.points))
        inside = np.minimum(high, 1) - np.maximum(low, -1)
        return bool((inside < _IN_CROP * (high - low)).any())


class Analyser:
    """Finds the person in the frames of one camera: framing, then motion."""

    def __init__(self, engine: Engine, framer: Framer | None, size: int) -> None:
        """Without `framer` the largest centred square is taken; `size`: pixels a side of what is kept of a frame."""
        self._engine, self._framer, self._size = engine, framer, size
        self._crop: Crop | None = None
        self._crop_number = 0

    def analyse(self, frame: Picture) -> Analysis | None:
        """The person in a camera frame (H, W, 3); None if there is no face. Slow."""
        if self._framer is None:
            crop = whole_square(frame)
            picture = cut(frame, crop, self._size)
            canonical, motion = self._engine.extract(picture)
            return Analysis(picture, crop, 0, canonical, motion)
        framed = self._framer.update(frame)
        if framed.crop is None:
            return None
        picture = cut(frame, framed.crop, self._size)
        canonical, motion = self._engine.extract(picture)
        sight = self._framer.examine(frame, canonical, keypoints(canonical, motion))
        if sight is Sight.NONE:
            return None
        if framed.moved or framed.crop != self._crop:  # one in which no face was found needs no source
            self._crop, self._crop_number = framed.crop, (self._crop_number + 1) % 256
        return Analysis(picture, framed.crop, self._crop_number, canonical, motion, sight is Sight.CLEAR)


def cutter(analysis: Analysis | None, picture: Picture | None) -> Cutter:
    """Cuts a crop from a frame, or from what was cut of it already."""

    def cut_out(crop: Crop, size: int) -> Picture | None:
        if analysis is not None and analysis.crop == crop:
            return cut(analysis.picture, whole_square(analysis.picture), size)
        return None if picture is None else cut(picture, crop, size)

    return cut_out
