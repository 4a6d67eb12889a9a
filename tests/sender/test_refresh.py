from __future__ import annotations

import re

import pytest
from call_examples import make_motion

from sender.refresh import EveryN, First, PoseMoved, RefreshPolicy, WhenWorse, parse_policy


def test_first_wants_no_other() -> None:
    assert not any(First().wants(n, make_motion(yaw=80), [make_motion()]) for n in (1, 100, 10**6))


def test_every_n_wants_the_nth_frame_after_the_last() -> None:
    policy = EveryN(15)
    assert [n for n in range(1, 18) if policy.wants(n, make_motion(), [make_motion()])] == [15, 16, 17]
    assert EveryN(1).wants(1, make_motion(), [make_motion()])


def test_pose_moved_wants_a_pose_that_no_source_is_near() -> None:
    policy = PoseMoved(18)
    held = [make_motion(), make_motion(yaw=40)]
    assert not policy.wants(50, make_motion(yaw=17.9), held)
    assert policy.wants(50, make_motion(yaw=20), held)
    assert not policy.wants(50, make_motion(yaw=23), held)
    assert policy.wants(50, make_motion(pitch=-19), held)


def test_pose_moved_lets_a_fast_turn_be_one_event() -> None:
    policy = PoseMoved(18)
    assert not policy.wants(9, make_motion(yaw=60), [make_motion()])
    assert policy.wants(10, make_motion(yaw=60), [make_motion()])


@pytest.mark.parametrize("interval", [0, -1, -15])
def test_impossible_intervals_are_refused(interval: int) -> None:
    with pytest.raises(ValueError, match=f"--freq.*not {interval}"):
        EveryN(interval)


@pytest.mark.parametrize("threshold", [0, -1, 180.5, float("nan"), float("inf")])
def test_impossible_thresholds_are_refused(threshold: float) -> None:
    with pytest.raises(ValueError, match="--pose-threshold"):
        PoseMoved(threshold)


@pytest.mark.parametrize("policy", [WhenWorse(), First(), EveryN(15), PoseMoved(12.5), PoseMoved(18)])
def test_a_policy_is_parsed_from_its_text(policy: RefreshPolicy) -> None:
    assert parse_policy(str(policy)) == policy


@pytest.mark.parametrize("text", ["", "often", "freq", "freq:", "freq:1.5", "pose:many", "quality:3", "first:"])
def test_what_is_no_policy_is_refused_by_name(text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(repr(text))):
        parse_policy(text)


@pytest.mark.parametrize(("text", "message"), [("freq:0", "--freq"), ("pose:181", "--pose-threshold")])
def test_impossible_values_say_what_is_possible(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_policy(text)
