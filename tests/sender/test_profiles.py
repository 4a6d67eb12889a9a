from __future__ import annotations

import pytest

from sender.encoder import EncoderSettings
from sender.profiles import DEFAULT_PROFILE, LADDER, LARGEST_BUNDLE, PROFILES, USUAL_BASE, Profile, words


@pytest.mark.parametrize(
    ("name", "fps", "step", "bundle"),
    [
        ("balanced", 25, 1, 5), ("balanced", 30, 1, 6), ("balanced", 60, 2, 6), ("balanced", 15, 1, 3),
        ("sharp", 25, 1, 5), ("responsive", 25, 1, 2), ("responsive", 30, 1, 2), ("responsive", 60, 2, 2),
        ("sparing", 25, 2, 4), ("video", 30, 1, 6),
        ("still", 25, 8, 2), ("still", 30, 8, 3), ("still", 60, 8, 5), ("still", 10, 3, 2),
        ("thin", 25, 2, 5), ("thin", 30, 2, 6), ("thin", 60, 5, 5), ("thin", 10, 1, 4),
    ],
)  # fmt: skip
def test_the_rate_is_near_the_profiles_and_bundles_span_its_time(name: str, fps: float, step: int, bundle: int) -> None:
    profile = PROFILES[name]
    assert (profile.step(fps), profile.bundle(fps)) == (step, bundle)


def test_a_bundle_has_one_to_ten_frames() -> None:
    assert Profile(25.0, 0.0, 256, 13.0).bundle(25) == 1
    assert Profile(120.0, 5.0, 256, 13.0).bundle(120) == LARGEST_BUNDLE == 10


def test_thin_is_thinner() -> None:
    assert DEFAULT_PROFILE == "balanced"
    assert PROFILES["thin"].motion_rate < PROFILES["balanced"].motion_rate


def test_sharp_is_sharper_and_responsive_quicker() -> None:
    usual, sharp, responsive = PROFILES["balanced"], PROFILES["sharp"], PROFILES["responsive"]
    assert sharp.budget > usual.budget
    assert sharp.picture_quality != "max" != usual.picture_quality
    assert sharp.picture_quality > usual.picture_quality
    assert responsive.bundle(25) < usual.bundle(25)


def test_every_profile_says_what_it_is_for_and_can_be_sent() -> None:
    for profile in PROFILES.values():
        assert profile.about
        for fps in (10.0, 15.0, 25.0, 30.0, 60.0):
            EncoderSettings(fps, profile.bundle(fps), profile.picture_size, profile.picture_quality)


def test_the_ladder_goes_from_motion_only_to_a_video_in_words_of_its_own() -> None:
    rungs = [PROFILES[name] for name in LADDER]
    assert [rung.still for rung in rungs] == [True, *[False] * (len(rungs) - 1)]
    assert [words(rung.base) for rung in rungs[1:]] == [
        "motion only", "motion and a slow base", "motion and base", "motion and a sharp base", "video and motion",
    ]  # fmt: skip
    costs = [rung.out for rung in rungs]
    assert costs == sorted(costs)
    assert all(rung.base is None or rung.base.check() for rung in PROFILES.values())


def test_points_below_a_base_layer_are_cheaper_each() -> None:
    for rung in PROFILES.values():
        points = () if rung.base is None else (rung.base, *rung.base.lower())
        costs = [point.kbps for point in points]
        assert costs == sorted(set(costs), reverse=True)
    video = PROFILES["video"].base
    assert video is not None and [words(point) for point in (video, *video.lower())] == [
        "video and motion", "motion and a sharp base", "motion and base", "motion and a slow base",
    ]  # fmt: skip


def test_a_base_layer_may_be_changed_and_may_then_have_more() -> None:
    smaller, finer, slower = (
        USUAL_BASE.changed(*each) for each in ((192, None, None), (None, 55, None), (None, None, 8))
    )
    assert (smaller.size, finer.crf, slower.rate) == (192, 55, 8)
    assert max(smaller.kbps, slower.kbps) < USUAL_BASE.kbps < finer.kbps
    for wrong in ((100, None, None), (None, 71, None), (None, None, 0.5), (None, None, 26.0)):
        with pytest.raises(ValueError, match="a base layer has"):
            USUAL_BASE.changed(*wrong)
