"""Figures of a drawn clip beside the true one, where a viewer looks: face, mouth, eyes, and what time does to them.

All pictures are square and of one size. Points are the supervised keypoints of the true frames (`LANDMARKS` of the face
mesh), in picture coordinates -1..1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.metrics import Picture, luma, ms_ssim, psnr
from shared.models.layers import LANDMARKS
from shared.motion import FloatArray

Box = tuple[slice, slice]
"""Rows and columns of a picture."""

_LIPS = [LANDMARKS.index(i) for i in (61, 291, 0, 13, 14, 17)]
_EYES = [[LANDMARKS.index(i) for i in each] for each in ((33, 159, 145, 468), (263, 386, 374, 473))]
_CORNERS = (LANDMARKS.index(33), LANDMARKS.index(263))
_LIP_MARGIN, _EYE_HALF = 0.25, (0.26, 0.17)
"""In units of the distance between the outer corners of the eyes: around the lips; half width and height of an eye."""
_LEAST = 8
"""Side in px that a box has at least."""
SETTLED = range(13, 18)
"""Frames after a change of sources began at which the picture should have settled: fifteen, give or take two."""


class Boxes(NamedTuple):
    """Where to look in one frame."""

    face: Box
    mouth: Box
    eyes: tuple[Box, Box]


def boxes(points: FloatArray, size: int) -> Boxes:
    """Of (23, 2 or more) points in a picture of `size` px."""
    at = (points[: len(LANDMARKS), :2] + 1) * size / 2
    span = float(np.linalg.norm(at[_CORNERS[0]] - at[_CORNERS[1]]))
    lips = at[_LIPS]
    margin = _LIP_MARGIN * span
    half = np.array(_EYE_HALF) * span
    left, right = (at[eye].mean(0) for eye in _EYES)
    return Boxes(
        _box(at.min(0), at.max(0), size),
        _box(lips.min(0) - margin, lips.max(0) + margin, size),
        (_box(left - half, left + half, size), _box(right - half, right + half, size)),
    )


@dataclass(frozen=True, eq=False)
class Track:
    """A clip as it was and where its face is; `changes` says how the sources of the drawn one changed."""

    truth: Sequence[Picture]
    points: Sequence[FloatArray]
    changes: NDArray[np.float64]
    """(T,) share of the weights of the sources that is another than in the frame before; 0 for the first frame."""


def changes(shares: Sequence[dict[int, float]]) -> NDArray[np.float64]:
    """(T,) half the sum of what the normalised weights of the sources, by id, differ from those of the frame before."""
    out, before = np.zeros(len(shares)), dict[int, float]()
    for number, weights in enumerate(shares):
        total = sum(weights.values())
        now = {key: weight / total for key, weight in weights.items()} if total else before
        if number and before:
            out[number] = sum(abs(now.get(key, 0.0) - before.get(key, 0.0)) for key in now | before) / 2
        before = now
    return out


def figures(track: Track, drawn: Sequence[Picture], points: Sequence[FloatArray]) -> dict[str, float | None]:
    """Means over frames, the first left out; `points` are those read off the drawn pictures. None: cannot be told.

    `psnr`, `ms_ssim`: of the luma; `mouth_psnr`, `eyes_psnr`: in those boxes. `keypoint_error_px`: distance of the
    points read off the drawn picture, in px of a picture of 256. `sharp`: Laplacian energy in the face over the true
    one; `fade_sharp`: while sources change. `jump_ratio`: change from frame to frame in the face over the true change,
    frames weighted by how much their sources change. `settled_psnr`: about fifteen frames after a change began.
    `flicker`: second difference in time over the true one.
    """
    true, own = [luma(p) for p in track.truth], [luma(p) for p in drawn]
    where = [boxes(p, len(t)) for p, t in zip(track.points, true, strict=True)]
    after = range(1, len(true))
    whole = np.array([psnr(t, o) for t, o in zip(true, own, strict=True)])
    sharp = np.array(
        [sharpness(o, b.face) / max(sharpness(t, b.face), 1e-3) for t, o, b in zip(true, own, where, strict=True)]
    )
    apart = np.stack(points)[1:, : len(LANDMARKS), :2] - np.stack(track.points)[1:, : len(LANDMARKS), :2]
    settled = [n + later for n in begun(track.changes) for later in SETTLED if n + later < len(true)]
    found = {
        "psnr": _mean(whole[1:]),
        "ms_ssim": _mean([ms_ssim(true[n], own[n]) for n in after]),
        "keypoint_error_px": _mean(128 * np.linalg.norm(apart, axis=-1)),
        "mouth_psnr": _mean([psnr(true[n][where[n].mouth], own[n][where[n].mouth]) for n in after]),
        "eyes_psnr": _mean([psnr(true[n][eye], own[n][eye]) for n in after for eye in where[n].eyes]),
        "sharp": _mean(sharp[1:]),
        "fade_sharp": _mean(sharp[track.changes > 0]),
        "jump_ratio": _jump_ratio(true, own, where, track.changes),
        "settled_psnr": _mean(whole[settled]),
        "flicker": flicker(own) / max(flicker(true), 1e-6),
    }
    return {name: None if value is None else round(value, 4) for name, value in found.items()}


def pump_ratio(true: Sequence[Picture], own: Sequence[Picture], new: Sequence[bool]) -> float:
    """How much more luma pictures change where something `new` came than between, both over the true change; 1: alike.

    NaN where there are none of the one or the other, or nothing moves.
    """

    def change(pictures: Sequence[Picture], which: bool) -> float:
        at = [n for n in range(1, len(pictures)) if new[n] is which]
        apart = [np.abs(pictures[n].astype(np.float32) - pictures[n - 1]).mean() for n in at]
        return float(np.sum(apart))

    there, between = (change(own, which) / max(change(true, which), 1e-6) for which in (True, False))
    return there / between if between else float("nan")


def begun(changes: NDArray[np.float64]) -> list[int]:
    """Frames at which a change of sources begins."""
    return [n for n in range(1, len(changes)) if changes[n] > 0 and changes[n - 1] == 0]


def sharpness(picture: Picture, box: Box) -> float:
    """Mean magnitude of the Laplacian of a luma picture in a box."""
    return float(np.abs(cv2.Laplacian(picture[box].astype(np.float32), cv2.CV_32F)).mean())


def _jump_ratio(
    true: Sequence[Picture], own: Sequence[Picture], where: Sequence[Boxes], changes: NDArray[np.float64]
) -> float | None:
    at = np.flatnonzero(changes).tolist()
    if not at:
        return None

    def change(pictures: Sequence[Picture], n: int) -> float:
        now, before = (pictures[i][where[n].face].astype(np.float32) for i in (n, n - 1))
        return float(np.abs(now - before).mean())

    summed = [sum(changes[n] * change(pictures, n) for n in at) for pictures in (own, true)]
    return float(summed[0] / max(summed[1], 1e-6))


def flicker(pictures: Sequence[Picture]) -> float:
    """Mean absolute second difference in time; 0 for fewer than three pictures."""
    a = [p.astype(np.float32) for p in pictures]
    return float(np.mean([np.abs(x - 2 * y + z).mean() for x, y, z in zip(a, a[1:], a[2:], strict=False)] or [0.0]))


def _mean(values: Sequence[float] | NDArray[np.floating[Any]]) -> float | None:
    return float(np.mean(values)) if len(values) else None


def _box(low: NDArray[np.floating[Any]], high: NDArray[np.floating[Any]], size: int) -> Box:
    """Of whole pixels inside the picture, from points in px."""
    first = np.clip(np.floor(low).astype(int), 0, size - _LEAST)
    last = np.clip(np.ceil(high).astype(int), first + _LEAST, size)
    return slice(int(first[1]), int(last[1])), slice(int(first[0]), int(last[0]))
