"""The face-mesh landmarks as one rigid head: mean face, its mirror, and the head pose of each frame.

Every frame is a turned, scaled and shifted mean face plus what the face does (Procrustes alignment: Kabsch 1976,
Umeyama 1991). The turn supervises the head pose, so that expression is left with expression: fewer bytes, no
face that opens its mouth because the head nods.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

MESH = 478
"""Landmarks of the face mesh with irises."""
MEAN_SCALE = 0.157
"""Typical scale of a head in the clips' crops; fixes the unit of the canonical keypoints."""


class Pose(NamedTuple):
    """Similarity transforms: landmarks = scale · rotation · mean face + translation."""

    rotation: Floats
    """(N, 3, 3)"""
    scale: Floats
    """(N,)"""
    translation: Floats
    """(N, 3) picture coordinates"""


def align(points: Floats, mean: Floats) -> Pose:
    """The pose of each (N, L, 3) face against the (L, 3) mean face, which lies around the origin."""
    centre = points.mean(1, keepdims=True)
    u, singular, vt = np.linalg.svd(np.einsum("ni,bnj->bij", mean, points - centre))
    sign = np.ones((len(points), 3))
    sign[:, 2] = np.sign(np.linalg.det(u @ vt))  # turns only, no reflections
    rotation = np.einsum("bji,bj,bkj->bik", vt, sign, u)
    return Pose(rotation, (singular * sign).sum(1) / (mean**2).sum(), centre[:, 0])


def mean_face(points: Floats, rounds: int = 5) -> Floats:
    """(L, 3) mean of (N, L, 3) faces after alignment, around the origin; the scale of a typical one is MEAN_SCALE."""
    mean: Floats = points.mean(0) - points.mean((0, 1))
    for _ in range(rounds):
        pose = align(points, mean)
        centred = points - pose.translation[:, None]
        mean = (np.einsum("bij,bni->bnj", pose.rotation, centred) / pose.scale[:, None, None]).mean(0)
        mean -= mean.mean(0)
        mean *= align(points, mean).scale.mean() / MEAN_SCALE
    return mean


def mirror_order(mean: Floats) -> NDArray[np.int64]:
    """(L,) for each landmark the one that takes its place when the picture is mirrored."""
    mirrored = mean * np.array([-1.0, 1.0, 1.0])
    distance = ((mirrored[:, None] - mean[None]) ** 2).sum(-1)
    return np.asarray(distance.argmin(1), np.int64)
