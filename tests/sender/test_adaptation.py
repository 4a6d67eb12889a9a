from __future__ import annotations

from sender.adaptation import BUSY_MS, CALM_MS, PICTURE_RATES, LinkAdaptation
from sender.profile import LARGEST_BUNDLE
from shared.codec.control import Stats
from shared.link.pacing import LATER_RATE


def behind(ms: int) -> Stats:
    return Stats(received=100, shown=100, late=0, bundles=20, highest_frame=99, delay_ms=300, behind_ms=ms)


def test_a_full_link_gets_larger_bundles_and_slower_pictures_step_by_step() -> None:
    link = LinkAdaptation(5)
    seen = []
    for _ in range(5):
        link.judge(behind(BUSY_MS + 1), False)
        seen.append((link.bundle, link.picture_rate))
    assert [bundle for bundle, _ in seen] == [7, 9, LARGEST_BUNDLE, LARGEST_BUNDLE, LARGEST_BUNDLE]
    assert [rate for _, rate in seen] == [PICTURE_RATES[0]] * 5


def test_a_calm_link_goes_back_to_the_usual_bundle_and_not_below() -> None:
    link = LinkAdaptation(3)
    for _ in range(2):
        link.judge(behind(BUSY_MS + 1), False)
    bundles = []
    for _ in range(6):
        link.judge(behind(CALM_MS), False)
        bundles.append(link.bundle)
    assert bundles == [6, 5, 4, 3, 3, 3]


def test_between_calm_and_full_nothing_changes() -> None:
    link = LinkAdaptation(5)
    for ms in (CALM_MS + 1, BUSY_MS):
        link.judge(behind(ms), True)
    assert (link.bundle, link.picture_rate) == (5, LATER_RATE)


def test_pictures_go_faster_only_on_a_link_that_carried_some() -> None:
    link = LinkAdaptation(5)
    for _ in range(9):
        link.judge(behind(0), False)
    assert link.picture_rate == LATER_RATE
    rates = []
    for _ in range(9):
        link.judge(behind(0), True)
        rates.append(link.picture_rate)
    assert rates[:2] == [LATER_RATE * 1.5, LATER_RATE * 1.5**2]
    assert rates[-1] == PICTURE_RATES[1]


def test_single_frames_stay_single_frames_on_a_good_link() -> None:
    link = LinkAdaptation(1)
    link.judge(behind(0), False)
    assert link.bundle == 1
