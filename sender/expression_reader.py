"""Reads off the sender's own motion which of the six expressions the face has, if one.

For a call in which no expression travels: the nearest of what this person's picture would perform says which it is.
Times are seconds and passed in.
"""

from __future__ import annotations

import numpy as np

from shared.models.performer import Performer
from shared.motion import FloatArray, Motion, to_the_front
from shared.reactions import LABELS
from shared.resting_face import RestingFace

HELD_SECONDS = 0.3
"""That a face must keep an expression: who only speaks has none for so long."""
AGAIN_SECONDS = 6.0
"""From one expression read to the next."""
_LIKENESS = 0.6
"""Cosine between what the face does and what a performance does, from which on they are alike."""
_SETTLES_SECONDS = 15.0
"""In which the neutral face follows the one that is seen: a call begins with a face at rest, or nearly."""


class ExpressionReader:
    """Looks at one person's motion, frame after frame."""

    def __init__(self, performer: Performer) -> None:
        self._performer = performer
        self._rest = RestingFace(_SETTLES_SECONDS)
        self._apexes: list[FloatArray] = []
        """(K, 3) each, by how much an expression differs from it"""
        self._number: int | None = None
        self._since = 0.0
        self._read_at = float("-inf")

    def read(self, motion: Motion, canonical: FloatArray, now: float) -> int | None:
        """The number of an expression that the face has come to have, once; None: nothing new.

        The first six frames make the six performances, one each, which takes milliseconds.
        """
        self._rest.see(motion, now)
        rest = self._rest.expression
        assert rest is not None
        if len(self._apexes) < len(LABELS):
            at_rest = Motion(np.zeros(3, np.float32), 1.0, np.zeros(3, np.float32), rest)
            apex = self._performer.perform(LABELS[len(self._apexes)], at_rest, canonical)[-1]
            self._apexes.append(to_the_front(apex) - rest)
            return None
        number = self._nearest(to_the_front(motion) - rest)
        if number != self._number:
            self._number, self._since = number, now
        if number is None or now - self._since < HELD_SECONDS or now - self._read_at < AGAIN_SECONDS:
            return None
        self._read_at = now
        return number

    def _nearest(self, change: FloatArray) -> int | None:
        """Of the six, if the face is nearer to it than to being at rest."""
        distances = [float(np.linalg.norm(change - apex)) for apex in self._apexes]
        nearest = int(np.argmin(distances))
        apex, size = self._apexes[nearest], float(np.linalg.norm(change))
        likeness = float(np.sum(change * apex)) / max(size * float(np.linalg.norm(apex)), 1e-9)
        return nearest + 1 if distances[nearest] < size and likeness >= _LIKENESS else None
