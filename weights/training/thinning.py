"""Which frames of the clips are worth their bytes: movement and rare faces, not the same face again and again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

THUMB = 32
"""Side of the pictures that frames are compared by."""
_STILL = 0.4
"""Change from one frame to the next that is none: noise of camera and coding."""
_RARE_SHARE = 0.03
"""Share of a clip's frames kept for each of the most shut eyes, the widest mouth, the farthest turns to each side."""
_FEWEST = 8


class Look(NamedTuple):
    """What thinning knows of a clip."""

    change: Floats
    """(T,) from the frame before: levels of the picture and px of the landmarks"""
    rare: Indices
    """frames that are kept anyhow"""


def look(thumbs: NDArray[np.uint8], mesh: NDArray[np.float32], ok: NDArray[np.float32]) -> Look:
    """From (T, THUMB, THUMB) brightness, (T, 478, 3) landmarks in -1..1 and (T,) 1 where there are some."""
    grey = thumbs.astype(np.float64)
    change = np.abs(np.diff(grey, axis=0, prepend=grey[:1])).mean((1, 2))
    moved = np.linalg.norm(np.diff(mesh[..., :2], axis=0, prepend=mesh[:1, :, :2]), axis=-1).mean(1) * 128
    known = (ok > 0) & (np.roll(ok, 1) > 0)
    return Look(change + np.where(known, moved, 0.0), _rare(mesh.astype(np.float64), np.flatnonzero(ok > 0)))


def _rare(mesh: Floats, faces: Indices) -> Indices:
    def apart(a: int, b: int) -> Floats:
        return np.asarray(np.linalg.norm(mesh[faces, a, :2] - mesh[faces, b, :2], axis=-1))

    if not len(faces):
        return faces
    span, cheeks = apart(33, 263) + 1e-6, mesh[faces, 454, 0] - mesh[faces, 234, 0]
    eyes, mouth = (apart(159, 145) + apart(386, 374)) / span, apart(13, 14) / span
    nose = mesh[faces, 1, 0] - 0.5 * (mesh[faces, 454, 0] + mesh[faces, 234, 0])
    turn = nose / (np.abs(cheeks) + 1e-6)
    count = max(1, round(_RARE_SHARE * len(faces)))
    return np.unique(np.concatenate([faces[np.argsort(by)[:count]] for by in (eyes, -mouth, turn, -turn)]))


def shared_out(looks: Sequence[Look], total: int) -> list[int]:
    """How many frames of each clip to keep, about `total` together.

    By the root of how much moves: a lively clip gives more than a still one, but not all there is.
    """
    lengths = np.array([len(each.change) for each in looks])
    wish = np.sqrt([np.maximum(each.change - _STILL, 0).sum() + 1 for each in looks])
    low, high = 0.0, float(lengths.max() / wish.min()) + 1
    for _ in range(50):
        middle = (low + high) / 2
        counts = np.clip(np.round(middle * wish), np.minimum(_FEWEST, lengths), lengths).astype(int)
        low, high = (middle, high) if counts.sum() < total else (low, middle)
    return [int(count) for count in counts]


def kept(each: Look, count: int, always: Sequence[int] = ()) -> Indices:
    """(at least `count`,) sorted frames: the rare ones, those of `always`, and others evenly over what changes."""
    length = len(each.change)
    chosen = set(each.rare.tolist()) | {frame for frame in always if frame < length}
    way = np.cumsum(np.maximum(each.change - _STILL, 0) + 1e-3)
    tried = count
    out = sorted(chosen)
    while len(out) < min(count, length) and tried < 4 * length:
        even = np.searchsorted(way, np.linspace(way[0], way[-1], max(2, tried - len(chosen))))
        out = sorted(chosen | set(np.minimum(even, length - 1).tolist()))
        tried += max(1, (count - len(out)))
    return np.array(out, np.int64)
