"""Frames and motions of the `compact` engine by OpenVINO."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from shared.models import compact, frame
from shared.models.frame import Frame, Parts, Pictures, Reading
from shared.models.motion_network import MOTION_INPUT
from shared.models.openvino_models import Compiled
from shared.motion import FloatArray

logger = logging.getLogger(__name__)

Read = Callable[[Pictures], FloatArray]
"""From (1, 256, 256, 3) to numbers, as `Reading.forward`."""
COUNTS = (1, 2, 3)
"""Numbers of sources that a frame is drawn from, those that fade out included."""


class OpenVinoFrames:
    """Draws in single precision. As many threads may draw at a time as PyTorch's threads leave cores for."""

    sizes: tuple[int, ...] = (1,)
    drawing_type = torch.float32

    def __init__(self, drawing: Frame, side: int, cache: Path | None = None) -> None:
        """For pictures of `side` px. Raises ImportError or RuntimeError if OpenVINO is not there or fails."""
        self._compiled = {
            (count, base): Compiled(drawing, frame_inputs(drawing, count, side, base), cache)
            for count in COUNTS
            for base in (0, 1, 2)
        }

    def draw(self, numbers: FloatArray, rows: Sequence[Sequence[Parts]], bases: Pictures | None = None) -> Pictures:
        """See `Frames.draw`; rows are drawn one after the other."""
        drawn = []
        for at, sources in enumerate(rows):
            inputs = [numbers[at : at + 1], *(part.numpy() for source in sources for part in source)]
            inputs += [] if bases is None else [bases[at : at + 1]]
            drawn.append(
                np.asarray(self._compiled[len(sources), 0 if bases is None else bases.shape[1]](inputs), np.uint8)
            )
        return np.concatenate(drawn)


class OpenVinoReading:
    """Reads motions in single precision. Compiled when the first picture comes: a receiver reads none."""

    def __init__(self, reading: Reading, otherwise: Read, cache: Path | None = None) -> None:
        """`otherwise` reads if OpenVINO is not there or fails, which is logged."""
        self._reading, self._otherwise, self._cache = reading, otherwise, cache
        self._read: Read | None = None
        self._lock = threading.Lock()

    def __call__(self, picture: Pictures) -> FloatArray:
        """See `Reading.forward`."""
        with self._lock:
            self._read = self._read or self._made()
        return self._read(picture)

    def _made(self) -> Read:
        example = torch.zeros(1, MOTION_INPUT, MOTION_INPUT, 3, dtype=torch.uint8)
        try:
            compiled = Compiled(self._reading, [example], self._cache)
        except (ImportError, RuntimeError) as error:
            logger.warning("OpenVINO does not read here (%s): PyTorch does", str(error).strip().partition("\n")[0])
            return self._otherwise
        return lambda picture: np.asarray(compiled([picture]), np.float32)


def frame_inputs(drawing: Frame, count: int, side: int, bases: int = 0) -> list[Tensor]:
    """Inputs of a frame from `count` sources and so many base pictures; what they hold does not matter."""
    native, features = frame.NATIVE_SIDE, drawing.features
    shapes = [(3, native, native), (features, native // 4, native // 4), (compact.COMPRESSED, native // 8, native // 8)]
    fine = [] if side == native else [(3, side, side)]
    source = [torch.ones(1, *shape) for shape in [*shapes, (frame.SOURCE_NUMBERS,), *fine]]
    more = (0, frame.BASE_NUMBERS, frame.BASE_NUMBERS + frame.AFTER_NUMBERS)[bases]
    numbers = torch.ones(1, count + frame.MOTION_NUMBERS + more)
    return [numbers, *source * count, *[torch.ones(1, bases, native, native, 3, dtype=torch.uint8)] * bool(bases)]
