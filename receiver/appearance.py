"""Whether all sources of a call show one face. Pure: appearances and times are passed in."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from shared.models.appearance import distance
from shared.motion import FloatArray

THRESHOLD = 0.95
"""A source at least this far from every earlier one shows another face (`python -m benchmarks.face_change`; the model
card has what it costs and what it finds)."""
_FIRST, _KEPT = 4, 16
"""Appearances that are compared with, of which so many are the call's first: the light may change, and change back.
So a face that is changed little by little is not noticed."""


class FaceWatch:
    """Compares each source with the earlier ones. What is found stays until the call ends: a short swap matters too."""

    def __init__(self, threshold: float = THRESHOLD) -> None:
        self.changed: float | None = None
        """When the first source came that shows another face; None while there is none."""
        self.changes = 0
        """Sources that show another face."""
        self.on_change: Callable[[], None] = lambda: None
        """Called when the first one came."""
        self._threshold = threshold
        self._known: list[FloatArray] = []

    def take(self, appearance: FloatArray, now: float) -> None:
        """The next source's appearance; one that departs is not compared with later."""
        if self._known and nearest(appearance, self._known) >= self._threshold:
            self.changes += 1
            if self.changed is None:
                self.changed = now
                self.on_change()
            return
        self._known.append(appearance)
        if len(self._known) > _KEPT:
            del self._known[_FIRST]


def nearest(appearance: FloatArray, known: list[FloatArray]) -> float:
    """Distance to the nearest of at least one known appearance."""
    return float(distance(np.stack(known), appearance).min())
