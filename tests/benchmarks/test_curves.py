"""Where curves of rate against quality meet ours."""

from __future__ import annotations

import math

import pytest

from benchmarks.cache import Cache
from benchmarks.clip import Clip
from benchmarks.codecs import CODECS, Variant
from benchmarks.curves import (
    FINEST,
    RATES,
    Point,
    at_quality,
    best,
    coarsest_enough,
    envelope,
    finer,
    finest_within,
    measure_point,
)
from benchmarks.measure import Measurer, Shown
from shared.models.engine import Picture


def point(kbps: float, ms_ssim: float) -> Point:
    return Point(50, 1000, kbps, 2 * kbps, 1.0, 100 * ms_ssim - 60, ms_ssim, 0.5)


CURVE = [point(40, 0.98), point(10, 0.9), point(20, 0.94)]


def test_the_rate_at_a_quality_is_interpolated_in_its_logarithm() -> None:
    found = at_quality({"256 px": CURVE}, 0.92)
    assert found["kbps"] == pytest.approx(math.sqrt(10 * 20), abs=1e-3)
    assert found["wire_kbps"] == pytest.approx(math.sqrt(20 * 40), abs=1e-3)
    assert found["wire_kbps_back"] == 1
    assert not found["below_floor"]
    assert at_quality({"256 px": CURVE}, 0.94)["kbps"] == 20


def test_a_quality_off_the_curve_is_flagged() -> None:
    low, high = at_quality({"256 px": CURVE}, 0.5), at_quality({"256 px": CURVE}, 0.99)
    assert (low["kbps"], low["below_floor"], low["above_ceiling"]) == (10, True, False)
    assert (high["kbps"], high["below_floor"], high["above_ceiling"]) == (None, False, True)


@pytest.mark.parametrize(("least", "chosen"), [(60, 51), (51, 51), (50, 50), (38, 38), (30, 30), (24, 24), (23, 23)])
def test_the_coarsest_setting_that_is_enough(least: int, chosen: int) -> None:
    assert coarsest_enough(lambda quantiser: quantiser <= least, [51, 41, 30, 23]) == chosen


def test_the_finest_setting_if_none_is_enough() -> None:
    assert coarsest_enough(lambda quantiser: False, [51, 41, 30, 23]) == 23


def test_the_best_variant_that_fits_is_interpolated_at_our_rate() -> None:
    small = [point(5, 0.88), point(10, 0.89)]
    name, at = best({"256 px": CURVE, "128 px": small}, 1 + 2 * math.sqrt(10 * 20))
    assert name == "256 px"
    assert at["psnr"] == pytest.approx((30 + 34) / 2, abs=0.1)
    assert at["ms_ssim"] == pytest.approx(0.92, abs=0.001)
    assert at["kbps"] == pytest.approx(math.sqrt(10 * 20), abs=0.1)
    assert at["wire_kbps"] + at["wire_kbps_back"] == pytest.approx(1 + 2 * math.sqrt(10 * 20), abs=0.01)
    assert not at["at_floor"]
    assert at["chosen"] == {"256 px": True, "128 px": False}
    name, at = best({"256 px": CURVE, "128 px": small}, 12)
    assert name == "128 px"  # the other does not fit
    assert not at["at_floor"]


def test_where_none_fits_the_lowest_rate_is_marked() -> None:
    name, at = best({"256 px": CURVE, "192 px": [point(8, 0.7), point(9, 0.8)]}, 3)
    assert (name, at["at_floor"], at["wire_kbps"], at["ms_ssim"]) == ("192 px", True, 16, 0.7)


def test_a_variant_that_never_takes_so_much_has_its_best_point() -> None:
    _, at = best({"256 px": CURVE}, 500)
    assert (at["ms_ssim"], at["wire_kbps"], at["at_floor"]) == (0.98, 80, False)


def test_the_envelope_says_where_it_begins_and_ends() -> None:
    drawn = envelope({"256 px": [point(6, 0.8), point(12, 0.9)]})  # 13 to 25 kbit/s
    assert [each["wanted_wire_kbps_both"] for each in drawn] == list(RATES)
    assert {each["wanted_wire_kbps_both"] for each in drawn if each["at_floor"]} == {r for r in RATES if r < 13}
    assert {each["wanted_wire_kbps_both"] for each in drawn if each["beyond"]} == {r for r in RATES if r > 25}
    inside = [each["psnr"] for each in drawn if not each["at_floor"] and not each["beyond"]]
    assert inside == sorted(inside)


def test_the_lowest_rate_of_the_variants_that_reach_a_quality() -> None:
    never, cheaper = [point(1, 0.1), point(2, 0.2)], [point(8, 0.9), point(12, 0.95)]
    found = at_quality({"a": CURVE, "b": never, "c": cheaper}, 0.94)
    assert found["kbps"] < 12
    assert not found["below_floor"]
    assert not found["above_ceiling"]


def test_what_is_looked_at_has_our_rate_or_a_little_more(person: list[Picture]) -> None:
    clip = Clip("person", 25.0, [i / 25 for i in range(20)], person[:20])
    measure, variant = Measurer(clip, Cache(None), vmaf=False), Variant(128, 2)
    shown = {q: measure_point(measure, CODECS["x264"], q, variant) for q in (51, 40, 23)}
    points = [point for point, _ in shown.values()]
    wanted = (points[0].wire_kbps_both + points[1].wire_kbps_both) / 2
    asked = []

    def measured(quantiser: int) -> tuple[Point, Shown]:
        asked.append(quantiser)
        return measure_point(measure, CODECS["x264"], quantiser, variant)

    looked_at = finest_within(measured, points, wanted)
    chosen, coarser = measured(asked[-1])[0], measured(asked[-1] + 1)[0]
    assert coarser.wire_kbps_both < wanted <= chosen.wire_kbps_both
    assert len(looked_at.pictures()) == 20
    assert finest_within(measured, points, 1.0).key == shown[51][1].key
    assert finest_within(measured, points, 1e6).key == shown[23][1].key


def test_a_curve_goes_on_until_it_takes_our_rate(person: list[Picture]) -> None:
    clip = Clip("person", 25.0, [i / 25 for i in range(6)], person[:6])
    measure = Measurer(clip, Cache(None), vmaf=False)

    def measured(quantiser: int) -> tuple[Point, Shown]:
        return measure_point(measure, CODECS["x264"], quantiser, Variant(128))

    ladder = [measured(quantiser)[0] for quantiser in (51, 43)]
    assert finer(measured, ladder, ladder[-1].wire_kbps_both) == []
    further = [measured(quantiser)[0] for quantiser in (37, 31)]
    assert finer(measured, ladder, (further[0].wire_kbps_both + further[1].wire_kbps_both) / 2) == further
    assert finer(measured, ladder, 1e6)[-1].quantiser == FINEST
