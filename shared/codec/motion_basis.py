"""The motion basis: how a motion becomes integers and back.

An expression basis, quantiser steps and the probabilities of the integers; and a plain one for networks that nobody has
fitted one to yet: a call works at once, `fit_codec` makes it cheaper.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from fractions import Fraction
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from shared.codec.range_coder import TOTAL, UNIT, Contexts, FrequencyTable
from shared.motion import POSE_SIZE, FloatArray, Motion

Numbers = NDArray[np.float64]
"""(D,) coded numbers of a motion in units of their steps."""
MAX_INTEGER = 8191
"""Largest magnitude of a quantised number; a difference of two then fits 16 bits."""
ANGLE_LIMIT = 90.0
SCALE_LIMITS = (0.02, 5.0)
TRANSLATION_LIMIT = 2.0
EXPRESSION_LIMIT = 2.0
_SCALE = 3
"""Index of the scale among the pose numbers."""
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


@dataclass(frozen=True, eq=False)
class MotionBasis:
    """What both ends must share to read each other's bundles. Raises ValueError when the parts do not fit together."""

    pose_mean: FloatArray
    """(7,) yaw, pitch, roll (degrees), log scale, tx, ty, tz: the value of integer zero."""
    pose_steps: FloatArray
    """(7,) quantiser steps in the same units; a step of zero means not coded (the receiver uses the mean)."""
    expression_mean: FloatArray
    """(3K,) expression of coefficients zero."""
    components: FloatArray
    """(n, 3K) expression per unit of each coefficient."""
    analysis: FloatArray
    """(n, 3K) coefficients of an expression less its mean."""
    component_steps: FloatArray
    """(n,) quantiser steps of the coefficients."""
    intra_frequencies: NDArray[np.uint16]
    """(D, S) a row per coded number: frequencies of the integers -R..R, then of the escape; S = 2R + 2."""
    inter_frequencies: NDArray[np.uint16]
    """(C, D, S) the same for the difference of a number's integer to the frame before, for each context."""
    activity: NDArray[np.uint16]
    """(D,) `contexts.UNIT` over the mean size of each number's difference."""
    context_edges: NDArray[np.uint16]
    """(C - 1,) ascending: see `contexts`."""

    def __post_init__(self) -> None:
        n, size = self.components.shape
        numbers = len(self.coded_pose) + n
        shapes = {
            "pose_mean": (POSE_SIZE,),
            "pose_steps": (POSE_SIZE,),
            "expression_mean": (size,),
            "analysis": (n, size),
            "component_steps": (n,),
            "intra_frequencies": (numbers, self.intra_frequencies.shape[-1]),
            "inter_frequencies": (len(self.context_edges) + 1, numbers, self.intra_frequencies.shape[-1]),
            "activity": (numbers,),
        }
        for name, shape in shapes.items():
            if getattr(self, name).shape != shape:
                raise ValueError(f"{name} has shape {getattr(self, name).shape}, expected {shape}")
        if size % 3 or self.intra_frequencies.shape[1] % 2 or self.intra_frequencies.shape[1] < 4:
            raise ValueError("a motion basis needs 3K expression numbers and tables of 2R + 2 frequencies")
        if (self.pose_steps < 0).any() or (self.component_steps <= 0).any():
            raise ValueError("quantiser steps must be positive (a pose step of zero: not coded)")
        if not (self.intra_frequencies[..., -1].all() and self.inter_frequencies[..., -1].all()):
            raise ValueError("the escape needs a frequency of at least one in every table")
        _ = self.intra_tables, self.inter_tables  # raises if a table does not sum up

    @cached_property
    def coded_pose(self) -> NDArray[np.intp]:
        """Indices of the pose numbers (of seven) that are coded."""
        return np.flatnonzero(self.pose_steps)

    @cached_property
    def intra_tables(self) -> tuple[FrequencyTable, ...]:
        """A table per coded number, for a motion coded by itself."""
        return tuple(FrequencyTable(row.tolist()) for row in self.intra_frequencies)

    @cached_property
    def inter_tables(self) -> tuple[tuple[FrequencyTable, ...], ...]:
        """For each context a table per coded number, for the difference to the frame before."""
        return tuple(tuple(FrequencyTable(row.tolist()) for row in rows) for rows in self.inter_frequencies)

    def contexts(self) -> Contexts:
        """For the differences of one bundle."""
        return Contexts(self.activity.tolist(), self.context_edges.tolist())

    @property
    def reach(self) -> int:
        """R: the largest magnitude that a table holds; beyond it the escape is used."""
        return int(self.intra_frequencies.shape[1]) // 2 - 1

    @property
    def keypoint_count(self) -> int:
        """K."""
        return int(self.components.shape[1]) // 3

    @cached_property
    def hash(self) -> str:
        """First eight hex digits of the SHA-256 of everything in the basis; equal when two ends code alike."""
        digest = hashlib.sha256()
        for name, array in self._tensors().items():
            little_endian = array.astype(array.dtype.newbyteorder("<"))
            digest.update(f"{name} {array.dtype.name} {array.shape} ".encode() + little_endian.tobytes())
        return digest.hexdigest()[:8]

    def numbers(self, motion: Motion) -> Numbers:
        """(D,) numbers of a motion, still to be rounded. Raises ValueError if it does not fit or is not finite."""
        vector = motion.vector().astype(np.float64)
        if len(vector) != POSE_SIZE + self.components.shape[1]:
            raise ValueError(
                f"this basis codes {self.keypoint_count} keypoints, the motion has {motion.expression.shape}"
            )
        if not np.isfinite(vector).all() or motion.scale <= 0:
            raise ValueError("a motion must be finite with a positive scale to be coded")
        pose = vector[:POSE_SIZE]
        pose[_SCALE] = np.log(pose[_SCALE])
        coded = self.coded_pose
        pose_part = (pose - self.pose_mean)[coded] / self.pose_steps[coded]
        expression_part = self.analysis @ (vector[POSE_SIZE:] - self.expression_mean) / self.component_steps
        return np.asarray(np.concatenate([pose_part, expression_part]), np.float64)

    def motion(self, integers: NDArray[np.int64]) -> Motion:
        """The motion that (D,) integers stand for, limited to what a head can do."""
        coded = self.coded_pose
        pose = self.pose_mean.astype(np.float64)
        pose[coded] += integers[: len(coded)] * self.pose_steps[coded].astype(np.float64)
        coefficients = integers[len(coded) :] * self.component_steps.astype(np.float64)
        expression = self.expression_mean + coefficients @ self.components.astype(np.float64)
        log_scale = np.clip(pose[_SCALE], *np.log(SCALE_LIMITS))
        return Motion(
            rotation=np.clip(pose[:3], -ANGLE_LIMIT, ANGLE_LIMIT).astype(np.float32),
            scale=float(np.exp(log_scale)),
            translation=np.clip(pose[4:], -TRANSLATION_LIMIT, TRANSLATION_LIMIT).astype(np.float32),
            expression=np.clip(expression, -EXPRESSION_LIMIT, EXPRESSION_LIMIT).astype(np.float32).reshape(-1, 3),
        )

    def save(self, path: Path) -> None:
        """Write the basis as a safetensors file."""
        save_file({name: np.ascontiguousarray(array) for name, array in self._tensors().items()}, path)

    @staticmethod
    def load(path: Path) -> MotionBasis:
        """Read a basis written by `save`. Raises ValueError if the file holds something else."""
        try:
            tensors = load_file(path)
        except (SafetensorError, KeyError, TypeError) as error:  # NumPy lacks some of the format's types
            raise ValueError(f"{path.name} is not a motion basis: it cannot be read ({error})") from error
        names = {f.name for f in fields(MotionBasis)}
        if set(tensors) != names:
            raise ValueError(f"{path.name} is not a motion basis: it holds {sorted(tensors)}, expected {sorted(names)}")
        broken = [name for name, array in tensors.items() if not np.isfinite(array).all()]
        if broken:
            raise ValueError(f"{path.name} is not a motion basis: it holds NaN or infinite numbers in {broken[0]}")
        try:
            return MotionBasis(**tensors)
        except (IndexError, TypeError) as error:  # of arrays with other dimensions or types than any basis has
            raise ValueError(f"{path.name} is not a motion basis: {error}") from error

    def _tensors(self) -> dict[str, NDArray[np.generic]]:
        return {f.name: getattr(self, f.name) for f in fields(self)}


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
