"""What becomes of the default refresh where the sender cannot draw what the receiver draws."""

from __future__ import annotations

import pytest

from sender.call import affordable
from sender.refresh import DEFAULT_POSE_THRESHOLD, EveryN, First, PoseMoved, WhenWorse


def test_a_slow_engine_goes_by_the_pose_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    assert affordable(WhenWorse(), "vox256", quick=False) == PoseMoved(DEFAULT_POSE_THRESHOLD)
    assert "vox256 draws too slowly on a CPU" in caplog.text and "18 degrees" in caplog.text


@pytest.mark.parametrize("policy", [First(), EveryN(15), PoseMoved(30.0)])
def test_other_policies_need_no_drawing(policy: First | EveryN | PoseMoved, caplog: pytest.LogCaptureFixture) -> None:
    assert affordable(policy, "vox256", quick=False) is policy
    assert not caplog.text


def test_a_quick_engine_looks_at_the_picture() -> None:
    assert affordable(WhenWorse(), "compact", quick=True) == WhenWorse()
