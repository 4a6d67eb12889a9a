"""Upscaling of decoded sources to the engine's size, by name. It runs off the frame path, once a source."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from shared.models.engine import EngineError, Picture
from shared.models.esrgan import Esrgan, resampled
from shared.models.registry import locate

UPSCALERS = ("compact", "bicubic", "esrgan")
"""Ours, embedded; plain resampling; published ESRGAN x4 weights from a file."""
DEFAULT_UPSCALER = "compact"


class Upscaler(Protocol):
    """Makes a square picture of any size one of another size."""

    def upscale(self, picture: Picture, size: int) -> Picture:
        """(size, size, 3) from (S, S, 3)."""


class Bicubic:
    """Plain resampling: the measure of every learned upscaler."""

    def upscale(self, picture: Picture, size: int) -> Picture:
        return resampled(picture, size)


def load_upscaler(name: str, weights: Path | None = None, device: str = "cpu") -> Upscaler:
    """An upscaler by name; only `esrgan` takes a weights file. Raises EngineError with what to do."""
    if name not in UPSCALERS:
        raise EngineError(f"there is no upscaler {name!r}; known: {', '.join(UPSCALERS)}")
    if name != "esrgan" and weights is not None:
        raise EngineError(f"--upscaler {name} takes no weights: leave out --upscaler-weights, or use --upscaler esrgan")
    if name == "bicubic":
        return Bicubic()
    if name == "compact":
        return Esrgan(locate("compact-upscaler"), device)
    if weights is None:
        raise EngineError("--upscaler esrgan needs --upscaler-weights FILE (ESRGAN x4 as safetensors)")
    return Esrgan(weights, device)
