"""The sender's judgement of the link, by messages of statistics; `test_adaptation_to_a_link` has whole calls."""

from __future__ import annotations

import pytest

from sender.adaptation import BUSY_MS, CALM_MS, PICTURE_RATES, SILENCE_SECONDS, SMALL_PICTURE, LinkAdaptation
from sender.profiles import PROFILES, USUAL_BASE
from shared.codec.control import Stats
from shared.transport.pacing import LATER_RATE


def stats(behind_ms: int, highest_frame: int | None = None) -> Stats:
    return Stats(100, 100, 0, 20, highest_frame, 300, behind_ms)


def full(link: LinkAdaptation) -> None:
    link.judge(stats(BUSY_MS + 1), False, 0.0)


def thin(link: LinkAdaptation) -> float:
    """Less and less gets through, and the queue becomes longer, until nothing below is left; then it drains."""
    for n in range(40):
        link.sent(100, n)
        link.judge(stats(BUSY_MS + 100 * n, n), False, 2.0 * n)
    link.judge(stats(BUSY_MS, 39), False, 80.0)
    return 80.0


def went(link: LinkAdaptation, number: int, age: float) -> None:
    """A bundle of five frames whose last one was captured so long ago."""
    link.sent(100, 5 * number, 5, 40, age)


def test_what_went_late_is_not_put_down_to_the_link() -> None:
    link = LinkAdaptation(5)
    for n in range(20):
        went(link, n, 0.03 if n < 10 else 0.63)
        link.judge(stats(0 if n < 11 else 620, 5 * n), False, 0.2 * n)
    assert not link.limited
    went(link, 20, 0.63)
    link.judge(stats(600 + BUSY_MS + 1, 5 * 20), False, 4.0)
    assert link.limited


def test_as_at_the_receiver_both_of_two_bundles_must_have_gone_late() -> None:
    link = LinkAdaptation(5)
    ages = [0.03, 0.03, 0.63, 0.43, 0.03]
    for n, age in enumerate(ages):
        went(link, n, age)
    found = [link.own_lateness(5 * n) for n in range(5)]
    assert found == pytest.approx([0.0, 0.0, 0.0, 0.4, 0.0])
    assert link.own_lateness(None) == link.own_lateness(7) == 0.0


def test_a_full_link_gets_less_at_once_and_no_picture_until_it_has_drained() -> None:
    link = LinkAdaptation(5)
    assert not link.limited and not link.pictures_wait(0.0)
    full(link)
    assert link.limited and link.pictures_wait(0.0)
    assert link.bundle > 5
    link.judge(stats(BUSY_MS), False, 2.0)
    assert not link.pictures_wait(2.0)
    assert link.bundle == 5
    assert link.picture_rate < LATER_RATE


def test_at_worst_motion_goes_at_half_its_rate_in_bundles_of_less_than_a_second() -> None:
    link = LinkAdaptation(5)
    thin(link)
    assert link.step == 2
    assert 0.3 < link.bundle * link.step / 25 <= 0.8
    assert link.picture_rate == pytest.approx(PICTURE_RATES[0], rel=0.5)


def test_between_calm_and_full_nothing_changes() -> None:
    link = LinkAdaptation(5)
    for n, ms in enumerate((CALM_MS + 1, BUSY_MS)):  # with pieces of a picture
        link.judge(stats(ms), True, 2.0 * n)
    assert (link.bundle, link.step, link.picture_rate) == (5, 1, LATER_RATE)


def test_pictures_go_faster_only_on_a_link_that_carried_some() -> None:
    link = LinkAdaptation(5)
    for n in range(9):
        link.judge(stats(0), False, 2.0 * n)
    assert link.picture_rate == LATER_RATE
    rates = []
    for n in range(9, 18):
        link.judge(stats(0), True, 2.0 * n)
        rates.append(link.picture_rate)
    assert rates[:2] == [LATER_RATE * 1.5, LATER_RATE * 1.5**2]
    assert rates[-1] == PICTURE_RATES[1]


def test_a_picture_begins_with_care_where_bundles_alone_are_late() -> None:
    link = LinkAdaptation(5)
    link.judge(stats(CALM_MS + 1), False, 0.0)
    assert PICTURE_RATES[0] < link.picture_rate < LATER_RATE
    assert not link.limited
    link.judge(stats(0), True, 2.0)
    link.judge(stats(0), True, 4.0)
    assert link.picture_rate > LATER_RATE


def test_pictures_are_smaller_while_the_link_carries_less_than_usual() -> None:
    link = LinkAdaptation(5, picture_size=512)
    assert link.picture_size == 512
    full(link)
    assert link.picture_size == SMALL_PICTURE
    tiny = LinkAdaptation(5, picture_size=64)
    full(tiny)
    assert tiny.picture_size == 64


