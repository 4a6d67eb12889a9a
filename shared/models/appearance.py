"""Appearance: a face as a short vector, to tell that another person sits there, not who anybody is.

And whether all sources of a call show one face: appearances and times are passed in.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor

from shared.models.engine import Picture, load_strictly
from shared.models.layers import grid, rotation_matrix, warp
from shared.models.motion_network import MOTION_INPUT, MotionNetwork
from shared.models.registry import locate
from shared.motion import FloatArray

_SIDE = 64
"""px of the frontal view."""
_REACH, _CENTRE = (2.5, 3.0), (0.0, -0.1)
"""Half its width and height, and its middle, in canonical coordinates: from brow to chin, without hair."""
_CURVE, _FRONT = 0.3, -0.2
"""Depth of the mask: _CURVE · x² + _FRONT, between nose and cheeks of the mean face."""
_LARGE = 0.12
"""Scale of a head above which the picture is halved before it is sampled, or fine texture would alias."""
_STAGES, _CELLS = 3, 4
_DIM = 0.05
"""Added to the contrast: what is nearly black is not made loud."""
FEATURES = 48 * _CELLS**2
"""Numbers that describe a view before the discriminant: the channels of the third stage in every cell."""
DIMENSIONS = 32
"""Numbers of an appearance."""
THRESHOLD = 0.95
"""A source at least this far from every earlier one shows another face (`python -m benchmarks.face_change`; the model
card has what it costs and what it finds)."""
_FIRST, _KEPT = 4, 16
"""Appearances that are compared with, of which so many are the call's first: the light may change, and change back.
So a face that is changed little by little is not noticed."""


class FaceReader:
    """Describes faces; `project` makes appearances of descriptions."""

    def __init__(self, motion: MotionNetwork) -> None:
        self._motion = motion.eval().requires_grad_(False)
        plane = grid(_SIDE, torch.device("cpu")).view(-1, 2)
        x, y = (plane * torch.tensor(_REACH) + torch.tensor(_CENTRE)).unbind(-1)
        self._mask = torch.stack([x, y, _CURVE * x**2 + _FRONT], -1)
        self._oval = (plane.square().sum(-1) < 1).view(_SIDE, _SIDE)

    def view(self, picture: Picture) -> Tensor:
        """(3, 64, 64) the face of a square picture seen from the front, in even light, zero beside it."""
        if picture.shape[0] != MOTION_INPUT:
            picture = np.asarray(cv2.resize(picture, (MOTION_INPUT,) * 2, interpolation=cv2.INTER_AREA), np.uint8)
        pixels = torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1)[None].float() / 255
        with torch.inference_mode():
            motion = self._motion(pixels)
            turned = self._mask @ rotation_matrix(motion.rotation)[0].T
            places = (motion.scale * turned[:, :2] + motion.translation).view(1, _SIDE, _SIDE, 2)
            seen = warp(F.avg_pool2d(pixels, 2) if float(motion.scale) > _LARGE else pixels, places)[0]
            inside = seen[:, self._oval]
            even = (seen - inside.mean(1)[:, None, None]) / (inside.std(correction=0) + _DIM)
            return even * self._oval

    def describe(self, picture: Picture) -> FloatArray:
        """(FEATURES,) of a square picture. About 20 ms."""
        with torch.inference_mode():
            x = self.view(picture)[None] / 2
            for number in range(_STAGES):
                x = self._motion.stages[number](x)
            described: FloatArray = F.adaptive_avg_pool2d(x, _CELLS).flatten().numpy()
        return described


class Appearances:
    """Reads the appearance of a face."""

    def __init__(self, reader: FaceReader, mean: FloatArray, axes: FloatArray) -> None:
        """mean: (FEATURES,), axes: (FEATURES, DIMENSIONS), as fitted."""
        self._reader, self._mean, self._axes = reader, mean, axes

    def __call__(self, picture: Picture) -> FloatArray:
        """(DIMENSIONS,) of length 1, of a square picture. Threads may call it."""
        return project(self._reader.describe(picture), self._mean, self._axes)


def project(described: FloatArray, mean: FloatArray, axes: FloatArray) -> FloatArray:
    """(..., DIMENSIONS) appearances of length 1 from (..., FEATURES)."""
    placed = (described - mean) @ axes
    length = np.linalg.norm(placed, axis=-1, keepdims=True)
    return np.asarray(placed / np.maximum(length, 1e-9), np.float32)


def distance(a: FloatArray, b: FloatArray) -> FloatArray:
    """Between appearances, 0 (alike) to 2; the last axis is theirs."""
    return np.asarray(np.linalg.norm(a - b, axis=-1), np.float32)


def face_reader() -> FaceReader:
    """On the embedded motion network, whatever engine draws. Raises EngineError if its weights are missing."""
    motion = MotionNetwork()
    load_strictly(motion, locate("compact-motion"))
    return FaceReader(motion)


def load_appearances() -> Appearances:
    """Reads appearances by the embedded discriminant. Raises EngineError if weights are missing or damaged."""
    fitted = load_file(locate("compact-appearance"))
    return Appearances(face_reader(), *(fitted[name].float().numpy() for name in ("mean", "axes")))


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
