"""Upscaling of decoded sources to the engine's size, by name. It runs off the frame path, once a source."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from shared.models.engine import EngineError, Picture
from shared.models.esrgan import Esrgan
from shared.models.esrgan_layouts import FILE
from shared.models.registry import locate
from shared.models.stored_weights import stored
from shared.models.tfhub import HubEsrgan
from shared.resampling import resampled

UPSCALERS = ("compact", "bicubic", "esrgan", "tfhub")
"""Ours, embedded; plain resampling; published ESRGAN x4 weights, fetched or from a file; the one of TensorFlow Hub."""
DEFAULT_UPSCALER = "compact"
_WITH_WEIGHTS = ("esrgan", "tfhub")


class Upscaler(Protocol):
    """Makes a square picture of any size one of another size."""

    def upscale(self, picture: Picture, size: int) -> Picture:
        """(size, size, 3) from (S, S, 3)."""


class Bicubic:
    """Plain resampling: the measure of every learned upscaler."""

    def upscale(self, picture: Picture, size: int) -> Picture:
        return resampled(picture, size)


def load_upscaler(name: str, weights: Path | None = None, device: str = "cpu") -> Upscaler:
    """An upscaler by name. Raises EngineError with what to do.

    weights: for `esrgan` a safetensors file, else the user's store has it; for `tfhub` a SavedModel folder, else it is
    fetched once. The others take none.
    """
    if name not in UPSCALERS:
        raise EngineError(f"there is no upscaler {name!r}; known: {', '.join(UPSCALERS)}")
    if weights is not None and name not in _WITH_WEIGHTS:
        raise EngineError(f"--upscaler {name} takes no weights: leave out --upscaler-weights, or use --upscaler esrgan")
    if name == "bicubic":
        return Bicubic()
    if name == "compact":
        return Esrgan(locate("compact-upscaler"), device)
    if name == "tfhub":
        return HubEsrgan(weights, device)
    return Esrgan(weights or _fetched(), device)


def _fetched() -> Path:
    """Published weights in the user's store. Raises EngineError where there are none."""
    path = stored(FILE)
    if not path.is_file():
        raise EngineError(
            "--upscaler esrgan has no weights yet: python -m weights fetch esrgan, or python -m weights convert FILE "
            "if you have a checkpoint, or give --upscaler-weights FILE (safetensors)"
        )
    return path
