"""Reports of several clips brought together: means, and on which clips we win."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.cache import Figures

COMPARED = ("psnr", "ms_ssim")
"""Figures of the pictures that are compared clip by clip."""
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
    """By rival and figure: the clips on which ours is better than the rival at our rate, and the others.

    Rivals are the codecs that all clips have, our base layer alone, and `every_rival`: all of these codecs at once.
    Clips on which one of the two cannot be told are in neither list. Figures of the judge are there if all have them.
    """
    reports = list(clips.values())
    codecs = [codec for codec in reports[0]["codecs"] if all(codec in each["codecs"] for each in reports)]
    keys = [*COMPARED, *(JUDGED if all("judge" in each["ours"] for each in reports) else ())]
    rivals = {"every_rival": codecs, "base_alone": ["base_alone"]} | {codec: [codec] for codec in codecs}
    return {name: {key: _won(clips, each, key) for key in keys} for name, each in rivals.items() if each}


def margins(clips: Mapping[str, Figures]) -> Figures:
    """By call of ours: how far it is above the best codec at its own rate on the wire, clip by clip.

    Of PSNR and of MS-SSIM the codec that is best by it; `mean`, `worst`, and on how many clips ours is `above`.
    """
    names = [name for name in next(iter(clips.values())) if name.startswith("ours")]
    return {name: {key: _margin([_gap(clip, name, key) for clip in clips.values()]) for key in COMPARED}
            for name in names}  # fmt: skip


def _gap(clip: Figures, call: str, key: str) -> float:
    best: float = max(codec["at_rungs"][call][key] for codec in clip["codecs"].values())
    return float(clip[call][key]) - best


def _margin(gaps: Sequence[float]) -> Figures:
    figures = {"mean": statistics.fmean(gaps), "worst": min(gaps)}
    return {key: round(value, 4) for key, value in figures.items()} | {
        "above": sum(gap > 0 for gap in gaps), "by_clip": [round(gap, 4) for gap in gaps]
    }  # fmt: skip


def _won(clips: Mapping[str, Figures], rivals: Sequence[str], key: str) -> Figures:
    won: dict[str, list[str]] = {"better": [], "worse": []}
    for name, clip in clips.items():
        ours = _figure(clip["ours"], key)
        theirs = [_figure(_rate(clip, rival), key) for rival in rivals]
        known = [figure for figure in theirs if figure is not None]
        if ours is not None and len(known) == len(theirs):
            won["better" if ours > max(known) else "worse"].append(name)
    return won


def _rate(clip: Figures, rival: str) -> Figures:
    part: Figures = (clip if rival == "base_alone" else clip["codecs"])[rival]["at_our_rate"]
    return part


def _figure(part: Figures, key: str) -> float | None:
    return _up_to_original(part["judge"][key] if key in JUDGED else part[key], key)


def _up_to_original(value: float | None, key: str) -> float | None:
    return value if value is None or key != "sharp" else min(value, 1.0)
