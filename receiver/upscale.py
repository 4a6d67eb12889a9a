"""Upscaling of decoded sources to the engine's size, by name. It runs off the frame path, once a source."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from shared.models.engine import EngineError, Picture
from shared.models.esrgan import Esrgan

UPSCALERS = ("bicubic", "esrgan")


class Upscaler(Protocol):
    """Makes a square picture of any size one of another size."""

    def upscale(self, picture: Picture, size: int) -> Picture:
        """(size, size, 3) from (S, S, 3)."""


class Bicubic:
    """Plain resampling: the measure of every learned upscaler."""

    def upscale(self, picture: Picture, size: int) -> Picture:
        if picture.shape[0] == size:
            return picture
        way = cv2.INTER_AREA if picture.shape[0] > size else cv2.INTER_CUBIC
        return np.asarray(cv2.resize(picture, (size, size), interpolation=way), np.uint8)


def load_upscaler(name: str, weights: Path | None = None, device: str = "cpu") -> Upscaler:
    """An upscaler by name; `esrgan` needs a weights file. Raises EngineError with what to do."""
    if name == "bicubic":
        return Bicubic()
    if name == "esrgan":
        if weights is None:
            raise EngineError("--upscaler esrgan needs --upscaler-weights FILE (ESRGAN x4 as safetensors)")
        return Esrgan(weights, device)
    raise EngineError(f"there is no upscaler {name!r}; known: {', '.join(UPSCALERS)}")
