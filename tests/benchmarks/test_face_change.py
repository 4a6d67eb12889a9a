from __future__ import annotations

import numpy as np
import pytest

from benchmarks.face_change import CONDITIONS, Known, figures, parse


def known(noise: float) -> Known:
    """Three people whose appearances are axes, with noise."""
    chance = np.random.default_rng(0)
    return {
        f"d{n}": {
            each: [(np.eye(3)[n] + noise * chance.normal(size=3)).astype(np.float32) for _ in range(10)]
            for each in CONDITIONS
        }
        for n in range(3)
    }


def test_people_that_are_far_apart_are_told_apart() -> None:
    result = figures(known(0.01), 0.7)
    assert result["people"] == 3
    assert 0 < result["proposed"] < 0.3
    for row in result["conditions"].values():
        assert (row["own_sources"], row["others_sources"]) == (27, 60)
        assert (row["alarms"], row["alarms_after_one"], row["noticed"], row["noticed_by_person"]) == (0, 0, 1, 1)


def test_what_cannot_be_told_apart_is_not_said_to_be() -> None:
    row = figures(known(5.0), 0.7)["conditions"]["usual"]
    assert row["alarms_after_one"] > 0.5
    assert row["alarms"] <= row["alarms_after_one"]
    assert figures(known(0.01), 3.0)["conditions"]["usual"]["noticed"] == 0


def test_alarms_need_two_people(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(["--clips", "x", "--limit", "1"])
    assert "two people" in capsys.readouterr().err