def test_a_calm_link_climbs_back_to_the_usual_and_not_beyond() -> None:
    link = LinkAdaptation(3)
    now, seen = thin(link), []
    for n in range(1, 40):
        link.judge(stats(0), True, now + 2 * n)
        seen.append(25 / link.step * (8.0 + 87 / link.bundle))  # what motion takes
    assert seen[0] < seen[-1]
    assert seen == sorted(seen)
    assert (link.step, link.bundle) == (1, 3)
    assert not link.limited


def test_a_link_that_carries_only_motion_gets_that_but_not_more() -> None:
    link = LinkAdaptation(5)
    now = thin(link)
    for n in range(1, 40):
        link.judge(stats(0), False, now + 2 * n)
    assert (link.bundle, link.step) == (5, 1)
    assert link.limited  # what it carries beside motion is not known


def test_after_each_step_that_was_too_much_the_next_one_comes_later() -> None:
    link, now = LinkAdaptation(5), 0.0
    full(link)
    waits = []
    for _ in range(5):
        now += 100.0
        link.judge(stats(0), True, now)  # a step
        link.judge(stats(BUSY_MS + 1), True, now + 1)  # too much
        rate, began = link.picture_rate, now + 1
        now = began
        while link.picture_rate <= rate or link.pictures_wait(now):
            now += 2.0
            link.judge(stats(0), True, now)
            rate = max(rate, link.picture_rate) if now - began <= 2.0 else rate
        waits.append(now - began)
    assert waits == sorted(waits)
    assert waits[0] < 12 and 60 < waits[-1] < 70


def test_what_does_not_drain_is_no_queue() -> None:
    link = LinkAdaptation(5)
    now = 0.0
    while not link.limited or link.pictures_wait(now):
        now += 0.7
        link.judge(stats(600), False, now)  # the way became 600 ms longer
    assert 6 < now < 10
    link.judge(stats(600 + BUSY_MS + 1), False, now + 2)  # and this is a queue
    assert link.pictures_wait(now + 2)


def test_pictures_wait_for_a_receiver_that_has_fallen_silent_but_not_for_its_first_word() -> None:
    link = LinkAdaptation(5)
    assert not link.pictures_wait(1000.0)
    link.judge(stats(0), False, 1000.0)
    assert not link.pictures_wait(1000.0 + SILENCE_SECONDS)
    assert link.pictures_wait(1000.1 + SILENCE_SECONDS)


def test_what_got_through_says_how_much_may_go() -> None:
    link = LinkAdaptation(5)
    for n in range(10):  # 1000 bytes/s go, and get through
        link.sent(1000, 5 * n)
        link.judge(stats(0, 5 * n), False, float(n))
    for n in range(10, 14):  # then 900 of them do
        link.sent(1000, 5 * n)
    link.judge(stats(BUSY_MS + 1, 5 * 9), False, 10.0)
    link.sent(1, None)
    link.judge(stats(BUSY_MS + 500, 5 * 11), False, 12.22)
    link.judge(stats(BUSY_MS, 5 * 11), False, 13.0)
    motion = 25 / link.bundle / link.step * 87 + 25 / link.step * 8.0
    assert motion + link.picture_rate == pytest.approx(0.8 * 900, rel=0.1)


def test_single_frames_stay_single_frames_on_a_good_link() -> None:
    link = LinkAdaptation(1)
    link.judge(stats(0), False, 0.0)
    assert link.bundle == 1


def test_a_base_layer_goes_at_half_its_rate_first_then_motion_does_and_at_last_it_goes_no_more() -> None:
    link = LinkAdaptation(5, base=USUAL_BASE)
    half = USUAL_BASE.lower()[-1]
    seen = [(link.step, link.base)]
    for n in range(40):
        link.sent(100, n)
        link.judge(stats(BUSY_MS + 100 * n, n), False, 2.0 * n)
        seen.append((link.step, link.base))
    order = [(1, USUAL_BASE), (1, half), (2, half), (1, None), (2, None)]
    assert [order.index(each) for each in seen] == sorted(order.index(each) for each in seen)
    assert seen[-1] == (2, None)
    for n in range(1, 60):
        link.judge(stats(0), True, 80.0 + 2 * n)
    assert (link.bundle, link.step, link.base) == (5, 1, USUAL_BASE)


def test_every_rung_is_cheaper_than_the_one_before() -> None:
    for profile in PROFILES.values():
        link = LinkAdaptation(profile.bundle(25.0), profile.step(25.0), base=profile.base)
        costs = [link._cost(rung, 8.0) for rung in link._rungs]
        assert costs == sorted(costs, reverse=True)
        assert link._rungs[0] == link._usual
        assert link._rungs[-1].base is None


def test_what_is_seen_may_be_too_dear_for_a_base_and_is_tried_again() -> None:
    link = LinkAdaptation(5, base=USUAL_BASE)
    link.base_is_too_dear(0.0)
    assert link.base == USUAL_BASE.lower()[-1]
    link.base_is_too_dear(5.0)
    assert link.base is None
    assert (link.bundle, link.step) == (5, 1)
    link.judge(stats(0), False, 64.0)
    assert link.base is None
    link.judge(stats(0), False, 66.0)
    assert link.base == USUAL_BASE
