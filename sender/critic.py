"""The decoder inside the encoder: draws at the sender what the receiver draws, and measures how far off it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from sender.analysis import Analysis
from sender.crop import cut, whole_square
from sender.portrait import face_extent
from shared.codec.picture import Picture as PictureMessage
from shared.codec.picture import decode_picture
from shared.models.engine import Engine, Picture, Weighted
from shared.models.exchange import BasePicture
from shared.motion import FloatArray, Motion

_SIDE = 128
"""Pictures are compared at half the size they are drawn: quick, and grain does not count."""
_BACKGROUND = 0.1
"""Weight far from the face; 1 in its middle."""
_REACH = 1.2
"""Of half the face's extent: there the weight of the face has fallen to 1/e, so hair and chin still count."""


@dataclass(frozen=True, eq=False)
class View:
    """A camera frame as it should look at the receiver."""

    motion: Motion
    luma: FloatArray
    """(128, 128), 0..255"""
    weight: FloatArray
    """(128, 128), sums to one"""
    base: BasePicture | None = None
    """What it is drawn with, whatever the sources"""


class Critic:
    """Draws with the compact generator whatever the receiver's own is. All of it is slow: for a worker."""

    def __init__(self, engine: Engine) -> None:
        """`engine` must draw."""
        self._engine = engine

    def view(self, analysis: Analysis, base: BasePicture | None = None) -> View:
        """What the frame should look like; `base`: what the receiver draws it with."""
        return View(analysis.motion, _luma(analysis.picture), _face_weight(analysis.points), base)

    def receive(self, message: PictureMessage) -> Any:
        """A source as it will arrive: decoded, and brought to the engine's size by plain resizing, ready to draw from.

        What enlarges a smaller one at the receiver is the receiver's own choice, and may do it better.
        """
        arrived = PictureMessage.unpack(message.pack())  # numbers as they travel
        picture = decode_picture(arrived.codec, arrived.data, arrived.width, arrived.height)
        side = self._engine.size
        return self._engine.prepare(cut(picture, whole_square(picture), side), arrived.canonical, arrived.motion)

    def error(self, sources: Weighted, view: View) -> float:
        """How far off the view is when drawn from sources: dB of the squared error of the luma, mostly the face's."""
        drawn = _luma(self._engine.draw(sources, view.motion, view.base))
        return 10 * float(np.log10(1e-3 + np.sum(view.weight * np.square(drawn - view.luma), dtype=np.float64)))


def _luma(picture: Picture) -> FloatArray:
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    return np.asarray(cv2.resize(grey, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA), np.float32)


def _face_weight(points: FloatArray) -> FloatArray:
    low, high = face_extent(points)
    centre, half = (low + high) / 2, np.maximum((high - low) / 2, 0.05)
    axis = (np.arange(_SIDE) + 0.5) * 2 / _SIDE - 1
    x, y = (np.exp(-np.square((axis - centre[i]) / (_REACH * half[i]))) for i in range(2))
    weight = _BACKGROUND + y[:, None] * x[None]
    return np.asarray(weight / weight.sum(), np.float32)
