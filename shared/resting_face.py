"""The face at rest, by what was seen of it: what an expression of it differs from."""

from __future__ import annotations

import numpy as np

from shared.motion import FloatArray, Motion, to_the_front


class RestingFace:
    """A running mean: who speaks opens and closes the mouth around it. Times are seconds and passed in."""

    def __init__(self, settles: float) -> None:
        """`settles`: seconds in which it follows what is seen."""
        self.expression: FloatArray | None = None
        """(K, 3) as it faces the camera; None before the first face."""
        self._settles, self._seen_at = settles, 0.0

    def see(self, motion: Motion, now: float) -> None:
        """Takes in a face."""
        face = to_the_front(motion)
        if self.expression is None:
            self.expression, self._seen_at = face, now
        share = min(max(now - self._seen_at, 0.0) / self._settles, 1.0)
        self.expression = np.asarray(self.expression + share * (face - self.expression), np.float32)
        self._seen_at = now
