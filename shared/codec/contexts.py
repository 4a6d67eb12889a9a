"""How lively a motion is just now: which probability table the next difference is coded with.

A face is still or it moves, all of it at once. So the differences that were coded just before, of the numbers before
this one in the same frame and of the frame before, say how large this one is likely to be (adaptive contexts, as in
JPEG-LS and CABAC, but with static tables). Everything is in whole numbers: both ends must agree to the bit.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

UNIT = 16
"""A difference of mean size counts for this much."""
_NEIGHBOURS = 6
"""Numbers before this one in the same frame that are looked at."""
_OLD, _OLD_ALL = 2, 2
"""What this number's difference in the frame before counts for, and the mean of all of that frame."""


class Contexts:
    """The contexts of one bundle's differences, number by number and frame by frame."""

    def __init__(self, activity: list[int], edges: list[int]) -> None:
        """`activity`, `edges`: see `MotionBasis`."""
        self._activity, self._edges = activity, edges
        self._before: list[int] | None = None
        self._mean = 0
        self._now: list[int] = []

    def next(self) -> int:
        """The context of the next difference, 0 (still) to len(edges)."""
        at = len(self._now)
        recent = self._now[max(0, at - _NEIGHBOURS) :]
        total, count = sum(recent) + UNIT, len(recent) + 1
        if self._before is not None:
            total += _OLD * self._before[at] + _OLD_ALL * self._mean
            count += _OLD + _OLD_ALL
        return sum(total >= edge * count for edge in self._edges)

    def note(self, difference: int) -> None:
        """What the difference was."""
        self._now.append(abs(difference) * self._activity[len(self._now)])
        if len(self._now) == len(self._activity):
            self._before, self._mean, self._now = self._now, sum(self._now) // len(self._now), []


def contexts(
    differences: NDArray[np.int64], activity: NDArray[np.uint16], edges: NDArray[np.uint16]
) -> NDArray[np.intp]:
    """(N, F, D) contexts of the differences of N bundles, F frames each: the same as one by one, but quick."""
    sizes = np.abs(differences) * activity.astype(np.int64)
    out = np.empty(differences.shape, np.intp)
    means = sizes.sum(2) // sizes.shape[2]
    for frame in range(sizes.shape[1]):
        for at in range(sizes.shape[2]):
            recent = sizes[:, frame, max(0, at - _NEIGHBOURS) : at]
            total, count = recent.sum(1) + UNIT, recent.shape[1] + 1
            if frame:
                total = total + _OLD * sizes[:, frame - 1, at] + _OLD_ALL * means[:, frame - 1]
                count += _OLD + _OLD_ALL
            out[:, frame, at] = (total[:, None] >= edges.astype(np.int64) * count).sum(1)
    return out
