"""A picture through a network in overlapping windows, so that its size does not bound the memory needed."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

from torch import Tensor


class Window(NamedTuple):
    """One axis of a window: where it is read from, and which part of the whole is taken from it."""

    start: int
    keep_from: int
    keep_to: int


def windows(length: int, side: int, margin: int) -> list[Window]:
    """Windows of `side` px, evenly spread over `length` px; parts kept meet in the middle of each overlap.

    What is kept lies at least `margin` px from a window's edge, unless that is the picture's own. One window of
    `length` px where it is no longer than `side`. Raises ValueError where the margins fill the whole window.
    """
    if length <= side:
        return [Window(0, 0, length)]
    if side <= 2 * margin:
        raise ValueError(f"windows of {side} px keep nothing within margins of {margin} px on either side")
    count = -(-(length - 2 * margin) // (side - 2 * margin))
    starts = [i * (length - side) // (count - 1) for i in range(count)]
    seams = [0, *((a + side + b) // 2 for a, b in pairwise(starts)), length]
    return [Window(start, *span) for start, span in zip(starts, pairwise(seams), strict=True)]


def tiled(network: Callable[[Tensor], Tensor], picture: Tensor, scale: int, side: int, margin: int) -> Tensor:
    """(B, C', scale H, scale W) from (B, C, H, W): what the network makes of windows of at most `side` px.

    It is what the network makes of the whole where `margin` px cover its receptive field. A picture that fits one
    window passes whole.
    """
    rows, columns = (windows(length, side, margin) for length in picture.shape[2:])
    if len(rows) == len(columns) == 1:
        return network(picture)
    whole: Tensor | None = None
    for y in rows:
        for x in columns:
            part = network(picture[..., y.start : y.start + side, x.start : x.start + side])
            if whole is None:
                whole = part.new_empty(*part.shape[:2], *(scale * length for length in picture.shape[2:]))
            kept = part[..., _kept(y, scale), _kept(x, scale)]
            whole[..., scale * y.keep_from : scale * y.keep_to, scale * x.keep_from : scale * x.keep_to] = kept
    assert whole is not None
    return whole


def _kept(window: Window, scale: int) -> slice:
    return slice(scale * (window.keep_from - window.start), scale * (window.keep_to - window.start))
