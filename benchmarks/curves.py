"""Curves of rate against quality, and where they meet ours."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise

import numpy as np

import benchmarks.codecs
from benchmarks.accounting import kbps, rtp_on_wire
from benchmarks.cache import Figures, code_digest
from benchmarks.codecs import Codec, code, versions
from benchmarks.measure import Measurer, Shown
from benchmarks.metrics import Picture

_CODE = code_digest(benchmarks.codecs)


@dataclass(frozen=True)
class Point:
    """A codec at one quantiser setting."""

    quantiser: int
    payload_bytes: int
    kbps: float
    """Payload."""
    wire_kbps: float
    """In RTP, out, RTCP included."""
    wire_kbps_back: float
    """RTCP."""
    psnr: float
    ms_ssim: float
    vmaf: float | None = None

    @property
    def wire_kbps_both(self) -> float:
        """Both directions together: what is compared."""
        return self.wire_kbps + self.wire_kbps_back


def measure_point(measure: Measurer, codec: Codec, quantiser: int) -> tuple[Point, Shown]:
    """A codec at one setting. Raises CodecError if it cannot be had."""
    clip = measure.clip

    def show() -> tuple[Figures, list[Picture]]:
        coded = code(codec, clip.pictures, clip.fps, quantiser)
        return {"sizes": coded.sizes}, coded.pictures

    options = codec.options(quantiser)
    shown = measure([options, codec.encoder, codec.every, versions(), _CODE], show)
    sizes = shown.figures["sizes"]
    out, back = rtp_on_wire(sizes, clip.seconds)
    seconds = clip.seconds
    point = Point(
        quantiser, sum(sizes), kbps(sum(sizes), seconds), kbps(out, seconds), kbps(back, seconds),
        shown.figures["psnr"], shown.figures["ms_ssim"], shown.figures.get("vmaf"),
    )  # fmt: skip
    return point, shown


def at_quality(points: Sequence[Point], ms_ssim: float) -> Figures:
    """The rate at which a codec reaches an MS-SSIM, interpolated in the logarithm of the rate.

    `below_floor`: its lowest rate, given then, is better already. `above_ceiling`: none of its points is as good; the
    rates are None.
    """
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


def at_rate(measure: Measurer, codec: Codec, points: Sequence[Point], wanted: float) -> tuple[Figures, Shown]:
    """A codec at `wanted` kbit/s on the wire, both directions together, coded at the coarsest whole setting not below.

    So it gets a little more than ours, never less, unless even its best point is less. `at_floor`: its lowest rate is
    more already.
    """
    known = {point.quantiser: point for point in points}

    def enough(quantiser: int) -> bool:
        if quantiser not in known:
            known[quantiser], _ = measure_point(measure, codec, quantiser)
        return known[quantiser].wire_kbps_both >= wanted

    chosen = coarsest_enough(enough, sorted(known, reverse=True))
    point, shown = measure_point(measure, codec, chosen)
    figures = {"wanted_wire_kbps_both": round(wanted, 3), "at_floor": chosen == max(known) and enough(chosen)}
    return figures | asdict(point), shown


def coarsest_enough(enough: Callable[[int], bool], ladder: Sequence[int]) -> int:
    """The largest setting for which `enough`, between those of a ladder that falls; its last if none of them is."""
    for fine, coarse in zip(ladder, [ladder[0], *ladder], strict=False):
        if enough(fine):
            while coarse - fine > 1:
                middle = (fine + coarse) // 2
                fine, coarse = (middle, coarse) if enough(middle) else (fine, middle)
            return fine
    return ladder[-1]


def _between(low: float, high: float, share: float) -> float:
    return round(float(np.exp((1 - share) * np.log(low) + share * np.log(high))), 3)
