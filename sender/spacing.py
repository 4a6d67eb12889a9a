"""Puts frames whose clocks are uneven into bundles, each of which has one interval.

A camera's clocks tremble, a frame is missing here and there, and the rate changes with the light. What trembles is put
on a line fitted to the clocks. A frame that is missing has another in its place, half way between its neighbours as
the receiver would draw it anyway: of a real face that takes about 6 bytes, while a second bundle takes 33, its chunk's
header, its own and a first frame coded by itself. Only what no line holds begins a second bundle.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from shared.codec.bundle import INTERVALS, MAX_FRAMES

LONGEST_INTERVAL = 0.4095
"""Seconds between frames that a bundle can say."""
_SHORTEST_INTERVAL = 0.001
_OFF = 0.008
"""Seconds that a frame may be from its clock: not seen, and as much as a camera's clock trembles."""
_OFF_SHARE = 0.25
"""Of the interval, the same for fast cameras."""
_MADE = 3
"""Frames in a row that may be made up."""
_BUNDLE_COST, _MADE_COST = 33, 6
"""Bytes."""
_LISTED_OFF = 0.001
"""Seconds by which the last frame may move so that the interval is a listed one, which saves two bytes."""


class Run(NamedTuple):
    """Frames evenly apart."""

    start: float
    """Seconds at which the first one is placed."""
    interval: float
    """Seconds between two places, as precisely as a bundle says it."""
    places: tuple[int, ...]
    """Of each frame, in intervals from the first; what lies between is to be made up."""


def evenly(clocks: Sequence[float], usual: float) -> list[Run]:
    """Runs that hold frames of these clocks, in their order, for the fewest bytes; `usual`: seconds between frames."""
    best = _runs(clocks, usual)
    if _cost(best) == _BUNDLE_COST or len(clocks) < 2:
        return best
    paces = {b - a for a, b in pairwise(clocks) if b - a > _SHORTEST_INTERVAL}
    return min((best, *(_runs(clocks, pace) for pace in sorted(paces))), key=_cost)


def _runs(clocks: Sequence[float], pace: float) -> list[Run]:
    """Runs as long as they can be, of frames about whole multiples of `pace` seconds apart."""
    runs: list[Run] = []
    begin = 0
    for end in range(1, len(clocks) + 1):
        run = _extended(runs[-1], clocks[begin:end], pace) if end - begin > 1 else None
        if run is None:
            begin = end - 1
            runs.append(Run(clocks[begin], _sayable(pace, 1), (0,)))
        else:
            runs[-1] = run
    return runs


def _extended(run: Run, clocks: Sequence[float], pace: float) -> Run | None:
    """The run with the last of these clocks, too; None if it does not fit."""
    ahead = round((clocks[-1] - clocks[-2]) / pace)
    if not 1 <= ahead <= 1 + _MADE or run.places[-1] + ahead >= MAX_FRAMES:
        return None
    places = (*run.places, run.places[-1] + ahead)
    slope = _slope(places, clocks)
    if not _SHORTEST_INTERVAL <= slope <= LONGEST_INTERVAL:
        return None
    interval = _sayable(slope, places[-1])
    left = [clock - place * interval for clock, place in zip(clocks, places, strict=True)]
    start = sum(left) / len(left)
    if max(left) - start > min(_OFF, _OFF_SHARE * interval) or start - min(left) > min(_OFF, _OFF_SHARE * interval):
        return None
    return Run(start, interval, places)


def _slope(places: Sequence[int], clocks: Sequence[float]) -> float:
    """Seconds from one place to the next, by least squares."""
    middle, mean = sum(places) / len(places), sum(clocks) / len(clocks)
    above = sum((place - middle) * (clock - mean) for place, clock in zip(places, clocks, strict=True))
    return above / sum((place - middle) ** 2 for place in places)


def _sayable(interval: float, count: int) -> float:
    """An interval that a bundle can say, a listed one if so many of it come out nearly alike."""
    tenths = min(max(10_000 * interval, 10_000 * _SHORTEST_INTERVAL), 10_000 * LONGEST_INTERVAL)
    listed = min(INTERVALS, key=lambda each: abs(each - tenths))
    near = abs(listed - tenths) * count <= 10_000 * _LISTED_OFF
    return (listed if near else round(tenths)) / 10_000


def _cost(runs: Sequence[Run]) -> int:
    made = sum(run.places[-1] + 1 - len(run.places) for run in runs)
    return _BUNDLE_COST * len(runs) + _MADE_COST * made
