"""Curves of rate against quality, and where they meet ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from math import log

import numpy as np

import benchmarks.codecs
from benchmarks.accounting import kbps, rtp_on_wire
from benchmarks.cache import Figures, code_digest
from benchmarks.codecs import WHOLE, Codec, Variant, code, versions
from benchmarks.measure import Measurer, Shown
from benchmarks.metrics import Picture

_CODE = code_digest(benchmarks.codecs)

RATES = (8.0, 9.0, 10.0, 11.0, 12.0, 13.0, 14.0, 16.0, 18.0, 20.0, 23.0, 26.0, 30.0, 35.0, 42.0)
"""kbit/s on the wire, both directions together, at which the best of a rival's variants are drawn in the figure."""
FINEST, _FURTHER = 10, 6
"""The finest quantiser of a curve that goes on beyond its ladder, and its steps there."""
SHOWN = ("psnr", "ms_ssim", "sharp")


@dataclass(frozen=True)
class Point:
    """A codec at one quantiser setting."""

    quantiser: int
    payload_bytes: int
    kbps: float
    """Payload."""
    wire_kbps: float
    """On the wire, out."""
    wire_kbps_back: float
    psnr: float
    ms_ssim: float
    sharp: float
    """Of the face, over the true one."""
    vmaf: float | None = None

    @property
    def wire_kbps_both(self) -> float:
        """Both directions together: what is compared."""
        return self.wire_kbps + self.wire_kbps_back


def point_of(quantiser: int, payload: int, seconds: float, out: int, back: int, shown: Shown) -> Point:
    """What was shown, with its bytes of payload and on the wire."""
    figures = shown.figures
    return Point(
        quantiser, payload, kbps(payload, seconds), kbps(out, seconds), kbps(back, seconds),
        figures["psnr"], figures["ms_ssim"], figures["sharp"], figures.get("vmaf"),
    )  # fmt: skip


def measure_point(measure: Measurer, codec: Codec, quantiser: int, variant: Variant = WHOLE) -> tuple[Point, Shown]:
    """A codec at one setting, its frames in RTP. Raises CodecError if it cannot be had."""
    clip = measure.clip

    def show() -> tuple[Figures, list[Picture]]:
        coded = code(codec, clip.pictures, clip.fps, quantiser, variant)
        return {"sizes": coded.sizes}, coded.pictures

    options = codec.options(quantiser)
    shown = measure([options, codec.encoder, tuple(variant), versions(), _CODE], show)
    sizes = shown.figures["sizes"]
    return point_of(quantiser, sum(sizes), clip.seconds, *rtp_on_wire(sizes, clip.seconds), shown), shown


def best(curves: Mapping[str, Sequence[Point]], wanted: float) -> tuple[str, Figures]:
    """The variant with the highest PSNR at `wanted` kbit/s on the wire, both directions together, and its figures.

    They are interpolated in the logarithm of the rate. `at_floor`: even the lowest rate of all variants is more; then
    it is the variant with that one. A variant that never takes as much has its best point. `chosen`: by variant,
    whether it is this one.
    """
    fitting = {name: _at(points, wanted) for name, points in curves.items() if _floor(points).wire_kbps_both <= wanted}
    if fitting:
        name = max(fitting, key=lambda each: fitting[each]["psnr"])
        figures = fitting[name]
    else:
        name = min(curves, key=lambda each: _floor(curves[each]).wire_kbps_both)
        figures = _figures(_floor(curves[name]))
    chosen = {each: each == name for each in curves}
    return name, {"wanted_wire_kbps_both": round(wanted, 3), "at_floor": not fitting} | figures | {"chosen": chosen}


def envelope(curves: Mapping[str, Sequence[Point]]) -> list[Figures]:
    """The best of a rival's variants at each of `RATES` up to its highest."""
    highest = max(point.wire_kbps_both for points in curves.values() for point in points)
    return [best(curves, rate)[1] | {"beyond": rate > highest} for rate in RATES]


def at_quality(curves: Mapping[str, Sequence[Point]], ms_ssim: float) -> Figures:
    """The lowest rate at which one of the variants reaches an MS-SSIM, interpolated in the logarithm of the rate.

    `below_floor`: its lowest rate, given then, is better already. `above_ceiling`: none of any variant's points is as
    good; the rates are None.
    """
    found = [_reached(points, ms_ssim) for points in curves.values()]
    reached = [each for each in found if not each["above_ceiling"]]
    return min(reached or found, key=lambda each: (each["wire_kbps"] or 0) + (each["wire_kbps_back"] or 0))


