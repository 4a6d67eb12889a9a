"""Reports of several clips brought together: means, and on which clips we win."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.cache import Figures

JUDGED = ("sharp", "mouth_corr", "blink_corr")
"""Figures of the judge that are compared clip by clip; more is better, for sharpness up to the original's."""


def mean(values: Sequence[Any]) -> Any:
    """The mean of figures of the same shape, part by part.

    Numbers that are missing on some clips (None) are left out, of truths it is said on how many clips they hold, and
    of the judge's figures the median is taken: the correlations of a face that hardly moves mean nothing.
    """
    return _together(values, statistics.fmean)


def _together(values: Sequence[Any], middle: Any) -> Any:
    first = values[0]
    if isinstance(first, dict):
        keys = [key for key in first if all(key in value for value in values)]
        return {
            key: _together([value[key] for value in values], statistics.median if key == "judge" else middle)
            for key in keys
        }
    if isinstance(first, list):
        return [_together(parts, middle) for parts in zip(*values, strict=False)]
    if isinstance(first, bool):
        return sum(values)
    if isinstance(first, str):
        return first
    numbers = [value for value in values if value is not None]
    return round(middle(numbers), 4) if numbers else None


def wins(clips: Mapping[str, Figures]) -> Figures:
    """By codec and figure of the judge: the clips on which ours is better than the codec at our rate, and the others.

    Clips on which one of the two cannot be told are in neither list.
    """
    everywhere = [set(clip["codecs"]) for clip in clips.values()]
    codecs = [codec for codec in next(iter(clips.values()))["codecs"] if all(codec in each for each in everywhere)]
    return {codec: {key: _won(clips, codec, key) for key in JUDGED} for codec in codecs}


def _won(clips: Mapping[str, Figures], codec: str, key: str) -> Figures:
    won: dict[str, list[str]] = {"better": [], "worse": []}
    for name, clip in clips.items():
        ours, theirs = (_up_to_original(part["judge"][key], key) for part in (clip["ours"], _rate(clip, codec)))
        if ours is not None and theirs is not None:
            won["better" if ours > theirs else "worse"].append(name)
    return won


def _rate(clip: Figures, codec: str) -> Figures:
    part: Figures = clip["codecs"][codec]["at_our_rate"]
    return part


def _up_to_original(value: float | None, key: str) -> float | None:
    return value if value is None or key != "sharp" else min(value, 1.0)
