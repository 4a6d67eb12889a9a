"""First calls of a network are slow: they choose kernels, allocate memory and capture graphs. Better before the call
than in it."""

from __future__ import annotations

import numpy as np

from shared.models.batching import draw_many, largest_batch
from shared.models.engine import Engine, Request
from shared.models.exchange import BasePicture, LaterPicture
from shared.motion import Motion

_MOST_SOURCES = 3
"""That a frame is drawn from, those that fade out included."""


def warm_up(engine: Engine, rounds: int = 3, calls: int = 1) -> None:
    """Draws a few frames of a grey picture, from two sources, with and without a base layer.

    An engine that draws frames together, as one on a GPU does, draws from every number of sources, and in every size
    of batch that so many `calls` may ask for: each has its own graph.
    """
    k, shape = engine.keypoint_count, (engine.size, engine.size, 3)
    still = Motion(np.zeros(3, np.float32), 1.0, np.zeros(3, np.float32), np.zeros((k, 3), np.float32))
    source = engine.prepare(np.full(shape, 128, np.uint8), np.zeros((k, 3), np.float32), still)
    grey = np.full((64, 64, 3), 128, np.uint8)
    bases = (None, BasePicture(grey, still, 0.0, 63), BasePicture(grey, still, 0.1, 63, LaterPicture(grey, still, 0.1)))
    for _ in range(rounds):
        for given in bases:
            engine.draw([(source, 1.0), (source, 1.0)], still, given)
    if (most := largest_batch(engine)) == 1:
        return
    batch = 1
    while True:
        for count in range(1, _MOST_SOURCES + 1):
            for given in bases:
                draw_many(engine, [Request([(source, 1.0)] * count, still, given)] * batch)
        if batch >= min(calls, most):
            break
        batch = min(2 * batch, most)