def finer(measured: Callable[[int], tuple[Point, Shown]], points: Sequence[Point], wanted: float) -> list[Point]:
    """Further points of a curve that ends under `wanted` kbit/s on the wire, until one takes as much.

    Without them a rival would be held to less than our rate. `measured` gives the point of a setting.
    """
    more: list[Point] = []
    quantiser = min(point.quantiser for point in points)
    highest = max(point.wire_kbps_both for point in points)
    while highest < wanted and quantiser > FINEST:
        quantiser = max(quantiser - _FURTHER, FINEST)
        more.append(measured(quantiser)[0])
        highest = max(highest, more[-1].wire_kbps_both)
    return more


def finest_within(measured: Callable[[int], tuple[Point, Shown]], points: Sequence[Point], wanted: float) -> Shown:
    """What a variant shows at the coarsest whole setting at which it takes at least `wanted` kbit/s on the wire.

    So what is looked at had a little more than ours, never less, unless even its best point is less. `measured` gives
    the point of a setting.
    """
    known = {point.quantiser: point for point in points}

    def enough(quantiser: int) -> bool:
        if quantiser not in known:
            known[quantiser], _ = measured(quantiser)
        return known[quantiser].wire_kbps_both >= wanted

    return measured(coarsest_enough(enough, sorted(known, reverse=True)))[1]


def coarsest_enough(enough: Callable[[int], bool], ladder: Sequence[int]) -> int:
    """The largest setting for which `enough`, between those of a ladder that falls; its last if none of them is."""
    for fine, coarse in zip(ladder, [ladder[0], *ladder], strict=False):
        if enough(fine):
            while coarse - fine > 1:
                middle = (fine + coarse) // 2
                fine, coarse = (middle, coarse) if enough(middle) else (fine, middle)
            return fine
    return ladder[-1]


def _floor(points: Sequence[Point]) -> Point:
    return min(points, key=lambda point: point.wire_kbps_both)


def _at(points: Sequence[Point], wanted: float) -> Figures:
    """At a rate that is not under the lowest of the points."""
    by_rate = sorted(points, key=lambda point: point.wire_kbps_both)
    for low, high in pairwise(by_rate):
        if low.wire_kbps_both <= wanted < high.wire_kbps_both:
            share = log(wanted / low.wire_kbps_both) / log(high.wire_kbps_both / low.wire_kbps_both)
            a, b = _figures(low), _figures(high)
            straight = {key: round((1 - share) * a[key] + share * b[key], 4) for key in SHOWN}
            out = wanted - low.wire_kbps_back - share * (high.wire_kbps_back - low.wire_kbps_back)
            rates = {"kbps": _between(low.kbps, high.kbps, share), "wire_kbps": round(out, 3),
                     "wire_kbps_back": round(wanted - out, 3)}  # fmt: skip
            return rates | straight | {"vmaf": _middle(low.vmaf, high.vmaf, share)}
    return _figures(by_rate[-1])


def _figures(point: Point) -> Figures:
    return {key: value for key, value in asdict(point).items() if key not in ("quantiser", "payload_bytes")}


def _reached(points: Sequence[Point], ms_ssim: float) -> Figures:
    by_rate = sorted(points, key=lambda p: p.kbps)
    figures: Figures = {"ms_ssim": ms_ssim, "below_floor": False, "above_ceiling": False}
    names = ("kbps", "wire_kbps", "wire_kbps_back")
    if by_rate[0].ms_ssim >= ms_ssim:
        return {name: getattr(by_rate[0], name) for name in names} | figures | {"below_floor": True}
    for low, high in pairwise(by_rate):
        if low.ms_ssim < ms_ssim <= high.ms_ssim:
            share = (ms_ssim - low.ms_ssim) / (high.ms_ssim - low.ms_ssim)
            return {name: _between(getattr(low, name), getattr(high, name), share) for name in names} | figures
    return dict.fromkeys(names) | figures | {"above_ceiling": True}


def _between(low: float, high: float, share: float) -> float:
    return round(float(np.exp((1 - share) * np.log(low) + share * np.log(high))), 3)


def _middle(low: float | None, high: float | None, share: float) -> float | None:
    return None if low is None or high is None else round((1 - share) * low + share * high, 2)
