"""Where curves of rate against quality meet ours."""

from __future__ import annotations

import math

import pytest

from benchmarks.cache import Cache
from benchmarks.clip import Clip
from benchmarks.codecs import CODECS
from benchmarks.curves import Point, at_quality, at_rate, coarsest_enough, measure_point
from benchmarks.measure import Measurer
from shared.models.engine import Picture


def point(kbps: float, ms_ssim: float) -> Point:
    return Point(50, 1000, kbps, 2 * kbps, 1.0, 30.0, ms_ssim)


CURVE = [point(40, 0.98), point(10, 0.9), point(20, 0.94)]


def test_the_rate_at_a_quality_is_interpolated_in_its_logarithm() -> None:
    found = at_quality(CURVE, 0.92)
    assert found["kbps"] == pytest.approx(math.sqrt(10 * 20), abs=1e-3)
    assert found["wire_kbps"] == pytest.approx(math.sqrt(20 * 40), abs=1e-3)
    assert found["wire_kbps_back"] == 1
    assert not found["below_floor"]
    assert at_quality(CURVE, 0.94)["kbps"] == 20


def test_a_quality_off_the_curve_is_flagged() -> None:
    low, high = at_quality(CURVE, 0.5), at_quality(CURVE, 0.99)
    assert (low["kbps"], low["below_floor"], low["above_ceiling"]) == (10, True, False)
    assert (high["kbps"], high["below_floor"], high["above_ceiling"]) == (None, False, True)


@pytest.mark.parametrize(("least", "chosen"), [(60, 51), (51, 51), (50, 50), (38, 38), (30, 30), (24, 24), (23, 23)])
def test_the_coarsest_setting_that_is_enough(least: int, chosen: int) -> None:
    assert coarsest_enough(lambda quantiser: quantiser <= least, [51, 41, 30, 23]) == chosen


def test_the_finest_setting_if_none_is_enough() -> None:
    assert coarsest_enough(lambda quantiser: False, [51, 41, 30, 23]) == 23


def test_a_codec_gets_our_rate_or_a_little_more(person: list[Picture]) -> None:
    clip = Clip("person", 25.0, [i / 25 for i in range(20)], person[:20])
    measure, codec = Measurer(clip, Cache(None), vmaf=False), CODECS["x264"]
    points = [measure_point(measure, codec, quantiser)[0] for quantiser in (51, 40, 23)]
    wanted = (points[0].wire_kbps_both + points[1].wire_kbps_both) / 2
    found, shown = at_rate(measure, codec, points, wanted)
    coarser, _ = measure_point(measure, codec, found["quantiser"] + 1)
    assert coarser.wire_kbps_both < wanted <= found["wire_kbps"] + found["wire_kbps_back"]
    assert not found["at_floor"]
    assert len(shown.pictures()) == 20
    floor, _ = at_rate(measure, codec, points, 1.0)
    assert (floor["quantiser"], floor["at_floor"]) == (51, True)
    best, _ = at_rate(measure, codec, points, 1e6)
    assert (best["quantiser"], best["at_floor"]) == (23, False)
