from __future__ import annotations

import pytest

from sender.critic import AT_ONCE_DB, IN_THE_END_DB, PATIENCE_SECONDS, Expectation, required_gain


def test_what_a_source_must_repair_falls_with_time() -> None:
    gains = [required_gain(seconds) for seconds in range(-2, 30)]
    assert gains[0] == AT_ONCE_DB
    assert gains[-1] == IN_THE_END_DB
    assert gains == sorted(gains, reverse=True)
    assert required_gain(PATIENCE_SECONDS) == IN_THE_END_DB


@pytest.mark.parametrize("level", [-20.0, 0.0, 25.0])
def test_only_differences_count(level: float) -> None:
    expectation = Expectation()
    assert expectation.worth_trying(level + 6, 2)
    assert expectation.tried(level + 6, level, 2)
    assert expectation.worth_trying(level + 5, 2)
    assert not expectation.worth_trying(level + 0.5, 2)
    assert not expectation.tried(level + 1, level, 2)


def test_what_is_wanted_of_the_picture_is_less_once_time_has_passed() -> None:
    expectation = Expectation()
    expectation.tried(10, 9, 0)
    assert not expectation.worth_trying(10, 0)
    assert expectation.worth_trying(10, 10)
    assert not expectation.tried(10, 9.2, 0)
    assert expectation.tried(10, 9.2, 10)


def test_it_follows_a_person_who_became_harder_to_draw() -> None:
    expectation = Expectation()
    expectation.tried(5, 0, 0)
    trials = 0
    for _ in range(50):
        if expectation.worth_trying(12, 2):
            trials += 1
            assert not expectation.tried(12, 11, 2)
    assert 1 <= trials <= 5


def test_it_follows_a_person_who_became_easier_to_draw() -> None:
    expectation = Expectation()
    expectation.tried(20, 20, 0)
    assert not expectation.worth_trying(0, 0)
    assert expectation.worth_trying(4, 0)
