"""A little scene that moves, and its base layer."""

import threading
from functools import cache
from typing import Any

import numpy as np

from shared.codec.base_video import BaseEncoder, CodedBase


def scene(size: int, count: int) -> list[np.ndarray]:
    """Pictures of a disc that crosses a slope of colour."""
    y, x = np.mgrid[:size, :size] / size
    pictures = []
    for number in range(count):
        disc = (x - 0.3 - 0.03 * number) ** 2 + (y - 0.5) ** 2 < 0.04
        planes = [200 * x, 200 * y, np.where(disc, 230.0, 60.0)]
        pictures.append(np.rint(np.stack(planes, axis=-1)).astype(np.uint8))
    return pictures


@cache
def coded(size: int = 64, count: int = 12, crf: int = 55) -> tuple[CodedBase, ...]:
    """The base layer of the scene, its first picture a key."""
    encoder = BaseEncoder(size, crf)
    found = [encoder.encode(picture) for picture in scene(size, count)]
    return tuple(each for each in found if each is not None)


class Hanging:
    """Stands in for SVT-AV1: so many pictures are coded, then a call does not come back until it is let go."""

    is_open = True

    def __init__(self, context: Any, pictures: int) -> None:
        self._context, self._left = context, pictures
        self.let_go = threading.Event()
        self.asked: list[object] = []

    def encode(self, frame: object) -> Any:
        self.asked.append(frame)
        if self._left == 0:
            self.let_go.wait(60)
        self._left -= 1
        return self._context.encode(frame)
