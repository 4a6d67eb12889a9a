"""What the facial action coding system says of six expressions, as deformations of our keypoints.

Action units (Ekman and Friesen 1978; the prototypes of EMFACS) move a few measures of the face mesh: heights of brows
and of the corners of the mouth, openings, widths. How far a unit goes at its strongest is how far a measure goes in one
frame of fifty in the clips; what keypoints do when a measure changes is regressed on the same frames.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shared.models.layers import LANDMARKS
from shared.motion import FloatArray
from shared.reactions import LABELS

Floats = NDArray[np.float64]

MEASURES = (
    "inner brow", "outer brow", "brows apart", "lids apart", "lower lid", "nostrils", "upper lip", "lower lip",
    "lips apart", "corners", "mouth width", "chin",
)  # fmt: skip
"""Heights but for `apart` and `width`; up is positive."""
UNITS: dict[int, dict[str, float]] = {
    1: {"inner brow": 1.8, "outer brow": 0.3},
    2: {"outer brow": 1.4},
    4: {"inner brow": -2.2, "outer brow": -1.4, "brows apart": -1.0},
    5: {"lids apart": 1.2, "lower lid": -0.7},
    6: {"lower lid": 0.8, "lids apart": -0.3},
    7: {"lower lid": 0.6, "lids apart": -0.4},
    9: {"nostrils": 1.5, "upper lip": 0.8, "inner brow": -1.0, "lower lid": 0.8},
    10: {"upper lip": 1.0},
    12: {"corners": 1.0, "mouth width": 1.0},
    15: {"corners": -1.5, "lower lip": 0.2},
    17: {"lower lip": 0.6, "chin": 0.5, "lips apart": -0.2},
    20: {"mouth width": 0.8, "corners": -0.2},
    23: {"lips apart": -0.3, "upper lip": -0.3, "lower lip": 0.3},
    25: {"lips apart": 0.4, "lower lip": -0.3},
    26: {"lips apart": 0.9, "lower lip": -0.9, "chin": -0.9},
}
"""By how much of the strongest each action unit moves the measures: beyond it for brows, which talking hardly moves."""
PROTOTYPES: dict[str, tuple[dict[int, float], ...]] = {
    "happiness": ({6: 1.0, 12: 1.0}, {6: 1.0, 12: 1.0, 25: 1.0}),
    "sadness": ({1: 1.0, 4: 0.3, 15: 1.0, 17: 0.6}, {1: 1.0, 4: 0.3, 15: 1.0, 7: 0.4}),
    "surprise": ({1: 1.0, 2: 1.0, 5: 0.7, 26: 1.0}, {1: 1.0, 2: 1.0, 5: 0.8, 25: 1.0, 26: 0.7}),
    "anger": ({4: 1.0, 5: 0.3, 7: 0.7, 23: 1.0}, {4: 1.0, 7: 0.8, 17: 0.5, 23: 0.6}),
    "disgust": ({9: 1.0, 10: 0.7, 15: 0.5, 17: 0.6}, {4: 0.4, 9: 1.0, 10: 1.0, 17: 0.3}),
    "fear": ({1: 1.0, 2: 0.6, 4: 0.3, 5: 1.0, 20: 1.0, 25: 0.8}, {1: 1.0, 4: 0.3, 5: 1.0, 20: 1.0, 26: 0.5}),
}
"""Alternatives of each label: action units and how strong each is."""
_STRONG = 98.0
_BROWS, _DILUTION = slice(0, 3), 2.2
"""Measures of brows, and how much further keypoints on brows go than the regression says: heights of brows that do not
move are noise, most of the time, and noise that does not move keypoints makes slopes small (0.3 there, half for lips).
"""
_RIDGE = 0.02
_BROW_POINTS = tuple(LANDMARKS.index(each) for each in (70, 105, 336, 334))


def measures(faces: FloatArray) -> Floats:
    """(T, MEASURES) of (T, 478, 3) frontal faces, in distances between the outer corners of the eyes."""
    points = faces.astype(np.float64)

    def height(*landmarks: int) -> Floats:
        return np.asarray(-points[:, landmarks, 1].mean(1))

    def apart(a: int, b: int) -> Floats:
        return np.asarray(np.linalg.norm(points[:, a, :2] - points[:, b, :2], axis=1))

    eyes, nose = height(33, 133, 362, 263), height(2, 6, 168)
    columns = [
        height(55, 107, 285, 336) - eyes, height(46, 70, 276, 300) - eyes, apart(107, 336),
        (apart(159, 145) + apart(386, 374)) / 2, height(145, 374) - eyes, height(129, 358) - eyes,
        height(0, 37, 267) - nose, height(17, 84, 314) - nose, apart(13, 14), height(61, 291) - nose, apart(61, 291),
        height(152) - nose,
    ]  # fmt: skip
    unit = np.maximum(apart(33, 263), 1e-6)
    return np.stack(columns, 1) / unit[:, None]


@dataclass(frozen=True, eq=False)
class Actions:
    """What measures do, fitted on clips."""

    strongest: Floats
    """(MEASURES, 2) how far each goes down and up."""
    effect: Floats
    """(MEASURES, 3K) deformation for each unit of a measure."""

    @staticmethod
    def fit(people: Iterable[tuple[Floats, FloatArray]]) -> Actions:
        """Of (T, MEASURES) measures and (T, 3K) deformations of each person: what differs within people alone."""
        moved, deformed = [], []
        for measured, deformation in people:
            moved.append(measured - np.median(measured, axis=0))
            deformed.append(deformation - np.median(deformation, axis=0))
        x, y = np.concatenate(moved), np.concatenate(deformed).astype(np.float64)
        size = np.maximum(x.std(0), 1e-9)  # a measure may not change in a few clips
        scaled = x / size
        normal = scaled.T @ scaled / len(x) + _RIDGE * np.eye(x.shape[1])
        effect = np.linalg.solve(normal, scaled.T @ y / len(x)) / size[:, None]
        for place in _BROW_POINTS:
            effect[_BROWS, 3 * place : 3 * place + 3] *= _DILUTION
        return Actions(np.stack([np.percentile(x, 100 - _STRONG, 0), np.percentile(x, _STRONG, 0)], 1), effect)

    def deformation(self, units: dict[int, float]) -> Floats:
        """(3K,) of action units, each at its strength 0..1."""
        change = np.zeros(len(MEASURES))
        for unit, strength in units.items():
            for name, share in UNITS[unit].items():
                low, high = self.strongest[MEASURES.index(name)]
                change[MEASURES.index(name)] += strength * share * (high if share > 0 else -low)
        return np.asarray(change @ self.effect)

    def performed(self, label: str, chance: np.random.Generator) -> dict[int, float]:
        """Action units of one way in which somebody shows an expression. Raises ValueError for another label."""
        if label not in LABELS:
            raise ValueError(f"there is no expression {label!r}")
        ways = PROTOTYPES[label]
        strength = chance.uniform(0.7, 1.15)
        way = ways[chance.integers(len(ways))]
        return {unit: strength * each * chance.uniform(0.8, 1.1) for unit, each in way.items()}
