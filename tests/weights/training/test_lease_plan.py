from __future__ import annotations

import pytest

from weights.training.lease_plan import PLAN, Leg, parsed, scaled, stage_of
from weights.training.stages import RECIPE


def test_the_plan_is_motion_then_compact_then_standard() -> None:
    assert parsed(None) == list(PLAN)
    assert PLAN[0].name == "motion"
    generators = [leg.generator for leg in PLAN]
    assert generators == sorted(generators)
    assert all(leg.stage in {stage.name for stage in RECIPE} for leg in PLAN)


def test_a_plan_is_given_as_text() -> None:
    legs = parsed("motion=2,standard:fused=0.5")
    assert legs == [Leg("compact", "motion", 2), Leg("standard", "fused", 0.5)]
    assert [leg.minutes for leg in scaled(legs, 5)] == [4, 1]


@pytest.mark.parametrize(
    ("text", "said"),
    [("motions=2", "no leg"), ("huge:motion=2", "no leg"), ("motion=long", "a number"), ("motion=1,motion=1", "once")],
)
def test_a_wrong_plan_is_refused(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parsed(text)


def test_a_larger_batch_learns_faster_within_bounds() -> None:
    leg = Leg("compact", "motion", 3)
    own, many, huge = stage_of(leg, None, False), stage_of(leg, 128, True), stage_of(leg, 1 << 20, True)
    assert own.batch < stage_of(leg, None, True).batch
    assert own.minutes == 3
    assert own.rate < many.rate < huge.rate <= 3 * own.rate
    assert many.batch == 128
    assert many.rate == pytest.approx(own.rate * (128 / own.batch) ** 0.5)
