"""Landmarks in a fifth of their bytes: head pose, and what the face does in a basis of its own.

Every face is a turned, scaled and shifted mean face plus components (as in `weights.training.face`); the error is that
of the rounding they were stored with (a quarter of a pixel at 256 px).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from weights.training import face

_COMPONENTS = 80
_STEP = 0.002
"""Rounding of a component, in the unit of the mean face."""
_FITTED = 6000
"""Faces that the basis is fitted to, at most."""
Arrays = dict[str, NDArray[Any]]


def squeeze(mesh: NDArray[np.float32], ok: NDArray[np.float32]) -> Arrays:
    """Arrays to store, of (N, L, 3) landmarks in -1..1 and (N,) 1 where there are some."""
    points = mesh[ok > 0].astype(np.float64)
    out: Arrays = {"ok": (ok > 0).astype(np.uint8)}
    if not len(points):
        return out
    mean = face.mean_face(points[:: max(1, len(points) // _FITTED)])
    pose = face.align(points, mean)
    turned = np.einsum("bij,bni->bnj", pose.rotation, points - pose.translation[:, None])
    rest = (turned / pose.scale[:, None, None]).reshape(len(points), -1)
    centre = rest.mean(0)
    few = rest[:: max(1, len(rest) // _FITTED)] - centre
    _, vectors = np.linalg.eigh(few @ few.T)
    basis = np.linalg.qr(few.T @ vectors[:, ::-1][:, :_COMPONENTS])[0]
    steps = np.clip(np.round((rest - centre) @ basis / _STEP), -32768, 32767).astype(np.int32)
    # differences from frame to frame, one component after the other: small numbers side by side
    pressed = np.diff(steps, axis=0, prepend=0).T
    return out | {
        "steps": np.ascontiguousarray(pressed), "centre": centre.astype(np.float32), "basis": basis.astype(np.float32),
        "rotation": pose.rotation.astype(np.float32), "scale": pose.scale.astype(np.float32),
        "translation": pose.translation.astype(np.float32),
    }  # fmt: skip


def restore(arrays: Arrays, landmarks: int = face.MESH) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(N, L, 3) landmarks and (N,) `ok`, of the arrays of `squeeze`; zeros where there are none."""
    ok = arrays["ok"].astype(np.float32)
    mesh = np.zeros((len(ok), landmarks, 3), np.float32)
    if "steps" in arrays:
        components = np.cumsum(arrays["steps"].T, axis=0).astype(np.float32) * _STEP
        still = (components @ arrays["basis"].T + arrays["centre"]).reshape(len(components), landmarks, 3)
        turned = np.einsum("bij,bnj->bni", arrays["rotation"], still) * arrays["scale"][:, None, None]
        mesh[ok > 0] = turned + arrays["translation"][:, None]
    return mesh, ok
