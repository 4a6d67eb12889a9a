from __future__ import annotations

import pytest

from sender.profile import DEFAULT_PROFILE, LARGEST_BUNDLE, PROFILES, Profile


@pytest.mark.parametrize(
    ("name", "fps", "step", "bundle"),
    [
        ("balanced", 25, 1, 5), ("balanced", 30, 1, 6), ("balanced", 60, 2, 6), ("balanced", 15, 1, 3),
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
