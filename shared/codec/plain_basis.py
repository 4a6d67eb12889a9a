"""A motion basis for networks that nobody has fitted one to yet: a call works at once, `fit_codec` makes it cheaper.

Every number of the expression is coded by itself, in steps chosen for about 0.5 px of error, with two-sided geometric
(discrete Laplacian) probabilities. Whoever makes it gets the same bytes, or two ends could not talk to each other: the
tables are computed in whole numbers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from shared.codec.contexts import UNIT
from shared.codec.motion_basis import MotionBasis
from shared.codec.range_coder import TOTAL
from shared.motion import POSE_SIZE

REACH = 63
_EFFECT = 0.295
"""Pixels (of 256) that a step of any number moves the keypoints by, RMS: all roundings together come to about 0.5."""
_PIXELS = 128.0
_SPREAD = 0.35
"""RMS of the canonical keypoints along each axis: what an angle or the scale moves."""
_DEPTH_WEIGHT = 0.25
"""Depth is coded more coarsely: the volume has 16 places along it, and 64 across."""
_POSE_SIZES = (24.0, 16.0, 16.0, 0.0625, 24.0, 24.0, 6.0)
_PLANE_SIZE, _DEPTH_SIZE = 6.0, 2.0
"""Mean magnitudes of the integers: pose numbers, expression across, expression along the depth."""
_POSE_CHANGES = (1.5, 1.5, 1.5, 0.0625, 1.0, 1.0, 0.5)
_PLANE_CHANGE, _DEPTH_CHANGE = 0.5, 0.25
"""The same of differences between frames at 25 a second. The scale changes with the crop, hardly ever."""
_EDGES = (0.4, 0.8, 1.3)
_ACTIVITIES = (Fraction(1, 4), Fraction(5, 8), Fraction(9, 8), Fraction(5, 2))
"""Edges of the contexts, and how large differences are in each, in mean sizes."""
_ESCAPES = TOTAL // 256


def plain_basis(keypoints: int) -> MotionBasis:
    """The basis for motions of so many keypoints, all seven pose numbers coded."""
    pixels_a_degree = math.pi / 180 * _SPREAD * _PIXELS
    turned_in_plane = math.sqrt(2.0)  # yaw and pitch move one coordinate, roll and scale two
    effects = (
        pixels_a_degree, pixels_a_degree, turned_in_plane * pixels_a_degree, turned_in_plane * _SPREAD * _PIXELS,
        _PIXELS, _PIXELS, _DEPTH_WEIGHT * _PIXELS,
    )  # fmt: skip
    plane = _EFFECT * math.sqrt(keypoints) / _PIXELS  # one of K keypoints moves
    steps = [plane, plane, plane / _DEPTH_WEIGHT] * keypoints
    sizes = [*_POSE_SIZES, *([_PLANE_SIZE, _PLANE_SIZE, _DEPTH_SIZE] * keypoints)]
    changes = [*_POSE_CHANGES, *([_PLANE_CHANGE, _PLANE_CHANGE, _DEPTH_CHANGE] * keypoints)]
    identity = np.eye(3 * keypoints, dtype=np.float32)
    return MotionBasis(
        pose_mean=np.zeros(POSE_SIZE, np.float32),
        pose_steps=np.array([_rounded(_EFFECT / effect) for effect in effects], np.float32),
        expression_mean=np.zeros(3 * keypoints, np.float32),
        components=identity,
        analysis=identity.copy(),
        component_steps=np.array([_rounded(step) for step in steps], np.float32),
        intra_frequencies=_tables(sizes, Fraction(1)),
        inter_frequencies=np.stack([_tables(changes, activity) for activity in _ACTIVITIES]),
        activity=np.array([round(UNIT / change) for change in changes], np.uint16),
        context_edges=np.array([round(UNIT * edge) for edge in _EDGES], np.uint16),
    )


def _rounded(step: float) -> float:
    """To a fraction of a power of two, so that the last digits of a machine's arithmetic do not matter."""
    return round(step * 2**16) / 2**16


def _tables(sizes: Sequence[float], factor: Fraction) -> NDArray[np.uint16]:
    return np.stack([_geometric(Fraction(size) * factor) for size in sizes])


def _geometric(size: Fraction) -> NDArray[np.uint16]:
    """(2R + 2,) frequencies of integers whose mean magnitude is about `size`, and of the escape.

    Each integer is 1 / (1 + 1 / size) times as likely as the one nearer to zero.
    """
    ratio = size / (size + 1)
    weights = [ratio.numerator ** abs(n) * ratio.denominator ** (REACH - abs(n)) for n in range(-REACH, REACH + 1)]
    frequencies = [weight * (TOTAL - _ESCAPES) // sum(weights) for weight in weights]
    return np.array([*frequencies, TOTAL - sum(frequencies)], np.uint16)
