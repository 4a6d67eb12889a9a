"""Reads off the sender's own motion which of the six expressions the face has, if one.

For a call in which no expression travels: the nearest of what this person's picture would perform says which it is.
Times are seconds and passed in.
"""

from __future__ import annotations

import numpy as np

from shared.models.performer import Performer
from shared.motion import FloatArray, Motion, rotation_matrix
from shared.reactions import LABELS

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
        self._neutral: FloatArray | None = None
        """(K, 3) of the face at rest, as it is turned to the front"""
        self._apexes: list[FloatArray] = []
        """(K, 3) each, by how much an expression differs from it"""
        self._seen_at = 0.0
        self._number: int | None = None
        self._since = 0.0
        self._read_at = float("-inf")

    def read(self, motion: Motion, canonical: FloatArray, now: float) -> int | None:
        """The number of an expression that the face has come to have, once; None: nothing new.

        The first six frames make the six performances, one each, which takes milliseconds.
        """
        face = _to_the_front(motion)
        if self._neutral is None:
            self._neutral, self._seen_at = face, now
        if len(self._apexes) < len(LABELS):
            rest = Motion(np.zeros(3, np.float32), 1.0, np.zeros(3, np.float32), self._neutral)
            apex = self._performer.perform(LABELS[len(self._apexes)], rest, canonical)[-1]
            self._apexes.append(_to_the_front(apex) - self._neutral)
            return None
        number = self._nearest(face - self._neutral)
        share = min(max(now - self._seen_at, 0.0) / _SETTLES_SECONDS, 1.0)
        self._neutral, self._seen_at = np.asarray(self._neutral + share * (face - self._neutral), np.float32), now
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


def _to_the_front(motion: Motion) -> FloatArray:
    """(K, 3) expression of a motion, turned back as if the head faced the camera."""
    return np.asarray(motion.expression @ rotation_matrix(motion.rotation), np.float32)
