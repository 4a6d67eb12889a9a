"""What a motion is: head pose and expression of one frame, and the keypoint algebra around them.

face-vid2vid's decomposition (Wang et al. 2021, eq. 1-3). A person has canonical keypoints c_k, which travel once, with
a source. A driving frame is described by what moves them: rotation R, scale s, translation t and an expression
deformation δ_k per keypoint:

    x_k = s · (R c_k + δ_k) + t        R = Rx(pitch) Ry(yaw) Rz(roll)

in picture coordinates: -1..1, x right, y down, z away from the camera. Angles are degrees on every interface.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]

POSE_SIZE = 7
"""Numbers before the expression in a motion vector: yaw, pitch, roll, scale, tx, ty, tz."""

SHIFT_DEGREES = 40.0
"""Degrees that a shift of the head by half the picture's width counts for: what it uncovers must be painted too."""
SIZE_DEGREES = 60.0
"""Degrees that a change of the head's size by a factor of e counts for: ten per cent are six degrees."""


@dataclass(frozen=True, eq=False)
class Motion:
    """Head pose and expression of one frame."""

    rotation: FloatArray
    """(3,) yaw, pitch, roll in degrees."""
    scale: float
    """Size of the head, positive; about 0.5 to 2."""
    translation: FloatArray
    """(3,) tx, ty, tz in picture coordinates; engines that work in the picture plane keep tz at 0."""
    expression: FloatArray
    """(K, 3) deformation of each keypoint, in units of the unscaled head."""

    def vector(self) -> FloatArray:
        """The motion as one (7 + 3K,) float32 vector: yaw, pitch, roll, scale, tx, ty, tz, expression row by row."""
        return np.concatenate([self.rotation, [self.scale], self.translation, self.expression.reshape(-1)]).astype(
            np.float32
        )

    def zoomed(self, zoom: float, shift: tuple[float, float]) -> Motion:
        """The same head in a picture whose coordinates are zoom · x + shift: another crop of the same camera frame."""
        moved = zoom * self.translation + np.array([*shift, 0.0])
        return Motion(self.rotation, self.scale * zoom, moved.astype(np.float32), self.expression)

    @staticmethod
    def from_vector(vector: FloatArray) -> Motion:
        """Inverse of `vector`. Raises ValueError if the length does not fit any number of keypoints."""
        if vector.ndim != 1 or len(vector) <= POSE_SIZE or (len(vector) - POSE_SIZE) % 3:
            raise ValueError(f"a motion vector has 7 + 3K numbers, this has shape {vector.shape}")
        v = vector.astype(np.float32)
        return Motion(v[:3], float(v[3]), v[4:POSE_SIZE], v[POSE_SIZE:].reshape(-1, 3))


def rotation_matrix(rotation: FloatArray) -> NDArray[np.float64]:
    """(3, 3) matrix Rx(pitch) Ry(yaw) Rz(roll) of (yaw, pitch, roll) in degrees."""
    yaw, pitch, roll = np.radians(np.asarray(rotation, np.float64))
    cy, sy, cp, sp, cr, sr = (
        np.cos(yaw),
        np.sin(yaw),
        np.cos(pitch),
        np.sin(pitch),
        np.cos(roll),
        np.sin(roll),
    )
    rx = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    ry = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    rz = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    return np.asarray(rx @ ry @ rz)


def to_the_front(motion: Motion) -> FloatArray:
    """(K, 3) expression of a motion, turned back as if the head faced the camera: Rᵀ δ."""
    return np.asarray(motion.expression @ rotation_matrix(motion.rotation), np.float32)


def keypoints(canonical: FloatArray, motion: Motion) -> FloatArray:
    """(K, 3) keypoints x_k in picture coordinates of (K, 3) canonical keypoints under a motion."""
    turned = canonical @ rotation_matrix(motion.rotation).T + motion.expression
    return np.asarray(motion.scale * turned + motion.translation, np.float32)


def pose_distance(a: Motion, b: Motion) -> float:
    """How far apart two head poses are, in degrees: the angle of the turn between them, and what a shift and a change
    of size add to it, at the rates of SHIFT_DEGREES and SIZE_DEGREES."""
    relative = rotation_matrix(a.rotation) @ rotation_matrix(b.rotation).T
    angle = float(np.degrees(np.arccos(np.clip((np.trace(relative) - 1) / 2, -1.0, 1.0))))
    shift = float(np.linalg.norm(a.translation[:2] - b.translation[:2]))
    return angle + SHIFT_DEGREES * shift + SIZE_DEGREES * abs(float(np.log(a.scale / b.scale)))


def between(a: Motion, b: Motion, share: float) -> Motion:
    """The motion a `share` (0..1) of the way from one to another: angles, translation, expression and the logarithm of
    the scale change linearly."""

    def mix(x: FloatArray, y: FloatArray) -> FloatArray:
        return np.asarray(x + share * (y - x), np.float32)

    return Motion(
        mix(a.rotation, b.rotation),
        float(a.scale ** (1 - share) * b.scale**share),
        mix(a.translation, b.translation),
        mix(a.expression, b.expression),
    )
