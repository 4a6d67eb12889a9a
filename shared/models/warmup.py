"""First calls of a network are slow: they choose kernels and allocate memory. Better before the call than in it."""

from __future__ import annotations

import numpy as np

from shared.models.engine import Engine
from shared.motion import Motion


def warm_up(engine: Engine, rounds: int = 3) -> None:
    """Draws a few frames of a grey picture, from two sources."""
    k, shape = engine.keypoint_count, (engine.size, engine.size, 3)
    still = Motion(np.zeros(3, np.float32), 1.0, np.zeros(3, np.float32), np.zeros((k, 3), np.float32))
    source = engine.prepare(np.full(shape, 128, np.uint8), np.zeros((k, 3), np.float32), still)
    for _ in range(rounds):
        engine.draw([(source, 1.0), (source, 1.0)], still)
